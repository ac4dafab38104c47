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
    /// Each with its end, which may have passed.
    leases: BTreeMap<String, (Held, DateTime<Utc>)>,
}

impl Memory {
    /// No lease is taken yet.
    pub fn new(clock: Clock) -> Self {
        Self { clock, state: Arc::default() }
    }

    /// Whether this owner holds it, as this holding of it.
    pub fn holds(&self, key: &str, owner: &str, fence: Fence) -> bool {
        let now = self.clock.now();
        self.state().held(key, now).is_some_and(|held| held.owner == owner && held.fence == fence)
    }

    /// Loses all leases, as a store does that falls back to what it was before.
    pub fn lose_all(&self) {
        self.state().leases.clear();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// The lease, unless it has ended.
    fn held(&self, key: &str, now: DateTime<Utc>) -> Option<&Held> {
        self.leases.get(key).filter(|(_, end)| *end > now).map(|(held, _)| held)
    }
}

#[async_trait]
impl Leases for Memory {
    async fn lease(&self, key: &str, owner: &str, ttl: Duration) -> Result<Option<Held>, StoreError> {
        let (mut state, now) = (self.state(), self.clock.now());
        if state.held(key, now).is_some() {
            return Ok(None);
        }
        state.fence += 1;
        let held = Held { key: key.into(), owner: owner.into(), fence: Fence(state.fence) };
        state.leases.insert(key.into(), (held.clone(), now + ttl));
        Ok(Some(held))
    }

    async fn renew(&self, held: &[Held], ttl: Duration) -> Result<Vec<bool>, StoreError> {
        let (mut state, now) = (self.state(), self.clock.now());
        let renew = |held: &Held| match state.leases.get_mut(&held.key) {
            Some((lease, end)) if lease == held && *end > now => {
                *end = now + ttl;
                true
            }
            _ => false,
        };
        Ok(held.iter().map(renew).collect())
    }

    async fn release(&self, held: &Held) -> Result<bool, StoreError> {
        let (mut state, now) = (self.state(), self.clock.now());
        let ours = state.held(&held.key, now) == Some(held);
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
