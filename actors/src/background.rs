//! Calls that nobody waits for: each has a context of its own, and who asked for it can have others told of its outcome.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use http::header::CONTENT_TYPE;
use sdk::background::{LONGEST_DELAY, MAX_CALLS, Outcome, Outcomes};
use sdk::{
    Background, Caller, ChannelInfo, Cid, Context, Error, ErrorKind, Origin, Request, Response, Result, Said,
};
use serde::Serialize;
use serde_json::Value;
use tokio::sync::{OwnedSemaphorePermit, oneshot};
use tokio::time::Instant;

use crate::engine::{ASYNC_DEADLINE, Bound};
use crate::snapshot::Snapshot;

/// The longest time that repeated calls may take together.
const LONGEST_RETRY: Duration = Duration::from_secs(24 * 60 * 60);

/// Where calls come from, as the services that are called see it.
const CALLED: &str = "invoke-async";
/// The same for those that hear of an outcome.
const ANSWERED: &str = "invoke-async-callback";

/// Who asked for it.
#[derive(Clone)]
struct Asked {
    service: Arc<str>,
    caller: Option<Caller>,
    origin: Origin,
    cid: Cid,
}

/// Begins it, and answers the cid of the calls.
///
/// # Errors
/// If a service is not there, nothing is to be called or too much, or too many are running already.
pub(crate) fn begin(snapshot: Arc<Snapshot>, caller: &Context, mut work: Background) -> Result<Cid> {
    if work.delay > LONGEST_DELAY {
        let hint = "what comes later is a job of the scheduler";
        return Err(Error::invalid(format!("a call can be put off by {LONGEST_DELAY:?} at most; {hint}")));
    }
    if let Some((times, pause)) = work.retry
        && pause.checked_mul(times).is_none_or(|all| all > LONGEST_RETRY)
    {
        return Err(Error::invalid(format!("repeated calls can take {LONGEST_RETRY:?} together at most")));
    }
    if work.calls.is_empty() || work.calls.len() > MAX_CALLS {
        return Err(Error::invalid(format!("from 1 to {MAX_CALLS} services are called at once")));
    }
    let told = work.then.iter().chain(&work.each).chain(&work.last);
    for name in work.calls.iter().map(|(name, _)| name).chain(told) {
        snapshot.service(name)?;
    }
    let around = snapshot.around.clone();
    let number = u32::try_from(work.calls.len()).unwrap_or(u32::MAX);
    let permit = around
        .background
        .clone()
        .try_acquire_many_owned(number)
        .map_err(|_| Error::new(ErrorKind::TooMany, "too many services are running in the background"))?;
    let cid = work.cid.unwrap_or_else(Cid::new);
    work.cid = Some(cid);
    let asked = Asked {
        service: caller.service().into(),
        caller: caller.caller().cloned(),
        origin: caller.origin(),
        cid: caller.cid(),
    };
    around.tasks.spawn("invoke-async", async move {
        let Some(snapshot) = put_off(snapshot, work.delay, cid).await else { return };
        let mut calls = std::mem::take(&mut work.calls);
        match calls.pop() {
            Some((target, request)) if calls.is_empty() && work.last.is_empty() => {
                one(snapshot, &asked, cid, &work, target, request).await;
                drop(permit);
            }
            Some(last) => {
                calls.push(last);
                several(snapshot, permit, asked, work, calls).await;
            }
            None => {}
        }
    });
    Ok(cid)
}

/// Waits, and gives the snapshot of then; none, if the node stops before.
async fn put_off(snapshot: Arc<Snapshot>, delay: Duration, cid: Cid) -> Option<Arc<Snapshot>> {
    if delay.is_zero() {
        return Some(snapshot);
    }
    let around = snapshot.around.clone();
    drop(snapshot); // what it holds may be replaced meanwhile
    tokio::select! {
        () = tokio::time::sleep(delay) => around.live.upgrade().map(|live| live.load_full()),
        () = around.stopping.cancelled() => {
            tracing::warn!(%cid, "a call that was put off is let go, since the node stops");
            None
        }
    }
}

/// Makes all the calls at once, and tells of them.
async fn several(
    snapshot: Arc<Snapshot>,
    mut permit: OwnedSemaphorePermit,
    asked: Asked,
    work: Background,
    calls: Vec<(String, Request)>,
) {
    let (begun, cid, work) = (snapshot.around.clock.now(), work.cid.unwrap_or(asked.cid), Arc::new(work));
    let mut waiting = Vec::with_capacity(calls.len());
    for (target, request) in calls {
        let (done, ends) = oneshot::channel();
        waiting.push(ends);
        let (asked, work, snapshot, permit) =
            (asked.clone(), work.clone(), snapshot.clone(), permit.split(1));
        let tasks = snapshot.around.tasks.clone();
        tasks.spawn("invoke-async", async move {
            let outcome = one(snapshot, &asked, cid, &work, target, request).await;
            drop((permit, done.send(outcome))); // nobody may want to know
        });
    }
    if work.last.is_empty() {
        return; // each goes on by itself
    }
    let around = snapshot.around.clone();
    drop(snapshot); // it may take long
    let mut data = BTreeMap::new();
    for ends in waiting {
        if let Ok(Some(outcome)) = ends.await {
            data.insert(outcome.target.clone(), outcome);
        }
    }
    let outcomes = Outcomes {
        cid: cid.to_string(),
        source: asked.service.to_string(),
        req_ts_utc: begun,
        on_target: work.each.clone(),
        on_final: work.last.clone(),
        data,
    };
    if let Some(live) = around.live.upgrade() {
        tell(&live.load_full(), &asked, cid, &work.last, &outcomes);
    }
}

/// Makes one call, as often as is wanted, and tells of it; the outcome, if anybody is to hear of it.
async fn one(
    mut snapshot: Arc<Snapshot>,
    asked: &Asked,
    cid: Cid,
    work: &Background,
    target: String,
    request: Request,
) -> Option<Outcome> {
    let begun = snapshot.around.clock.now();
    let mut left = work.retry.map_or(0, |(times, _)| times);
    let outcome = loop {
        let outcome = call(&snapshot, asked, cid, CALLED, &target, request.clone()).await;
        match &outcome {
            Err(error) if left > 0 && error.kind().status().is_server_error() => left -= 1,
            _ => break outcome,
        }
        let pause = work.retry.map_or(Duration::ZERO, |(_, pause)| pause);
        snapshot = put_off(snapshot, pause, cid).await?;
    };
    if let Err(error) = &outcome {
        let by = asked.cid;
        tracing::error!(%cid, invoked_by = %by, service = target, %error, "a service nobody waits for failed");
    }
    if let Ok(answer) = &outcome {
        for service in &work.then {
            let request = Request::new(answer.body.clone()).saying(Said {
                form: Some(form_of(answer)),
                in_reply_to: Some(cid),
                ..Said::default()
            });
            told(&snapshot, asked, cid, service, request);
        }
    }
    if work.each.is_empty() && work.last.is_empty() {
        return None;
    }
    let outcome = Outcome {
        cid: cid.to_string(),
        req_ts_utc: begun,
        resp_ts_utc: snapshot.around.clock.now(),
        ok: outcome.is_ok(),
        response: outcome.as_ref().map_or(Value::Null, value_of),
        exception: outcome.as_ref().err().map(|error| error.message().to_owned()),
        source: asked.service.to_string(),
        target,
        context: work.context.clone(),
    };
    tell(&snapshot, asked, cid, &work.each, &outcome);
    Some(outcome)
}

/// Calls a service as itself: its deadline and its chain of callers begin here.
async fn call(
    snapshot: &Arc<Snapshot>,
    asked: &Asked,
    cid: Cid,
    channel: &'static str,
    service: &str,
    request: Request,
) -> Result<Response> {
    let bound: Bound = snapshot.service(service)?;
    let (channel, deadline) = (ChannelInfo::new(channel, channel), Instant::now() + ASYNC_DEADLINE);
    let engine = snapshot.clone();
    let ctx = Context::new(cid, asked.caller.clone(), channel, deadline, bound.name.clone(), engine);
    bound.call(&ctx.with_origin(asked.origin), request).await
}

/// Tells services of something, as JSON.
fn tell(snapshot: &Arc<Snapshot>, asked: &Asked, cid: Cid, services: &[String], what: &impl Serialize) {
    if services.is_empty() {
        return;
    }
    match Request::json(what) {
        Ok(request) => {
            let request =
                request.saying(Said { form: Some("json"), in_reply_to: Some(cid), ..Said::default() });
            for service in services {
                told(snapshot, asked, cid, service, request.clone());
            }
        }
        Err(error) => tracing::error!(%cid, %error, "an outcome cannot be told"),
    }
}

/// Starts a service that is told of something.
fn told(snapshot: &Arc<Snapshot>, asked: &Asked, cid: Cid, service: &str, request: Request) {
    let Ok(permit) = snapshot.around.background.clone().try_acquire_owned() else {
        tracing::error!(%cid, service, "too many services are running in the background: it is not told of an outcome");
        return;
    };
    let (snapshot, asked, service) = (snapshot.clone(), asked.clone(), service.to_owned());
    let tasks = snapshot.around.tasks.clone();
    tasks.spawn("invoke-async-callback", async move {
        let _permit = permit;
        if let Err(error) = call(&snapshot, &asked, cid, ANSWERED, &service, request).await {
            tracing::error!(%cid, service, %error, "a service that was told of an outcome failed");
        }
    });
}

/// How an answer is to be read, as in [`Said::form`].
pub(crate) fn form_of(answer: &Response) -> &'static str {
    let kind = answer.headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    match kind {
        _ if answer.body.is_empty() => "none",
        Some(kind) if kind.contains("json") => "json",
        _ if std::str::from_utf8(&answer.body).is_ok() => "text",
        _ => "raw",
    }
}

fn value_of(answer: &Response) -> Value {
    let text = || Value::String(String::from_utf8_lossy(&answer.body).into_owned());
    match form_of(answer) {
        "none" => Value::Null,
        "json" => serde_json::from_slice(&answer.body).unwrap_or_else(|_| text()),
        _ => text(),
    }
}
