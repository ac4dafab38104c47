//! Slots in Redis: states and runs by bucket, and the history of each job, changed by scripts only.

mod scripts;

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;

use async_trait::async_trait;
use redis::aio::MultiplexedConnection as Connection;

use super::Redis;
use super::link::{COMMAND, Failure, bounded, limit_for};
use crate::lease::Held;
use crate::name::{Name, Revision};
use crate::slots::{
    Answer, Claim, EARLY, Ending, HISTORY, JobState, Look, Micros, Outcome, Record, Slots, Wanted, bucket_of,
};
use crate::store::StoreError;

/// A state as it is kept.
fn text(state: &JobState) -> String {
    let JobState { plan, turn, anchor, last, spent } = state;
    format!("{plan} {turn} {anchor} {last} {}", u8::from(*spent))
}

fn parse(text: &str) -> Result<JobState, Failure> {
    let numbers: Result<Vec<i64>, _> = text.split(' ').map(str::parse).collect();
    let state = match numbers.as_deref() {
        Ok([plan, turn, anchor, last, spent]) => Some(JobState {
            plan: Revision(plan.unsigned_abs()),
            turn: turn.unsigned_abs(),
            anchor: *anchor,
            last: *last,
            spent: *spent != 0,
        }),
        _ => None,
    };
    state.ok_or_else(|| Failure::told(format!("{text:?} is not the state of a job")))
}

fn json(record: &Record) -> Result<Vec<u8>, StoreError> {
    serde_json::to_vec(record).map_err(|error| StoreError::Unavailable(error.to_string()))
}

fn answer(number: u8) -> Result<Answer, Failure> {
    let all = [Answer::Granted, Answer::Taken, Answer::Retired, Answer::Early, Answer::Lost];
    let found = all.get(usize::from(number)).copied();
    found.ok_or_else(|| Failure::told(format!("{number} is no answer to a claim")))
}

#[async_trait]
impl Slots for Redis {
    async fn look(&self) -> Result<Look, StoreError> {
        let keys = &self.inner.keys;
        let call = |mut connection: Connection| async move {
            let mut pipe = redis::pipe();
            pipe.cmd("TIME").get(keys.job_changes());
            let ((seconds, micros), changes): ((i64, i64), Option<u64>) =
                bounded(COMMAND, pipe.query_async(&mut connection)).await?;
            Ok(Look { now: seconds * 1_000_000 + micros, changes: changes.unwrap_or_default(), link: 0 })
        };
        let look = self.inner.ask(call).await?;
        Ok(Look { link: self.inner.dialed.load(Ordering::Relaxed), ..look })
    }

    async fn take_over(&self, lease: &Held, wanted: &[Wanted]) -> Result<Option<Vec<JobState>>, StoreError> {
        let Some(first) = wanted.first() else { return Ok(Some(Vec::new())) };
        let keys = &self.inner.keys;
        let states = &keys.jobs(bucket_of(&first.name));
        let call = |mut connection: Connection| async move {
            let mut call = scripts::TAKE_OVER.prepare_invoke();
            call.key(keys.lease(&lease.key)).key(states).arg(&lease.owner).arg(lease.fence.0);
            for Wanted { name, plan, known } in wanted {
                call.arg(name.as_str()).arg(plan.0).arg(known.as_ref().map(text).unwrap_or_default());
            }
            let answers: Vec<String> = bounded(COMMAND, call.invoke_async(&mut connection)).await?;
            if answers.is_empty() {
                return Ok(None);
            }
            answers.iter().map(|answer| parse(answer)).collect::<Result<Vec<_>, _>>().map(Some)
        };
        self.inner.ask(call).await
    }

    async fn under_way(&self, bucket: u16) -> Result<Vec<(Name, Record)>, StoreError> {
        let keys = &self.inner.keys;
        let call = |mut connection: Connection| async move {
            let mut read = redis::cmd("HGETALL");
            read.arg(keys.runs(bucket));
            bounded(COMMAND, read.query_async::<Vec<(String, Vec<u8>)>>(&mut connection)).await
        };
        let runs = self.inner.ask(call).await?;
        let run = |(field, json): &(String, Vec<u8>)| {
            let name = field.split('\n').next()?.parse().ok()?;
            Some((name, serde_json::from_slice(json).ok()?))
        };
        Ok(runs.iter().filter_map(run).collect())
    }

    async fn claim(&self, owner: &str, claims: &[Claim]) -> Result<Vec<Answer>, StoreError> {
        let keys = &self.inner.keys;
        let records: &Vec<_> = &claims.iter().map(|c| json(&c.record)).collect::<Result<_, _>>()?;
        let call = |mut connection: Connection| async move {
            let mut call = scripts::CLAIM.prepare_invoke();
            call.key(keys.objects()).arg(keys.prefix()).arg(owner).arg(EARLY).arg(HISTORY);
            for (claim, record) in claims.iter().zip(records) {
                call.arg(bucket_of(&claim.name)).arg(claim.fence.0).arg(claim.name.as_str());
                call.arg(claim.plan.0).arg(claim.turn).arg(claim.anchor).arg(claim.slot).arg(claim.until);
                call.arg(u8::from(claim.spent)).arg(u8::from(claim.record.outcome == Outcome::Running));
                call.arg(record);
            }
            let answers: Vec<u8> = bounded(COMMAND, call.invoke_async(&mut connection)).await?;
            answers.into_iter().map(answer).collect()
        };
        self.inner.ask(call).await
    }

    async fn begin(&self, name: &Name, record: &Record) -> Result<(), StoreError> {
        let keys = &self.inner.keys;
        let (bucket, json) = (bucket_of(name), &json(record)?);
        let call = |mut connection: Connection| async move {
            let mut call = scripts::BEGIN.prepare_invoke();
            call.key(keys.jobs(bucket)).key(keys.runs(bucket)).arg(name.as_str()).arg(record.at()).arg(json);
            bounded(COMMAND, call.invoke_async(&mut connection)).await
        };
        self.inner.ask(call).await
    }

    async fn end(&self, endings: &[Ending]) -> Result<(), StoreError> {
        let keys = &self.inner.keys;
        let records: &Vec<_> = &endings.iter().map(|e| json(&e.record)).collect::<Result<_, _>>()?;
        let call = |mut connection: Connection| async move {
            let mut call = scripts::END.prepare_invoke();
            call.arg(keys.prefix()).arg(HISTORY);
            for (Ending { name, slot, presumed, .. }, record) in endings.iter().zip(records) {
                call.arg(bucket_of(name)).arg(name.as_str()).arg(*slot).arg(u8::from(*presumed)).arg(record);
            }
            let bytes = records.iter().map(Vec::len).sum();
            bounded(limit_for(bytes), call.invoke_async(&mut connection)).await
        };
        self.inner.ask(call).await
    }

    async fn history(&self, name: &Name, limit: usize) -> Result<Vec<Record>, StoreError> {
        let keys = &self.inner.keys;
        let limit = limit.min(HISTORY);
        let call = |mut connection: Connection| async move {
            let mut read = redis::cmd("ZREVRANGE");
            read.arg(keys.slots(name)).arg(0).arg(HISTORY);
            bounded(COMMAND, read.query_async::<Vec<Vec<u8>>>(&mut connection)).await
        };
        let lines = self.inner.ask(call).await?;
        let lines = lines.iter().filter_map(|line| serde_json::from_slice::<Record>(line).ok());
        let mut all: BTreeMap<Micros, Record> = lines.map(|record| (record.at(), record)).collect();
        let open = self.under_way(bucket_of(name)).await?;
        all.extend(open.into_iter().filter(|(of, _)| of == name).map(|(_, record)| (record.at(), record)));
        Ok(all.into_values().rev().take(limit).collect())
    }

    async fn states(&self, names: &[Name]) -> Result<Vec<Option<JobState>>, StoreError> {
        let keys = &self.inner.keys;
        let call = |mut connection: Connection| async move {
            let mut pipe = redis::pipe();
            for name in names {
                pipe.hget(keys.jobs(bucket_of(name)), name.as_str());
            }
            let states: Vec<Option<String>> = bounded(COMMAND, pipe.query_async(&mut connection)).await?;
            states.iter().map(|state| state.as_deref().map(parse).transpose()).collect()
        };
        if names.is_empty() { Ok(Vec::new()) } else { self.inner.ask(call).await }
    }

    async fn numbers(&self, names: &[Name]) -> Result<Vec<u64>, StoreError> {
        let keys = &self.inner.keys;
        let call = |mut connection: Connection| async move {
            let mut call = scripts::NUMBERS.prepare_invoke();
            call.key(keys.numbers());
            for name in names {
                call.arg(name.as_str());
            }
            bounded(COMMAND, call.invoke_async(&mut connection)).await
        };
        self.inner.ask(call).await
    }

    async fn activate(&self, name: &Name) -> Result<bool, StoreError> {
        let keys = &self.inner.keys;
        let call = |mut connection: Connection| async move {
            let mut call = scripts::ACTIVATE.prepare_invoke();
            call.key(keys.jobs(bucket_of(name))).key(keys.job_changes()).arg(name.as_str());
            bounded(COMMAND, call.invoke_async::<u8>(&mut connection)).await
        };
        Ok(self.inner.ask(call).await? == 1)
    }

    async fn rename(&self, from: &Name, to: &Name) -> Result<(), StoreError> {
        let keys = &self.inner.keys;
        let call = |mut connection: Connection| async move {
            let mut call = scripts::RENAME.prepare_invoke();
            call.arg(keys.prefix()).arg(from.as_str()).arg(bucket_of(from));
            call.arg(to.as_str()).arg(bucket_of(to));
            bounded(COMMAND, call.invoke_async(&mut connection)).await
        };
        self.inner.ask(call).await
    }

    async fn forget(&self, bucket: u16, names: &[Name]) -> Result<(), StoreError> {
        let keys = &self.inner.keys;
        let call = |mut connection: Connection| async move {
            let mut call = scripts::FORGET.prepare_invoke();
            call.arg(keys.prefix()).arg(bucket);
            for name in names {
                call.arg(name.as_str());
            }
            bounded(COMMAND, call.invoke_async(&mut connection)).await
        };
        self.inner.ask(call).await
    }

    async fn known(&self, bucket: u16) -> Result<Vec<Name>, StoreError> {
        let keys = &self.inner.keys;
        let call = |mut connection: Connection| async move {
            let mut read = redis::cmd("HKEYS");
            read.arg(keys.jobs(bucket));
            bounded(COMMAND, read.query_async::<Vec<String>>(&mut connection)).await
        };
        Ok(self.inner.ask(call).await?.iter().filter_map(|name| name.parse().ok()).collect())
    }
}
