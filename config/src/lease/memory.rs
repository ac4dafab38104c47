//! Leases in memory: of the one node that is not in a cluster, and of the many of a simulation, which share them.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};

use super::{Fence, Held, Leases};
use crate::clock::Clock;
use crate::store::StoreError;

/// See the module. Clones share the leases.
#[derive(Clone, Debug)]
pub struct Memory {
    clock: Clock,
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    fence: u64,
    /// Each with its end.
    leases: BTreeMap<String, (Held, DateTime<Utc>)>,
}

impl Memory {
    /// No lease is taken yet.
    pub fn new(clock: Clock) -> Self {
        Self { clock, state: Arc::default() }
    }

    /// Whether this owner holds it, as this holding of it.
    pub fn holds(&self, key: &str, owner: &str, fence: Fence) -> bool {
        self.state().leases.get(key).is_some_and(|(held, _)| held.owner == owner && held.fence == fence)
    }

    /// Loses all leases, as a store does that falls back to what it was before.
    pub fn lose_all(&self) {
        self.state().leases.clear();
    }

    /// The leases that have not ended.
    fn state(&self) -> MutexGuard<'_, State> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let now = self.clock.now();
        state.leases.retain(|_, (_, end)| *end > now);
        state
    }
}

#[async_trait]
impl Leases for Memory {
    async fn lease(&self, key: &str, owner: &str, ttl: Duration) -> Result<Option<Held>, StoreError> {
        let mut state = self.state();
        if state.leases.contains_key(key) {
            return Ok(None);
        }
        state.fence += 1;
        let held = Held { key: key.into(), owner: owner.into(), fence: Fence(state.fence) };
        state.leases.insert(key.into(), (held.clone(), self.clock.now() + ttl));
        Ok(Some(held))
    }

    async fn renew(&self, held: &[Held], ttl: Duration) -> Result<Vec<bool>, StoreError> {
        let mut state = self.state();
        let end = self.clock.now() + ttl;
        let renew = |held: &Held| match state.leases.get_mut(&held.key) {
            Some((lease, old)) if lease == held => {
                *old = end;
                true
            }
            _ => false,
        };
        Ok(held.iter().map(renew).collect())
    }

    async fn release(&self, held: &Held) -> Result<bool, StoreError> {
        let mut state = self.state();
        let ours = state.leases.get(&held.key).is_some_and(|(lease, _)| lease == held);
        if ours {
            state.leases.remove(&held.key);
        }
        Ok(ours)
    }
}

#[cfg(test)]
mod tests {
    use super::super::contract;
    use super::*;

    #[tokio::test]
    async fn they_keep_the_contract() {
        contract::keeps(&Memory::new(Clock::System)).await;
    }
}
