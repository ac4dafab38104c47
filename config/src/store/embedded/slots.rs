//! Slots in the file of the embedded store. The one node decides them by the same rules as the nodes of a cluster.

use std::time::Duration;

use async_trait::async_trait;
use redb::{ReadableDatabase as _, ReadableTable as _, TableDefinition, WriteTransaction};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::file::File;
use super::{Embedded, Inner, blocking};
use crate::lease::{Fence, Held, Leases};
use crate::name::{DefId, Family, Name, Revision};
use crate::slots::ledger::{self, Tables};
use crate::slots::{
    Answer, Claim, Ending, HISTORY, JobState, Look, Micros, Record, Slots, Wanted, bucket_of, lease_of,
};
use crate::store::StoreError;

/// The states of jobs: plan, turn, anchor, last, spent.
const STATES: TableDefinition<'_, &str, (u64, u64, i64, i64, bool)> = TableDefinition::new("job-states");
/// The runs that are under way, as JSON.
const UNDER_WAY: TableDefinition<'_, (&str, i64), &[u8]> = TableDefinition::new("job-runs");
/// The history of jobs, as JSON.
const LINES: TableDefinition<'_, (&str, i64), &[u8]> = TableDefinition::new("job-slots");
/// The numbers of jobs; under the empty name, the last one given; under a line feed, how many changes there were.
const NUMBERS: TableDefinition<'_, &str, u64> = TableDefinition::new("job-numbers");
const LAST: &str = "";
const CHANGES: &str = "\n";

type Result<T, E = redb::Error> = std::result::Result<T, E>;

fn state_of(row: (u64, u64, i64, i64, bool)) -> JobState {
    let (plan, turn, anchor, last, spent) = row;
    JobState { plan: Revision(plan), turn, anchor, last, spent }
}

fn written(value: &impl Serialize) -> Result<Vec<u8>> {
    serde_json::to_vec(value).map_err(|error| redb::Error::Io(error.into()))
}

/// A line that cannot be read is as good as none.
fn read<T: DeserializeOwned>(json: &[u8]) -> Option<T> {
    serde_json::from_slice(json).ok()
}

/// All of it within one transaction.
struct Tx<'a>(&'a WriteTransaction);

impl Tables for Tx<'_> {
    type Error = redb::Error;

    fn state(&self, name: &Name) -> Result<Option<JobState>> {
        Ok(self.0.open_table(STATES)?.get(name.as_str())?.map(|row| state_of(row.value())))
    }

    fn set_state(&mut self, name: &Name, state: &JobState) -> Result<()> {
        let JobState { plan, turn, anchor, last, spent } = *state;
        self.0.open_table(STATES)?.insert(name.as_str(), (plan.0, turn, anchor, last, spent))?;
        Ok(())
    }

    fn under_way(&self, name: &Name, slot: Micros) -> Result<Option<Record>> {
        Ok(self.0.open_table(UNDER_WAY)?.get((name.as_str(), slot))?.and_then(|row| read(row.value())))
    }

    fn set_under_way(&mut self, name: &Name, slot: Micros, record: Option<&Record>) -> Result<()> {
        let mut table = self.0.open_table(UNDER_WAY)?;
        match record {
            Some(record) => table.insert((name.as_str(), slot), written(record)?.as_slice())?,
            None => table.remove((name.as_str(), slot))?,
        };
        Ok(())
    }

    fn write(&mut self, name: &Name, slot: Micros, record: &Record, keep: usize) -> Result<()> {
        let mut table = self.0.open_table(LINES)?;
        table.insert((name.as_str(), slot), written(record)?.as_slice())?;
        let all = (name.as_str(), i64::MIN)..=(name.as_str(), i64::MAX);
        let slots = table.range(all)?.map(|row| Ok(row?.0.value().1)).collect::<Result<Vec<i64>>>()?;
        for old in slots.iter().rev().skip(keep) {
            table.remove((name.as_str(), *old))?;
        }
        Ok(())
    }
}

impl Tx<'_> {
    fn count(&self, key: &str) -> Result<u64> {
        let mut table = self.0.open_table(NUMBERS)?;
        let next = table.get(key)?.map_or(0, |row| row.value()) + 1;
        table.insert(key, next)?;
        Ok(next)
    }

    fn number(&self, name: &Name) -> Result<u64> {
        let there = self.0.open_table(NUMBERS)?.get(name.as_str())?.map(|row| row.value());
        if let Some(number) = there {
            return Ok(number);
        }
        let number = self.count(LAST)?;
        self.0.open_table(NUMBERS)?.insert(name.as_str(), number)?;
        Ok(number)
    }

    /// Removes what is kept of a job, and returns its history.
    fn remove(&self, name: &Name) -> Result<Vec<Record>> {
        self.0.open_table(STATES)?.remove(name.as_str())?;
        self.0.open_table(NUMBERS)?.remove(name.as_str())?;
        let all = || (name.as_str(), i64::MIN)..=(name.as_str(), i64::MAX);
        self.0.open_table(UNDER_WAY)?.retain_in(all(), |_, _| false)?;
        let mut table = self.0.open_table(LINES)?;
        let lines = table.range(all())?.map(|row| Ok(read(row?.1.value()))).collect::<Result<Vec<_>>>()?;
        table.retain_in(all(), |_, _| false)?;
        Ok(lines.into_iter().flatten().collect())
    }
}

impl File {
    /// Changes what is kept of jobs, all of it or nothing; or only looks at it.
    fn change<T>(&self, keep: bool, change: impl FnOnce(&mut Tx<'_>) -> Result<T>) -> Result<T, StoreError> {
        let work = || -> Result<T> {
            let tx = self.database().begin_write()?;
            let value = change(&mut Tx(&tx))?;
            if keep {
                tx.commit()?;
            } else {
                tx.abort()?;
            }
            Ok(value)
        };
        self.told(work())
    }

    fn look(&self, table: &str) -> Result<u64, StoreError> {
        let work = || -> Result<u64> {
            let tx = self.database().begin_read()?;
            match tx.open_table(NUMBERS) {
                Ok(numbers) => Ok(numbers.get(table)?.map_or(0, |row| row.value())),
                Err(redb::TableError::TableDoesNotExist(_)) => Ok(0),
                Err(error) => Err(redb::Error::from(error)),
            }
        };
        self.told(work())
    }
}

impl Embedded {
    /// Works on the file, on a thread that may wait for the disk.
    async fn file<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Inner, &File) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        // One at a time, as commits are: a commit must not come between the look at the plan and the claim.
        let turn = self.0.writer.clone().lock_owned().await;
        let inner = self.0.clone();
        blocking(move || {
            let outcome = inner.with_file(|file| work(&inner, file));
            drop(turn);
            outcome
        })
        .await
    }

    async fn change<T: Send + 'static>(
        &self,
        change: impl FnOnce(&Inner, &mut Tx<'_>) -> Result<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.file(move |inner, file| file.change(true, |tx| change(inner, tx))).await
    }

    async fn see<T: Send + 'static>(
        &self,
        see: impl FnOnce(&Inner, &mut Tx<'_>) -> Result<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.file(move |inner, file| file.change(false, |tx| see(inner, tx))).await
    }
}

impl Inner {
    fn time(&self) -> Micros {
        self.clock.now().timestamp_micros()
    }

    /// The plan that is wanted of a job.
    fn plan(&self, name: &Name) -> Option<Revision> {
        self.current.load().get(&DefId::new(Family::Job, name.clone())).map(|job| job.changed_at)
    }

    fn holds(&self, bucket: u16, owner: &str, fence: Fence) -> bool {
        self.leases.holds(&lease_of(bucket), owner, fence)
    }
}

#[async_trait]
impl Leases for Embedded {
    async fn lease(&self, key: &str, owner: &str, ttl: Duration) -> Result<Option<Held>, StoreError> {
        self.0.leases.lease(key, owner, ttl).await
    }

    async fn renew(&self, held: &[Held], ttl: Duration) -> Result<Vec<bool>, StoreError> {
        self.0.leases.renew(held, ttl).await
    }

    async fn release(&self, held: &Held) -> Result<bool, StoreError> {
        self.0.leases.release(held).await
    }
}

#[async_trait]
impl Slots for Embedded {
    async fn look(&self) -> Result<Look, StoreError> {
        let inner = self.0.clone();
        let changes = blocking(move || inner.with_file(|file| file.look(CHANGES))).await?;
        Ok(Look { now: self.0.time(), changes, link: 0 })
    }

    async fn take_over(&self, lease: &Held, wanted: &[Wanted]) -> Result<Option<Vec<JobState>>, StoreError> {
        if !self.0.leases.holds(&lease.key, &lease.owner, lease.fence) {
            return Ok(None);
        }
        let wanted = wanted.to_vec();
        let take = move |inner: &Inner, tx: &mut Tx<'_>| {
            let now = inner.time();
            wanted.iter().map(|wanted| ledger::take_over(tx, wanted, now)).collect::<Result<_>>()
        };
        self.change(take).await.map(Some)
    }

    async fn under_way(&self, bucket: u16) -> Result<Vec<(Name, Record)>, StoreError> {
        let read_all = move |_: &Inner, tx: &mut Tx<'_>| {
            let table = tx.0.open_table(UNDER_WAY)?;
            let mut found = Vec::new();
            for row in table.iter()? {
                let (key, json) = row?;
                let name: Option<Name> = key.value().0.parse().ok();
                found.extend(name.filter(|name| bucket_of(name) == bucket).zip(read(json.value())));
            }
            Ok(found)
        };
        self.see(read_all).await
    }

    async fn claim(&self, owner: &str, claims: &[Claim]) -> Result<Vec<Answer>, StoreError> {
        let (owner, claims) = (owner.to_owned(), claims.to_vec());
        let decide = move |inner: &Inner, tx: &mut Tx<'_>| {
            let now = inner.time();
            let decide = |claim: &Claim| {
                if !inner.holds(bucket_of(&claim.name), &owner, claim.fence) {
                    return Ok(Answer::Lost);
                }
                ledger::claim(tx, claim, inner.plan(&claim.name), now)
            };
            claims.iter().map(decide).collect::<Result<Vec<_>>>()
        };
        self.change(decide).await
    }

    async fn begin(&self, name: &Name, record: &Record) -> Result<(), StoreError> {
        let (name, record) = (name.clone(), record.clone());
        self.change(move |inner, tx| ledger::begin(tx, &name, &record, inner.time())).await
    }

    async fn end(&self, endings: &[Ending]) -> Result<(), StoreError> {
        let endings = endings.to_vec();
        self.change(move |_, tx| endings.iter().try_for_each(|ending| ledger::end(tx, ending))).await
    }

    async fn history(&self, name: &Name, limit: usize) -> Result<Vec<Record>, StoreError> {
        let name = name.clone();
        let all = move |_: &Inner, tx: &mut Tx<'_>| {
            let mut found = std::collections::BTreeMap::new();
            for table in [LINES, UNDER_WAY] {
                let table = tx.0.open_table(table)?;
                for row in table.range((name.as_str(), i64::MIN)..=(name.as_str(), i64::MAX))? {
                    let (key, json) = row?;
                    found.extend(read::<Record>(json.value()).map(|record| (key.value().1, record)));
                }
            }
            Ok(found.into_values().rev().take(limit.min(HISTORY)).collect())
        };
        self.see(all).await
    }

    async fn states(&self, names: &[Name]) -> Result<Vec<Option<JobState>>, StoreError> {
        let names = names.to_vec();
        self.see(move |_, tx| names.iter().map(|name| tx.state(name)).collect()).await
    }

    async fn numbers(&self, names: &[Name]) -> Result<Vec<u64>, StoreError> {
        let names = names.to_vec();
        self.change(move |_, tx| names.iter().map(|name| tx.number(name)).collect()).await
    }

    async fn activate(&self, name: &Name) -> Result<bool, StoreError> {
        let name = name.clone();
        let activate = move |inner: &Inner, tx: &mut Tx<'_>| {
            let Some(state) = tx.state(&name)? else { return Ok(false) };
            tx.set_state(&name, &ledger::next_turn(state, inner.time()))?;
            tx.count(CHANGES).map(|_| true)
        };
        self.change(activate).await
    }

    async fn rename(&self, from: &Name, to: &Name) -> Result<(), StoreError> {
        let (from, to) = (from.clone(), to.clone());
        let rename = move |inner: &Inner, tx: &mut Tx<'_>| {
            if let Some(state) = tx.state(&from)? {
                let state = ledger::renamed(state, tx.state(&to)?, inner.time());
                tx.set_state(&to, &state)?;
            }
            let number = tx.0.open_table(NUMBERS)?.get(from.as_str())?.map(|row| row.value());
            for line in tx.remove(&from)? {
                tx.write(&to, line.at(), &line, HISTORY)?;
            }
            if let Some(number) = number {
                tx.0.open_table(NUMBERS)?.insert(to.as_str(), number)?;
            }
            tx.count(CHANGES).map(drop)
        };
        self.change(rename).await
    }

    async fn forget(&self, bucket: u16, names: &[Name]) -> Result<(), StoreError> {
        let names: Vec<Name> = names.iter().filter(|name| bucket_of(name) == bucket).cloned().collect();
        let forget = move |inner: &Inner, tx: &mut Tx<'_>| {
            let mut gone = names.iter().filter(|name| inner.plan(name).is_none());
            gone.try_for_each(|name| tx.remove(name).map(drop))
        };
        self.change(forget).await
    }

    async fn known(&self, bucket: u16) -> Result<Vec<Name>, StoreError> {
        let known = move |_: &Inner, tx: &mut Tx<'_>| {
            let mut found = Vec::new();
            for row in tx.0.open_table(STATES)?.iter()? {
                let name: Option<Name> = row?.0.value().parse().ok();
                found.extend(name.filter(|name| bucket_of(name) == bucket));
            }
            Ok(found)
        };
        self.see(known).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Clock;
    use crate::{lease, slots};

    #[tokio::test]
    async fn they_keep_the_contract_and_what_is_decided_outlives_the_process() {
        let folder = tempfile::tempdir().expect("a folder");
        let store = Embedded::open(folder.path(), Clock::System).expect("opens");
        lease::contract::keeps(&store).await;
        slots::contract::keeps(&store, &store, &store).await;
        let name: Name = "kept".parse().expect("a name");
        let held = store.lease(&lease_of(bucket_of(&name)), "n", Duration::from_secs(9)).await;
        let held = held.expect("answers").expect("is free");
        let wanted = [Wanted { name: name.clone(), plan: Revision(7), known: None }];
        let before = store.take_over(&held, &wanted).await.expect("answers").expect("held");
        drop(store);
        let store = Embedded::open(folder.path(), Clock::System).expect("opens again");
        assert_eq!(store.states(&[name]).await.expect("answers"), [Some(before[0])]);
    }
}
