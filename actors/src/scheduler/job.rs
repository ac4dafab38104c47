//! A job, as the scheduler sees it: when it is due, what is done about slots that were missed or overlap, and counts.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use config::slots::Micros;
use config::{Name, Revision};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::gate::Gate;

/// How many slots are counted at once; a record of more says fewer.
const COUNTED: u64 = 10_000;

/// When a job is due.
pub trait Timetable: Send + Sync + 'static {
    /// The first slot after `after`. `anchor` is when the plan was made: a start that is left out.
    fn next(&self, after: Micros, anchor: Micros) -> Option<Micros>;

    /// From a slot to the last one that is not after `end`, and how many these are; of very many, the first ones.
    fn through(&self, first: Micros, end: Micros, anchor: Micros) -> (Micros, u64) {
        let (mut last, mut count) = (first, 1);
        while count < COUNTED
            && let Some(next) = self.next(last, anchor).filter(|next| *next <= end)
        {
            (last, count) = (next, count + 1);
        }
        (last, count)
    }

    /// What falls out between two moments, since clocks were put forward and the plan leaves out what does not exist then:
    /// the moment of the first time that this happens, which is no slot, and how many local times it is about.
    fn left_out(&self, _after: Micros, _until: Micros) -> Option<(Micros, u64)> {
        None
    }
}

/// What to do about slots that came while nobody could fire.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Missed {
    /// Nothing: they are written down as missed. One that is only seconds late is not missed yet.
    #[default]
    Skip,
    /// Fire once, for the newest of them.
    Once,
    /// Fire for each of them, in order.
    All,
}

/// What to do about a slot whose job still runs.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Overlap {
    /// Fire all the same.
    #[default]
    Allow,
    /// Skip the slot.
    Skip,
    /// Fire once more when the run has ended, for the newest slot that has come meanwhile.
    QueueOne,
    /// End the run, and fire.
    CancelOld,
}

/// How a job is carried out.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Policy {
    /// Slots that were missed.
    pub missed: Missed,
    /// How old a missed slot may be to be made up for; none: as old as may be.
    pub window: Option<Duration>,
    /// Slots whose job still runs.
    pub overlap: Overlap,
    /// Each slot is fired up to this much later, by a span that it always has.
    pub jitter: Duration,
    /// How long a run may take, all attempts together.
    pub timeout: Duration,
    /// How often a service that failed is called again.
    pub retries: u32,
    /// The pause before the first of these; each further one is twice as long.
    pub backoff: Duration,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            missed: Missed::Skip,
            window: None,
            overlap: Overlap::Allow,
            jitter: Duration::ZERO,
            timeout: Duration::from_secs(3_600),
            retries: 0,
            backoff: Duration::from_secs(1),
        }
    }
}

/// What a kind of jobs makes of a definition.
pub struct Plan {
    /// When it is due.
    pub times: Arc<dyn Timetable>,
    /// How it is carried out.
    pub policy: Policy,
    /// What is called.
    pub service: Name,
    /// What it is given.
    pub extra: Bytes,
    /// What is called when a run went well.
    pub on_success: Option<Name>,
    /// What is called when it did not.
    pub on_failure: Option<Name>,
    /// The type, such as `interval`.
    pub r#type: &'static str,
    /// What has happened.
    pub tally: Tally,
}

/// The timetable of a plan, guarded: one that panics has no slot any more, and is told of as a fault, while all other jobs
/// go on.
impl Timetable for Plan {
    fn next(&self, after: Micros, anchor: Micros) -> Option<Micros> {
        self.guarded(None, || self.times.next(after, anchor))
    }

    fn through(&self, first: Micros, end: Micros, anchor: Micros) -> (Micros, u64) {
        self.guarded((first, 1), || self.times.through(first, end, anchor))
    }

    fn left_out(&self, after: Micros, until: Micros) -> Option<(Micros, u64)> {
        self.guarded(None, || self.times.left_out(after, until))
    }
}

impl Plan {
    fn guarded<T>(&self, otherwise: T, compute: impl FnOnce() -> T) -> T {
        if self.is_broken() {
            return otherwise;
        }
        catch_unwind(AssertUnwindSafe(compute)).unwrap_or_else(|_| {
            self.tally.broken.store(true, Ordering::Relaxed);
            otherwise
        })
    }

    /// Whether its times cannot be computed.
    pub(crate) fn is_broken(&self) -> bool {
        self.tally.broken.load(Ordering::Relaxed)
    }
}

/// A job that is wanted, at one revision of its definition.
#[derive(Clone)]
pub struct Job {
    /// Its name.
    pub name: Name,
    /// The revision that changed it last.
    pub plan: Revision,
    /// What it is made of.
    pub made: Arc<Plan>,
    /// Keeps it from being fired while an operator has paused it.
    pub gate: Arc<Gate>,
}

/// What has become of a job's slots on this node, since its plan was made here.
#[derive(Debug, Default)]
pub struct Tally {
    /// The next slot, if this node fires the job; 0: none.
    pub next: AtomicI64,
    /// The last slot that this node has decided; 0: none.
    pub last: AtomicI64,
    /// The fence under which this node fires the job; 0: it does not.
    pub fence: AtomicU64,
    /// Runs that began.
    pub fired: AtomicU64,
    /// Slots that were skipped since they were missed.
    pub missed: AtomicU64,
    /// Slots that were skipped for other reasons.
    pub skipped: AtomicU64,
    /// Runs that nobody saw ending.
    pub lost: AtomicU64,
    /// Whether its times could not be computed.
    pub broken: AtomicBool,
}

impl Tally {
    /// Counts.
    pub(crate) fn add(counter: &AtomicU64, n: u64) {
        counter.fetch_add(n, Ordering::Relaxed);
    }

    /// For an operator.
    pub fn shown(&self) -> serde_json::Value {
        let at = |moment: &AtomicI64| {
            let moment = moment.load(Ordering::Relaxed);
            (moment != 0).then(|| chrono::DateTime::from_timestamp_micros(moment)).flatten()
        };
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        serde_json::json!({
            "owner": count(&self.fence) != 0,
            "next": at(&self.next),
            "last": at(&self.last),
            "fired": count(&self.fired),
            "missed": count(&self.missed),
            "skipped": count(&self.skipped),
            "lost": count(&self.lost),
        })
    }
}

/// Slots every so often, for tests and as the simplest timetable.
#[derive(Clone, Copy, Debug)]
pub struct Every {
    /// The distance of two slots.
    pub every: Micros,
    /// The first one; none: when the plan is made.
    pub start: Option<Micros>,
    /// How many there are; none: without end.
    pub repeats: Option<i64>,
}

impl Timetable for Every {
    fn next(&self, after: Micros, anchor: Micros) -> Option<Micros> {
        let start = self.start.unwrap_or(anchor);
        let number = if after < start { 0 } else { (after - start) / self.every + 1 };
        let left = self.repeats.is_none_or(|repeats| number < repeats);
        left.then_some(start + number * self.every)
    }

    fn through(&self, first: Micros, end: Micros, anchor: Micros) -> (Micros, u64) {
        let start = self.start.unwrap_or(anchor);
        let number = |at: Micros| (at - start) / self.every;
        let last = self.repeats.map_or(number(end), |repeats| number(end).min(repeats - 1));
        let last = last.max(number(first));
        (start + last * self.every, (last - number(first)).unsigned_abs() + 1)
    }
}
