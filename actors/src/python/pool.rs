//! The workers of one package: who gets the next request, and what happens when there is no room.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use sdk::task::Endless;
use sdk::{Error, Result, Service};
use serde_json::{Value, json};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, oneshot};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::calls::Desk;
use super::declared::{Declared, InspectError};
use super::process::Process;
use super::runtime::Runtime;
use super::service::PythonService;
use super::slot::{self, Slot};
use super::spawn::Load;

/// How many requests may wait for each that is worked on.
const WAITING: usize = 16;
/// How long a request may wait for room.
const QUEUE_LIMIT: Duration = Duration::from_secs(10);
/// How long a request may wait for a worker to be started.
const START_LIMIT: Duration = Duration::from_secs(3);
/// How long workers may take to end what they began when the package ends.
const DRAIN_LIMIT: Duration = Duration::from_secs(3);

/// What all workers of a package share.
pub(super) struct Shared {
    pub(super) runtime: Arc<Runtime>,
    pub(super) load: Load,
    pub(super) slots: Vec<Slot>,
    pub(super) desk: Desk,
    /// A worker has started, or failed to.
    pub(super) changed: Notify,
    pub(super) closing: CancellationToken,
    /// Why the last worker that ended did.
    pub(super) last: Mutex<String>,
    places: Arc<Semaphore>,
    capacity: usize,
    waiting: AtomicUsize,
}

/// The workers of one package. When it is dropped they are ended.
pub struct Pool {
    shared: Arc<Shared>,
    declared: Vec<Declared>,
    services: HashMap<String, Arc<dyn Service>>,
    /// One for each slot.
    _keepers: Vec<Endless>,
}

impl Pool {
    pub(super) async fn start(
        runtime: Arc<Runtime>,
        load: Load,
        workers: usize,
    ) -> Result<Arc<Self>, InspectError> {
        let tasks = runtime.settings.tasks.clone();
        let capacity = workers * load.threads;
        let package = load.source.package.to_string();
        let shared = Arc::new(Shared {
            runtime,
            load,
            slots: (0..workers).map(|_| Slot::default()).collect(),
            desk: Desk { package: package.into(), tasks: tasks.clone() },
            changed: Notify::new(),
            closing: CancellationToken::new(),
            last: Mutex::default(),
            places: Arc::new(Semaphore::new(capacity)),
            capacity,
            waiting: AtomicUsize::new(0),
        });
        let (mut keepers, mut starting) = (Vec::new(), Vec::new());
        for index in 0..workers {
            let (started, start) = oneshot::channel();
            let keeper = slot::keep(shared.clone(), index, started);
            keepers.push(tasks.endless("python-worker", keeper));
            starting.push(start);
        }
        let mut declared = Vec::new();
        for start in starting {
            let ended = |_| InspectError::Failed("a worker was not started".into());
            declared = start.await.map_err(ended)??;
        }
        let service = |declared: &Declared| {
            let service = PythonService::new(declared, shared.clone());
            (declared.name.clone(), Arc::new(service) as Arc<dyn Service>)
        };
        let services = declared.iter().map(service).collect();
        Ok(Arc::new(Self { shared, declared, services, _keepers: keepers }))
    }

    /// What is known of its services.
    pub fn services(&self) -> &[Declared] {
        &self.declared
    }

    /// One of them.
    pub fn service(&self, name: &str) -> Option<Arc<dyn Service>> {
        self.services.get(name).cloned()
    }

    /// The state of each worker.
    pub fn stats(&self) -> Value {
        let shared = &self.shared;
        let workers: Vec<Value> = shared.slots.iter().map(Slot::stats).collect();
        json!({
            "version": shared.load.source.version,
            "threads": shared.load.threads,
            "waiting": shared.waiting.load(Ordering::Relaxed),
            "workers": workers,
        })
    }

    /// Ends the workers: what they began ends before, if it does so soon.
    pub async fn close(&self) {
        self.shared.closing.cancel();
        for slot in &self.shared.slots {
            if let Some(process) = slot.now.load_full() {
                process.leave();
            }
        }
        let until = Instant::now() + DRAIN_LIMIT;
        while self.shared.slots.iter().any(|slot| slot.now.load().is_some()) {
            let changed = self.shared.changed.notified();
            let look = Instant::now() + Duration::from_millis(50); // a notice may have come just before
            drop(tokio::time::timeout_at(look.min(until), changed).await);
            if Instant::now() >= until {
                break;
            }
        }
        for slot in &self.shared.slots {
            if let Some(process) = slot.now.swap(None) {
                process.end();
            }
        }
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.shared.closing.cancel();
        for slot in &self.shared.slots {
            if let Some(process) = slot.now.swap(None) {
                process.end();
            }
        }
    }
}

/// Counts one that waits, as long as it waits.
struct Queued<'a>(&'a AtomicUsize);

impl Drop for Queued<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Shared {
    fn busy(&self, what: &str) -> Error {
        let message = format!("package {}: {what}", self.load.source.package);
        Error::unavailable(message).retry_after(Duration::from_secs(1))
    }

    /// A place among those that are worked on at once.
    pub(super) async fn place(&self, deadline: Instant) -> Result<OwnedSemaphorePermit> {
        if let Ok(place) = self.places.clone().try_acquire_owned() {
            return Ok(place);
        }
        let before = self.waiting.fetch_add(1, Ordering::Relaxed);
        let _queued = Queued(&self.waiting);
        if before >= self.capacity * WAITING {
            return Err(self.busy("too many requests wait already"));
        }
        // A little before the caller's own end, so that there is an answer.
        let now = Instant::now();
        let until = (now + QUEUE_LIMIT).min(now + deadline.saturating_duration_since(now).mul_f64(0.9));
        match tokio::time::timeout_at(until, self.places.clone().acquire_owned()).await {
            Ok(Ok(place)) => Ok(place),
            _ => Err(self.busy("all workers were busy")),
        }
    }

    /// The worker with the least to do; if none runs, the next that does.
    pub(super) async fn pick(&self, deadline: Instant) -> Result<Arc<Process>> {
        let until = deadline.min(Instant::now() + START_LIMIT);
        loop {
            let changed = self.changed.notified();
            if let Some(process) = self.least() {
                return Ok(process);
            }
            if self.closing.is_cancelled() || tokio::time::timeout_at(until, changed).await.is_err() {
                let last = self.last.lock().unwrap_or_else(PoisonError::into_inner).clone();
                return Err(self.busy(&format!("none of its workers runs: {last}")));
            }
        }
    }

    fn least(&self) -> Option<Arc<Process>> {
        let mut best: Option<((bool, usize), Arc<Process>)> = None;
        for slot in &self.slots {
            let now = slot.now.load();
            let Some(process) = now.as_ref().filter(|process| process.takes()) else { continue };
            let rank = (process.is_silent(), process.load.load(Ordering::Relaxed));
            if best.as_ref().is_none_or(|(least, _)| rank < *least) {
                best = Some((rank, process.clone()));
            }
        }
        best.map(|(_, process)| process)
    }
}
