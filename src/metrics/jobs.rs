//! The metrics of jobs: when each is due, what has become of its slots, and how the scheduler itself is.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use actors::Part;
use actors::scheduler::meters::Meters;
use config::Family;
use prometheus::{GaugeVec, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry};

use crate::app::App;

/// See the module.
#[derive(Clone, Debug)]
pub struct Jobs {
    /// What the scheduler adds to by itself.
    pub meters: Meters,
    next: GaugeVec,
    last: GaugeVec,
    owner: IntGaugeVec,
    slots: IntCounterVec,
    runs: IntGauge,
    silent: IntGauge,
    restarts: IntGauge,
}

impl Jobs {
    /// Makes them, all at zero.
    ///
    /// # Errors
    /// If two have the same name, which the first start of any node shows.
    pub(super) fn new(registry: &Registry) -> prometheus::Result<Self> {
        let number = |name: &str, help: &str| {
            let gauge = IntGauge::new(name, help)?;
            registry.register(Box::new(gauge.clone()))?;
            Ok::<_, prometheus::Error>(gauge)
        };
        let moment = |name: &str, help: &str| {
            let gauge = GaugeVec::new(Opts::new(name, help), &["name"])?;
            registry.register(Box::new(gauge.clone()))?;
            Ok::<_, prometheus::Error>(gauge)
        };
        let owner =
            IntGaugeVec::new(Opts::new("zeugma_job_owner", "Whether this node fires the job."), &["name"])?;
        registry.register(Box::new(owner.clone()))?;
        let slots = IntCounterVec::new(
            Opts::new(
                "zeugma_job_slots_total",
                "Slots of a job that this node has decided, by what became of them: fired, missed, skipped, lost.",
            ),
            &["name", "outcome"],
        )?;
        registry.register(Box::new(slots.clone()))?;
        Ok(Self {
            meters: Meters::new(registry)?,
            next: moment("zeugma_job_next_slot_seconds", "When a job that this node fires is due next.")?,
            last: moment(
                "zeugma_job_last_slot_seconds",
                "The last slot of a job that this node has decided.",
            )?,
            owner,
            slots,
            runs: number("zeugma_job_runs", "Runs of jobs that are under way on this node.")?,
            silent: number("zeugma_jobs_silent", "Jobs that are active, this node's to fire, and silent.")?,
            restarts: number(
                "zeugma_scheduler_restarts",
                "How often the scheduler's loop has failed or stood still, and begun anew.",
            )?,
        })
    }

    /// Brings them up to date.
    pub(super) fn tell(&self, app: &App) {
        (self.next.reset(), self.last.reset(), self.owner.reset(), self.slots.reset());
        for (id, running) in app.live.now().parts.iter().filter(|(id, _)| id.family == Family::Job) {
            let Part::Job(plan) = &running.part else { continue };
            let (name, tally) = (id.name.as_str(), &plan.tally);
            for (gauge, moment) in [(&self.next, &tally.next), (&self.last, &tally.last)] {
                if let Some(seconds) = seconds(moment) {
                    gauge.with_label_values(&[name]).set(seconds);
                }
            }
            let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
            self.owner.with_label_values(&[name]).set(i64::from(count(&tally.fence) != 0));
            let counts = [
                ("fired", &tally.fired),
                ("missed", &tally.missed),
                ("skipped", &tally.skipped),
                ("lost", &tally.lost),
            ];
            for (outcome, counter) in counts {
                self.slots.with_label_values(&[name, outcome]).inc_by(count(counter));
            }
        }
        let health = app.scheduler.as_ref().map(|scheduler| scheduler.health()).unwrap_or_default();
        let many = |n: usize| i64::try_from(n).unwrap_or(i64::MAX);
        self.runs.set(many(health.runs));
        self.silent.set(many(health.silent.len()));
        self.restarts.set(i64::try_from(health.restarts).unwrap_or(i64::MAX));
    }
}

/// Seconds since 1970, for whoever reads it; none if there is no such moment.
fn seconds(moment: &AtomicI64) -> Option<f64> {
    let micros = moment.load(Ordering::Relaxed);
    #[allow(clippy::cast_precision_loss)] // exact to the microsecond for centuries
    (micros != 0).then_some(micros as f64 / 1_000_000.0)
}
