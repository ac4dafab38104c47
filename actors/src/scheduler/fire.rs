//! A run: the service of a job is called as from any channel, again if it fails and the job says so, and then what
//! follows up.

use std::time::Duration;

use chrono::{DateTime, Utc};
use config::slots::{Outcome, Record};
use config::{DefId, Family, Name};
use sdk::{ChannelInfo, Cid, Context, ErrorKind, Origin, Request, Result};
use serde::Serialize;
use tokio::time::Instant;

use super::job::Job;
use crate::engine::ASYNC_DEADLINE;
use crate::snapshot::Live;

/// The longest pause between two attempts.
const LONGEST: Duration = Duration::from_secs(300);

/// How a run ended.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct End {
    /// In one word.
    pub outcome: Outcome,
    /// What went wrong.
    pub why: Option<String>,
    /// How often the service was called.
    pub attempts: u32,
}

/// What a service that follows up is given.
#[derive(Serialize)]
struct FollowUp<'a> {
    job: &'a Name,
    slot: DateTime<Utc>,
    outcome: Outcome,
    error: Option<&'a str>,
    attempts: u32,
    cid: &'a str,
}

/// Calls the service of a job.
pub async fn fire(live: &Live, job: &Job, record: &Record) -> End {
    let cid = record.cid.as_deref().and_then(|cid| cid.parse().ok()).unwrap_or_else(Cid::new);
    let policy = &job.made.policy;
    let deadline = Instant::now() + policy.timeout;
    let mut attempts = 0;
    let error = loop {
        attempts += 1;
        match call(live, job, cid, deadline).await {
            Ok(()) => break None,
            Err(error) => {
                let pause = policy.backoff.saturating_mul(1 << (attempts - 1).min(20)).min(LONGEST);
                let last = attempts > policy.retries || Instant::now() + pause >= deadline;
                if last || error.kind() == ErrorKind::Timeout && Instant::now() >= deadline {
                    break Some(error);
                }
                tracing::warn!(job = %job.name, %cid, %error, attempts, "a job failed; it is tried again");
                tokio::time::sleep(pause).await;
            }
        }
    };
    let outcome = if error.is_none() { Outcome::Done } else { Outcome::Failed };
    if let Some(error) = &error {
        tracing::warn!(job = %job.name, %cid, %error, attempts, "a job failed");
    }
    let why = error.map(|error| error.to_string());
    let end = End { outcome, why, attempts };
    follow_up(live, job, record, cid, &end);
    end
}

async fn call(live: &Live, job: &Job, cid: Cid, deadline: Instant) -> Result<()> {
    let id = DefId::new(Family::Job, job.name.clone());
    let _pass = job.gate.enter(&id)?;
    let snapshot = live.now();
    let bound = snapshot.service(job.made.service.as_str())?;
    let channel = ChannelInfo::of_job(job.name.as_str(), job.made.r#type);
    let meter = snapshot.part(Family::Job, job.name.as_str()).map(|running| running.meter.clone());
    let ctx = Context::new(cid, None, channel, deadline, bound.name.clone(), snapshot);
    let ctx = ctx.with_origin(Origin::Within);
    let counted = meter.as_ref().map(|meter| meter.begin(Instant::now()));
    let outcome = bound.call(&ctx, Request::new(job.made.extra.clone())).await.map(drop);
    if let Some(counted) = counted {
        counted.end(&outcome);
    }
    outcome
}

/// Starts the service that is to hear of the end, and does not wait for it.
fn follow_up(live: &Live, job: &Job, record: &Record, cid: Cid, end: &End) {
    let made = &job.made;
    let next = if end.outcome == Outcome::Done { &made.on_success } else { &made.on_failure };
    let Some(service) = next else { return };
    let told = FollowUp {
        job: &job.name,
        slot: record.slot,
        outcome: end.outcome,
        error: end.why.as_deref(),
        attempts: end.attempts,
        cid: cid.as_str(),
    };
    let start = || -> Result<Cid> {
        let request = Request::json(&told)?;
        let snapshot = live.now();
        let channel = ChannelInfo::of_job(job.name.as_str(), made.r#type);
        let deadline = Instant::now() + ASYNC_DEADLINE;
        let name = made.service.as_str().into();
        let ctx = Context::new(cid, None, channel, deadline, name, snapshot);
        let ctx = ctx.with_origin(Origin::Within);
        ctx.invoke_async(service.as_str(), request)
    };
    if let Err(error) = start() {
        tracing::error!(job = %job.name, %cid, %service, %error, "what follows up a job was not started");
    }
}
