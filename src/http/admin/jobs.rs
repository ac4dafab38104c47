//! Endpoints about jobs: what becomes of them, and what operators do to them.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use config::Name;
use config::slots::{HISTORY, Record};
use sdk::{Error, Result};

use super::answer::Failure;
use super::call::Call;
use super::shapes::Started;
use crate::definitions::{Options, WAIT};
use crate::jobs::{JobView, Jobs, Preview, Switched};

/// How many slots a preview shows, and a history, unless the caller says otherwise.
const FEW: (usize, usize) = (10, 20);

fn jobs(call: &Call) -> Result<Arc<Jobs>> {
    call.app.jobs.clone().ok_or_else(|| Error::unavailable("the node starts"))
}

fn name(call: &Call) -> Result<Name> {
    let fault = |fault: config::Fault| Error::invalid(fault.message).detail(fault.at, "in the path");
    call.segment("name").parse().map_err(fault)
}

/// Lists them.
pub(super) async fn list(call: Call) -> Result<Vec<JobView>, Failure> {
    Ok(jobs(&call)?.list().await?)
}

/// Shows one.
pub(super) async fn show(call: Call) -> Result<JobView, Failure> {
    Ok(jobs(&call)?.show(&name(&call)?).await?)
}

/// The next slots of one.
pub(super) async fn preview(call: Call) -> Result<Preview, Failure> {
    let count = call.query("n")?.unwrap_or(FEW.0);
    Ok(jobs(&call)?.preview(&name(&call)?, count).await?)
}

/// What became of the newest slots of one.
pub(super) async fn history(call: Call) -> Result<Vec<Record>, Failure> {
    let limit = call.query("limit")?.unwrap_or(FEW.1).clamp(1, HISTORY);
    Ok(jobs(&call)?.history(&name(&call)?, limit).await?)
}

/// Fires one.
pub(super) async fn run(call: Call) -> Result<Started, Failure> {
    Ok(Started { cid: jobs(&call)?.run(&name(&call)?).await?.to_string() })
}

/// Switches one on.
pub(super) async fn activate(call: Call) -> Result<Switched, Failure> {
    let in_history = call.in_history.clone();
    let switched = switch(call, true).await?;
    in_history.store(switched.in_history, Ordering::Relaxed);
    Ok(switched)
}

/// Switches one off.
pub(super) async fn deactivate(call: Call) -> Result<Switched, Failure> {
    switch(call, false).await
}

async fn switch(call: Call, on: bool) -> Result<Switched, Failure> {
    let options = Options { wait: call.wait("wait", WAIT)?, ..Options::default() };
    Ok(jobs(&call)?.switch(&name(&call)?, on, options, call.note()?).await?)
}
