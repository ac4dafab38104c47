//! The scheduler: fires jobs, each slot once, whatever happens to the nodes.
//!
//! `core` decides, and does nothing; `owner` is the loop around it; `deeds` is what is done to the store, and `fire` to
//! services. `docs/scheduler.md` says what users may rely upon.

pub mod core;
mod deeds;
pub mod fire;
pub mod job;
pub mod meters;
mod owner;
pub mod time;

use std::sync::Arc;
use std::time::Duration;

use cluster::Board;
use config::slots::{Ending, Record, Slots};
use config::{Clock, Family, Leases, Membership, Name};
use sdk::task::{Endless, Tasks};
use sdk::{Cid, Error, Result};
use tokio::sync::watch;

use self::job::Job;
use self::meters::Meters;
use crate::part::Part;
use crate::snapshot::Live;

/// What the scheduler works with.
pub struct With {
    /// This node.
    pub node: Name,
    /// The number of this start of its process, once it is known.
    pub incarnation: Box<dyn Fn() -> Option<u64> + Send + Sync>,
    /// Where slots are decided.
    pub slots: Arc<dyn Slots>,
    /// Where leases are.
    pub leases: Arc<dyn Leases>,
    /// Who else is here; none on a node that is no part of a cluster.
    pub members: Option<Arc<dyn Membership>>,
    /// What runs.
    pub live: Live,
    /// Wakes when that has changed.
    pub board: Arc<Board>,
    /// Background work.
    pub tasks: Tasks,
    /// The node's own time, for what belongs to no slot.
    pub clock: Clock,
}

/// How the scheduler of a node is.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Health {
    /// How many runs are under way.
    pub runs: usize,
    /// How many jobs it knows.
    pub jobs: usize,
    /// Jobs that are active and silent, and why.
    pub silent: Vec<(Name, String)>,
    /// How often its loop has failed or stood still, and begun anew.
    pub restarts: u64,
}

/// See the module. A clone is the same.
#[derive(Clone)]
pub struct Scheduler {
    with: Arc<With>,
    meters: Meters,
    health: Arc<watch::Sender<Health>>,
    stop: Arc<watch::Sender<bool>>,
}

impl Scheduler {
    /// One that fires for as long as the guard is kept.
    pub fn begin(with: With, meters: Meters) -> (Self, Endless) {
        let (health, stop) = (Arc::new(watch::Sender::default()), Arc::new(watch::Sender::new(false)));
        let scheduler = Self { with: Arc::new(with), meters, health, stop };
        let work = owner::watched(scheduler.clone(), scheduler.stop.subscribe());
        let guard = scheduler.with.tasks.endless("scheduler", work);
        (scheduler, guard)
    }

    /// What is kept of jobs.
    pub fn slots(&self) -> &Arc<dyn Slots> {
        &self.with.slots
    }

    /// How it is.
    pub fn health(&self) -> Health {
        self.health.borrow().clone()
    }

    /// Fires no slot any more, gives all leases back, and waits until what runs has ended and is written down, `limit` at
    /// most; whether it has.
    pub async fn stop(&self, limit: Duration) -> bool {
        self.stop.send_replace(true);
        let ended = async {
            // The loop drops its receiver when it ends.
            self.stop.closed().await;
        };
        deeds::within(limit, ended).await.is_some()
    }

    /// Fires a job now, on this node, whatever its plan; the cid of the run. It does not wait for the end.
    ///
    /// # Errors
    /// If there is no such job, it does not run, or the store does not answer.
    pub async fn run(&self, name: &Name) -> Result<Cid> {
        let snapshot = self.with.live.now();
        let found = snapshot.part(Family::Job, name.as_str());
        let Some((Part::Job(made), running)) = found.map(|running| (&running.part, running)) else {
            return Err(match snapshot.why_not(Family::Job, name.as_str()) {
                Some(why) => Error::unavailable(format!("job {name:?} does not run: {why}")),
                None => Error::not_found(format!("there is no job {name:?} that runs")),
            });
        };
        let (plan, gate) = (running.definition.changed_at, running.gate.clone());
        let job = Job { name: name.clone(), plan, made: made.clone(), gate };
        let cid = Cid::new();
        let store = |error: config::StoreError| Error::unavailable(error.to_string());
        let slots = self.with.slots.clone();
        let slot = slots.look().await.map_err(store)?.now;
        let number = (self.with.incarnation)().unwrap_or_default();
        let owner = format!("{}#{number}", self.with.node);
        let record = Record::begins(slot, &owner, slot, cid.to_string());
        let record = Record { manual: true, ..record };
        slots.begin(name, &record).await.map_err(store)?;
        let (live, clock) = (self.with.live.clone(), self.with.clock.clone());
        self.with.tasks.spawn("job", async move {
            let end = fire::fire(&live, &job, &record).await;
            let name = job.name.clone();
            let now = clock.now().timestamp_micros();
            let record = Record { attempts: end.attempts, ..record };
            let record = record.ended(end.outcome, now, end.why.as_deref());
            let ending = [Ending { name, slot, record, presumed: false }];
            for _ in 0..10 {
                match slots.end(&ending).await {
                    Ok(()) => return,
                    Err(error) => tracing::warn!(%error, "the end of a run is not written yet"),
                }
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        });
        Ok(cid)
    }
}
