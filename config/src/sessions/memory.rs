//! Sessions in memory: of tests and simulations, and what the file of a single node is read into.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};
use tokio::sync::broadcast;

use super::{PUSHES, Sessions};
use crate::clock::Clock;
use crate::store::StoreError;

/// How many sessions there may be at once.
const MOST: usize = 1_000_000;

/// See the module. Clones share the sessions.
#[derive(Clone, Debug)]
pub struct Memory {
    clock: Clock,
    /// Each with its end.
    state: Arc<Mutex<HashMap<String, DateTime<Utc>>>>,
    pushes: broadcast::Sender<Arc<str>>,
}

impl Memory {
    /// No session is open yet.
    pub fn new(clock: Clock) -> Self {
        Self { clock, state: Arc::default(), pushes: broadcast::Sender::new(PUSHES) }
    }

    /// With these sessions, each with its end.
    pub(crate) fn with(clock: Clock, sessions: impl IntoIterator<Item = (String, DateTime<Utc>)>) -> Self {
        let now = clock.now();
        let open = sessions.into_iter().filter(|(_, end)| *end > now).collect();
        Self { state: Arc::new(Mutex::new(open)), ..Self::new(clock) }
    }

    /// When a session ends, if it is open.
    pub(crate) fn end(&self, id: &str) -> Option<DateTime<Utc>> {
        let now = self.clock.now();
        self.state().get(id).copied().filter(|end| *end > now)
    }

    fn state(&self) -> MutexGuard<'_, HashMap<String, DateTime<Utc>>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn after(&self, ttl: Duration) -> DateTime<Utc> {
        let ttl = TimeDelta::from_std(ttl).unwrap_or(TimeDelta::MAX);
        self.clock.now().checked_add_signed(ttl).unwrap_or(DateTime::<Utc>::MAX_UTC)
    }
}

#[async_trait]
impl Sessions for Memory {
    async fn open(&self, id: &str, ttl: Duration) -> Result<(), StoreError> {
        let (now, end) = (self.clock.now(), self.after(ttl));
        let mut state = self.state();
        if state.len() >= MOST {
            state.retain(|_, end| *end > now);
        }
        if state.len() >= MOST {
            return Err(StoreError::Unavailable(format!("there are {MOST} sessions already")));
        }
        state.insert(id.into(), end);
        Ok(())
    }

    async fn touch(&self, id: &str, ttl: Duration) -> Result<bool, StoreError> {
        let (now, end) = (self.clock.now(), self.after(ttl));
        let mut state = self.state();
        match state.get_mut(id) {
            Some(ends) if *ends > now => {
                *ends = end;
                Ok(true)
            }
            _ => {
                state.remove(id);
                Ok(false)
            }
        }
    }

    async fn close(&self, id: &str) -> Result<bool, StoreError> {
        let now = self.clock.now();
        let closed = self.state().remove(id).is_some_and(|end| end > now);
        // Nobody may be listening.
        drop(self.pushes.send(id.into()));
        Ok(closed)
    }

    fn closed(&self) -> broadcast::Receiver<Arc<str>> {
        self.pushes.subscribe()
    }
}

#[cfg(test)]
mod tests {
    use super::super::contract;
    use super::*;

    #[tokio::test]
    async fn it_keeps_the_contract() {
        let sessions = Memory::new(Clock::System);
        contract::keeps(&sessions, &sessions.clone()).await;
    }
}
