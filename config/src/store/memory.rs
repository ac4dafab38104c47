//! A store in memory: for tests, simulations and the demo's dry runs. Nothing survives it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use tokio::sync::watch;

use super::{Change, CommitError, Entry, HISTORY_LIMIT, Health, Note, Store, StoreError};
use crate::catalog::Catalog;
use crate::clock::Clock;
use crate::journal::{self, Journal};
use crate::name::Revision;
use crate::sessions::{self, Sessions};

/// See the module.
#[derive(Debug)]
pub struct Memory {
    clock: Clock,
    state: Mutex<State>,
    nudge: watch::Sender<Revision>,
    sessions: sessions::Memory,
    journal: journal::Memory,
}

#[derive(Debug, Default)]
struct State {
    catalog: Arc<Catalog>,
    /// Oldest first.
    history: std::collections::VecDeque<Entry>,
}

impl Memory {
    /// An empty store.
    pub fn new(clock: Clock) -> Self {
        let sessions = sessions::Memory::new(clock.clone());
        let (journal, nudge) = (journal::Memory::new(clock.clone()), watch::Sender::new(Revision::ZERO));
        Self { clock, state: Mutex::default(), nudge, sessions, journal }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Store for Memory {
    async fn load(&self) -> Result<Arc<Catalog>, StoreError> {
        Ok(self.state().catalog.clone())
    }

    async fn commit(
        &self,
        expect: Revision,
        change: Change,
        note: Note,
    ) -> Result<Arc<Catalog>, CommitError> {
        let mut state = self.state();
        let before = state.catalog.clone();
        if before.revision != expect {
            return Err(CommitError::Conflict { expected: expect, current: before.revision });
        }
        let after = Arc::new(change.applied_to(&before));
        let ops = change.ops(&before, &after);
        state.history.push_back(Entry { revision: after.revision, at: self.clock.now(), note, ops });
        if state.history.len() as u64 > HISTORY_LIMIT {
            state.history.pop_front();
        }
        state.catalog = after.clone();
        self.nudge.send_replace(after.revision);
        Ok(after)
    }

    async fn history(&self, before: Option<Revision>, limit: usize) -> Result<Vec<Entry>, StoreError> {
        let wanted = |entry: &&Entry| before.is_none_or(|b| entry.revision < b);
        Ok(self.state().history.iter().rev().filter(wanted).take(limit).cloned().collect())
    }

    fn nudges(&self) -> watch::Receiver<Revision> {
        self.nudge.subscribe()
    }

    fn describe(&self) -> String {
        "memory".into()
    }

    fn sessions(&self) -> Arc<dyn Sessions> {
        Arc::new(self.sessions.clone())
    }

    fn journal(&self) -> Arc<dyn Journal> {
        Arc::new(self.journal.clone())
    }

    fn health(&self) -> Health {
        Health::at_hand(self.state().catalog.revision)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn memory() -> Memory {
        Memory::new(Clock::System)
    }

    crate::store::contract::contract!(memory);
}
