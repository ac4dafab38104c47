//! Slots in memory: for tests and simulations, whose nodes share them. Nothing survives it.

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;

use super::ledger::{self, Tables};
use super::{
    Answer, Claim, Ending, HISTORY, JobState, Look, Micros, Record, Slots, Wanted, bucket_of, lease_of,
};
use crate::clock::Clock;
use crate::lease::{self, Held};
use crate::name::{DefId, Family, Name};
use crate::store::{Store, StoreError};

/// See the module. Clones share what is kept.
#[derive(Clone)]
pub struct Memory {
    clock: Clock,
    leases: lease::Memory,
    catalog: Arc<dyn Store>,
    kept: Arc<Mutex<Kept>>,
}

/// What is kept. A copy shares the histories with its original, until one of them goes on.
#[derive(Clone, Default)]
pub struct Kept {
    states: BTreeMap<Name, JobState>,
    under_way: BTreeMap<(Name, Micros), Record>,
    history: BTreeMap<Name, Arc<Lines>>,
    numbers: BTreeMap<Name, u64>,
    number: u64,
    changes: u64,
    link: u64,
}

/// What is written down of one job.
type Lines = BTreeMap<Micros, Arc<Record>>;

impl Kept {
    /// The last slot of a job that is decided in it.
    pub fn last(&self, name: &Name) -> Micros {
        self.states.get(name).map_or(0, |state| state.last)
    }

    /// What is written down of all jobs, and what is under way.
    pub fn records(&self) -> impl Iterator<Item = (&Name, &Record)> {
        let of_one = |(name, lines)| Lines::values(lines).map(move |line| (name, &**line));
        let ended = self.history.iter().map(|(name, lines)| (name, &**lines)).flat_map(of_one);
        ended.chain(self.under_way.iter().map(|((name, _), record)| (name, record)))
    }
}

impl Tables for Kept {
    type Error = Infallible;

    fn state(&self, name: &Name) -> Result<Option<JobState>, Infallible> {
        Ok(self.states.get(name).copied())
    }

    fn set_state(&mut self, name: &Name, state: &JobState) -> Result<(), Infallible> {
        self.states.insert(name.clone(), *state);
        Ok(())
    }

    fn under_way(&self, name: &Name, slot: Micros) -> Result<Option<Record>, Infallible> {
        Ok(self.under_way.get(&(name.clone(), slot)).cloned())
    }

    fn set_under_way(
        &mut self,
        name: &Name,
        slot: Micros,
        record: Option<&Record>,
    ) -> Result<(), Infallible> {
        let key = (name.clone(), slot);
        match record {
            Some(record) => drop(self.under_way.insert(key, record.clone())),
            None => drop(self.under_way.remove(&key)),
        }
        Ok(())
    }

    fn write(&mut self, name: &Name, slot: Micros, record: &Record, keep: usize) -> Result<(), Infallible> {
        let lines = Arc::make_mut(self.history.entry(name.clone()).or_default());
        lines.insert(slot, Arc::new(record.clone()));
        while lines.len() > keep {
            lines.pop_first();
        }
        Ok(())
    }
}

fn sure<T>(outcome: Result<T, Infallible>) -> T {
    match outcome {
        Ok(value) => value,
    }
}

impl Memory {
    /// Nothing is kept yet. `leases` and `catalog` are those of the same store.
    pub fn new(clock: Clock, leases: lease::Memory, catalog: Arc<dyn Store>) -> Self {
        Self { clock, leases, catalog, kept: Arc::default() }
    }

    /// A copy of what is kept, as a replica would have it.
    pub fn copy(&self) -> Kept {
        self.kept().clone()
    }

    /// Falls back to an earlier copy.
    pub fn fall_back(&self, to: Kept) {
        let mut kept = self.kept();
        let link = kept.link + 1;
        *kept = Kept { link, ..to };
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn time(&self) -> Micros {
        self.clock.now().timestamp_micros()
    }
}

#[async_trait]
impl Slots for Memory {
    async fn look(&self) -> Result<Look, StoreError> {
        let (now, kept) = (self.time(), self.kept());
        Ok(Look { now, changes: kept.changes, link: kept.link })
    }

    async fn take_over(&self, lease: &Held, wanted: &[Wanted]) -> Result<Option<Vec<JobState>>, StoreError> {
        if !self.leases.holds(&lease.key, &lease.owner, lease.fence) {
            return Ok(None);
        }
        let (mut kept, now) = (self.kept(), self.time());
        let take = |wanted| sure(ledger::take_over(&mut *kept, wanted, now));
        Ok(Some(wanted.iter().map(take).collect()))
    }

    async fn under_way(&self, bucket: u16) -> Result<Vec<(Name, Record)>, StoreError> {
        let kept = self.kept();
        let ours = kept.under_way.iter().filter(|((name, _), _)| bucket_of(name) == bucket);
        Ok(ours.map(|((name, _), record)| (name.clone(), record.clone())).collect())
    }

    async fn claim(&self, owner: &str, claims: &[Claim]) -> Result<Vec<Answer>, StoreError> {
        let catalog = self.catalog.load().await?;
        let (mut kept, now) = (self.kept(), self.time());
        let decide = |claim: &Claim| {
            if !self.leases.holds(&lease_of(bucket_of(&claim.name)), owner, claim.fence) {
                return Answer::Lost;
            }
            let wanted = catalog.get(&DefId::new(Family::Job, claim.name.clone())).map(|d| d.changed_at);
            sure(ledger::claim(&mut *kept, claim, wanted, now))
        };
        Ok(claims.iter().map(decide).collect())
    }

    async fn begin(&self, name: &Name, record: &Record) -> Result<(), StoreError> {
        let (mut kept, now) = (self.kept(), self.time());
        sure(ledger::begin(&mut *kept, name, record, now));
        Ok(())
    }

    async fn end(&self, endings: &[Ending]) -> Result<(), StoreError> {
        let mut kept = self.kept();
        endings.iter().for_each(|ending| sure(ledger::end(&mut *kept, ending)));
        Ok(())
    }

    async fn history(&self, name: &Name, limit: usize) -> Result<Vec<Record>, StoreError> {
        let kept = self.kept();
        let mut lines: BTreeMap<Micros, &Record> = BTreeMap::new();
        let ended = kept.history.get(name).into_iter().flat_map(|lines| lines.iter());
        lines.extend(ended.map(|(slot, record)| (*slot, &**record)));
        let open = kept.under_way.range((name.clone(), Micros::MIN)..=(name.clone(), Micros::MAX));
        lines.extend(open.map(|((_, slot), record)| (*slot, record)));
        Ok(lines.into_values().rev().take(limit.min(HISTORY)).cloned().collect())
    }

    async fn states(&self, names: &[Name]) -> Result<Vec<Option<JobState>>, StoreError> {
        let kept = self.kept();
        Ok(names.iter().map(|name| kept.states.get(name).copied()).collect())
    }

    async fn numbers(&self, names: &[Name]) -> Result<Vec<u64>, StoreError> {
        let mut kept = self.kept();
        let mut number = |name: &Name| {
            if let Some(number) = kept.numbers.get(name) {
                return *number;
            }
            kept.number += 1;
            let number = kept.number;
            kept.numbers.insert(name.clone(), number);
            number
        };
        Ok(names.iter().map(&mut number).collect())
    }

    async fn activate(&self, name: &Name) -> Result<bool, StoreError> {
        let (mut kept, now) = (self.kept(), self.time());
        let Some(state) = kept.states.get(name).copied() else { return Ok(false) };
        kept.states.insert(name.clone(), ledger::next_turn(state, now));
        kept.changes += 1;
        Ok(true)
    }

    async fn rename(&self, from: &Name, to: &Name) -> Result<(), StoreError> {
        let (mut kept, now) = (self.kept(), self.time());
        if let Some(state) = kept.states.remove(from) {
            let there = kept.states.get(to).copied();
            kept.states.insert(to.clone(), ledger::renamed(state, there, now));
        }
        if let Some(number) = kept.numbers.remove(from) {
            kept.numbers.insert(to.clone(), number);
        }
        kept.under_way.retain(|(name, _), _| name != from);
        let lines = Arc::unwrap_or_clone(kept.history.remove(from).unwrap_or_default());
        Arc::make_mut(kept.history.entry(to.clone()).or_default()).extend(lines);
        kept.changes += 1;
        Ok(())
    }

    async fn forget(&self, bucket: u16, names: &[Name]) -> Result<(), StoreError> {
        let catalog = self.catalog.load().await?;
        let gone = |name: &&Name| {
            bucket_of(name) == bucket && catalog.get(&DefId::new(Family::Job, (*name).clone())).is_none()
        };
        let gone: BTreeSet<&Name> = names.iter().filter(gone).collect();
        let mut kept = self.kept();
        kept.states.retain(|name, _| !gone.contains(name));
        kept.under_way.retain(|(name, _), _| !gone.contains(name));
        kept.history.retain(|name, _| !gone.contains(name));
        kept.numbers.retain(|name, _| !gone.contains(name));
        Ok(())
    }

    async fn known(&self, bucket: u16) -> Result<Vec<Name>, StoreError> {
        Ok(self.kept().states.keys().filter(|name| bucket_of(name) == bucket).cloned().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::super::contract;
    use super::*;
    use crate::store::memory::Memory as MemoryStore;

    #[tokio::test]
    async fn they_keep_the_contract() {
        let store = Arc::new(MemoryStore::new(Clock::System));
        let leases = lease::Memory::new(Clock::System);
        let slots = Memory::new(Clock::System, leases.clone(), store.clone());
        contract::keeps(&*store, &leases, &slots).await;
    }
}
