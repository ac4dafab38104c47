//! Journals in memory: of tests and simulations.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use chrono::{DateTime, Utc};

use super::{Deed, Journal, Log, next};
use crate::clock::Clock;
use crate::store::StoreError;

/// See the module. Clones share the journals.
#[derive(Clone, Debug)]
pub struct Memory {
    clock: Clock,
    /// The oldest first.
    logs: Arc<Mutex<BTreeMap<Log, VecDeque<Deed>>>>,
}

impl Memory {
    /// Nothing was done yet.
    pub fn new(clock: Clock) -> Self {
        Self { clock, logs: Arc::default() }
    }
}

#[async_trait]
impl Journal for Memory {
    async fn note(&self, log: Log, deed: Deed) -> Result<(), StoreError> {
        let mut logs = self.logs.lock().unwrap_or_else(PoisonError::into_inner);
        let deeds = logs.entry(log).or_default();
        let at = next(deeds.back().map(|deed| deed.at), self.clock.now());
        deeds.push_back(Deed { at, ..deed });
        if deeds.len() > log.keeps() {
            deeds.pop_front();
        }
        Ok(())
    }

    async fn read(
        &self,
        log: Log,
        before: Option<DateTime<Utc>>,
        limit: usize,
    ) -> Result<Vec<Deed>, StoreError> {
        let logs = self.logs.lock().unwrap_or_else(PoisonError::into_inner);
        let newest = logs.get(&log).into_iter().flatten().rev();
        let older = newest.skip_while(|deed| before.is_some_and(|before| deed.at >= before));
        Ok(older.take(limit).cloned().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::super::contract;
    use super::*;

    #[tokio::test]
    async fn it_keeps_the_contract() {
        contract::keeps(&Memory::new(Clock::System)).await;
    }
}
