//! Membership in memory: of the one node that is not in a cluster, and of the many of a simulation, which share it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use tokio::sync::watch;

use super::{Heard, Member, Membership, NodeRecord, REMEMBERED, Report, Reported};
use crate::clock::Clock;
use crate::name::{Name, Revision};
use crate::store::{Store, StoreError};

/// See the module. Clones share what they know.
#[derive(Clone)]
pub struct Memory(Arc<Inner>);

struct Inner {
    clock: Clock,
    /// Knows when a revision was committed.
    store: Arc<dyn Store>,
    state: Mutex<State>,
    reported: watch::Sender<u64>,
}

#[derive(Default)]
struct State {
    incarnations: u64,
    nodes: BTreeMap<Name, Seen>,
    reports: BTreeMap<Name, (Reported, DateTime<Utc>)>,
}

struct Seen {
    record: NodeRecord,
    at: DateTime<Utc>,
    ttl: Duration,
}

impl std::fmt::Debug for Memory {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Memory").field("nodes", &self.state().nodes.keys()).finish()
    }
}

impl Memory {
    /// Nobody is here yet. `clock` is the one that all nodes share; `store` is asked when a revision was committed.
    pub fn new(clock: Clock, store: Arc<dyn Store>) -> Self {
        Self(Arc::new(Inner { clock, store, state: Mutex::default(), reported: watch::Sender::new(0) }))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn since(&self, at: DateTime<Utc>) -> Duration {
        (self.0.clock.now() - at).to_std().unwrap_or_default()
    }

    async fn committed(&self, revision: Revision) -> Option<DateTime<Utc>> {
        let newest = self.0.store.history(Some(revision.next()), 1).await.ok()?;
        newest.first().filter(|entry| entry.revision == revision).map(|entry| entry.at)
    }
}

#[async_trait]
impl Membership for Memory {
    async fn incarnation(&self) -> Result<u64, StoreError> {
        let mut state = self.state();
        state.incarnations += 1;
        Ok(state.incarnations)
    }

    async fn heartbeat(&self, record: &NodeRecord, ttl: Duration) -> Result<Heard, StoreError> {
        let mut state = self.state();
        let newer = |seen: &Seen| seen.record.incarnation > record.incarnation;
        if state.nodes.get(&record.node).is_some_and(newer) {
            return Ok(Heard::Replaced);
        }
        let seen = Seen { record: record.clone(), at: self.0.clock.now(), ttl };
        state.nodes.insert(record.node.clone(), seen);
        Ok(Heard::Yes)
    }

    async fn leave(&self, node: &Name, incarnation: u64) -> Result<(), StoreError> {
        let mut state = self.state();
        if state.nodes.get(node).is_some_and(|seen| seen.record.incarnation <= incarnation) {
            state.nodes.remove(node);
            state.reports.remove(node);
        }
        Ok(())
    }

    async fn members(&self) -> Result<Vec<Member>, StoreError> {
        let mut state = self.state();
        state.nodes.retain(|_, seen| self.since(seen.at) < REMEMBERED);
        let member = |seen: &Seen| {
            let age = self.since(seen.at);
            Member { record: seen.record.clone(), age, alive: age < seen.ttl }
        };
        Ok(state.nodes.values().map(member).collect())
    }

    async fn report(&self, report: &Report) -> Result<Heard, StoreError> {
        let now = self.0.clock.now();
        let committed = self.committed(report.revision).await;
        let mut state = self.state();
        let newer = |seen: &Seen| seen.record.incarnation > report.incarnation;
        if state.nodes.get(&report.node).is_some_and(newer) {
            return Ok(Heard::Replaced);
        }
        let before = state.reports.get(&report.node);
        let same = |before: &&(Reported, _)| before.0.report.revision == report.revision;
        let at = before.filter(same).map_or(now, |(_, at)| *at);
        let after = committed.map(|committed| (at - committed).to_std().unwrap_or_default());
        state.reports.insert(report.node.clone(), (Reported { report: report.clone(), after }, at));
        drop(state);
        self.0.reported.send_modify(|count| *count += 1);
        Ok(Heard::Yes)
    }

    async fn reports(&self) -> Result<Vec<Reported>, StoreError> {
        Ok(self.state().reports.values().map(|(reported, _)| reported.clone()).collect())
    }

    fn reported(&self) -> watch::Receiver<u64> {
        self.0.reported.subscribe()
    }
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::super::contract;
    use super::*;
    use crate::store::memory::Memory as MemoryStore;

    fn memory(clock: Clock) -> (Memory, Arc<dyn Store>) {
        let store: Arc<dyn Store> = Arc::new(MemoryStore::new(clock.clone()));
        (Memory::new(clock, store.clone()), store)
    }

    #[tokio::test]
    async fn it_keeps_the_contract() {
        let (members, store) = memory(Clock::System);
        contract::keeps(&members, &*store).await;
    }

    #[tokio::test]
    async fn time_is_the_clock_s() {
        let clock = Clock::manual(DateTime::UNIX_EPOCH);
        let (members, _) = memory(clock.clone());
        let record = contract::record("a", 1);
        members.heartbeat(&record, Duration::from_secs(5)).await.expect("ok");
        let mut seen = Vec::new();
        for seconds in [4, 1, 86_394, 1] {
            clock.advance(TimeDelta::seconds(seconds));
            let found = members.members().await.expect("ok");
            seen.push(found.first().map(|member| (member.age.as_secs(), member.alive)));
        }
        assert_eq!(seen, [Some((4, true)), Some((5, false)), Some((86_399, false)), None]);
    }
}
