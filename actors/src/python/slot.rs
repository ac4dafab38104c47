//! The place of one worker in a pool: a worker that ends is followed by another.

use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use futures_util::FutureExt as _;
use serde_json::{Value, json};
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::declared::{Declared, InspectError};
use super::pool::Shared;
use super::process::Process;
use super::spawn::{Loaded, spawn};
use crate::backoff::Backoff;
use crate::engine::panic_text;

/// The longest wait before a worker that ended is followed by another: a package whose workers do nothing but crash costs
/// no more than this.
const LONGEST_WAIT: Duration = Duration::from_secs(1);
/// How long to wait for news of how a process ended.
const EXIT_LIMIT: Duration = Duration::from_millis(500);

/// See the module.
#[derive(Default)]
pub(super) struct Slot {
    /// The worker that runs.
    pub(super) now: ArcSwapOption<Process>,
    restarts: AtomicU64,
}

impl Slot {
    /// What an operator wants to know.
    pub(super) fn stats(&self) -> Value {
        let restarts = self.restarts.load(Ordering::Relaxed);
        match &*self.now.load() {
            None => json!({ "state": "starting", "restarts": restarts }),
            Some(process) => json!({
                "state": if process.is_silent() { "silent" } else if process.takes() { "running" } else { "leaving" },
                "pid": process.pid,
                "in_flight": process.load.load(Ordering::Relaxed),
                "calls": process.calls.load(Ordering::Relaxed),
                "served": process.served.load(Ordering::Relaxed),
                "memory": process.memory.load(Ordering::Relaxed),
                "restarts": restarts,
            }),
        }
    }
}

/// Starts a worker and serves it; when it ends, another. The outcome of the first start goes to `first`; if that fails,
/// there is no second.
pub(super) async fn keep(
    shared: Arc<Shared>,
    index: usize,
    first: oneshot::Sender<Result<Vec<Declared>, InspectError>>,
) {
    let mut first = Some(first);
    let mut backoff = Backoff::default();
    let package = &shared.load.source.package;
    loop {
        let why = match spawn(&shared.runtime, &shared.load, index).await {
            Ok(loaded) => {
                let told = first.take().map(|first| first.send(Ok(loaded.services.clone())));
                if matches!(told, Some(Err(_))) {
                    return; // whoever wanted the pool has given up
                }
                serve(&shared, index, loaded).await
            }
            Err(error) => match first.take() {
                Some(first) => return drop(first.send(Err(error))),
                None => error.to_string(),
            },
        };
        if shared.closing.is_cancelled() {
            return shared.changed.notify_waiters();
        }
        tracing::warn!(%package, why, "a Python worker has ended; another follows");
        *shared.last.lock().unwrap_or_else(PoisonError::into_inner) = why;
        shared.slots[index].restarts.fetch_add(1, Ordering::Relaxed);
        shared.changed.notify_waiters();
        let verdict = backoff.failure(Instant::now());
        if backoff.failures() > 1 {
            tokio::time::sleep(verdict.wait.min(LONGEST_WAIT)).await;
        }
    }
}

/// Serves a worker until it ends. Answers why.
async fn serve(shared: &Arc<Shared>, index: usize, loaded: Loaded) -> String {
    let Loaded { process, reader, exit, .. } = loaded;
    let (pid, process) = (process.pid, Arc::new(process));
    let slot = &shared.slots[index];
    slot.now.store(Some(process.clone()));
    shared.changed.notify_waiters();
    let living = AssertUnwindSafe(process.live(reader, &shared.desk, shared.load.memory)).catch_unwind();
    let why = match living.await {
        Ok(why) => why,
        Err(panic) => format!("the engine failed to serve it: {}", panic_text(&*panic)),
    };
    slot.now.store(None);
    process.end();
    match tokio::time::timeout(EXIT_LIMIT, exit).await {
        Ok(Ok(exit)) => format!("process {pid}: {why} ({exit})"),
        _ => format!("process {pid}: {why}"),
    }
}
