//! Counters and latencies of each part. The handles are made when a part starts; a request only adds to them.

use std::sync::{Arc, OnceLock};

use config::DefId;
use prometheus::{Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, Opts, Registry};
use sdk::{Error, ErrorKind};
use tokio::time::Instant;

/// The upper bounds of the latency buckets, in seconds.
const BUCKETS: [f64; 13] =
    [0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0, 30.0];
const LABELS: [&str; 2] = ["family", "name"];
/// What a call can come to.
const OUTCOMES: [&str; 4] = ["ok", "refused", "failed", "cancelled"];

/// The metrics of a node that parts add to.
#[derive(Clone, Debug)]
pub struct Meters {
    calls: IntCounterVec,
    seconds: HistogramVec,
    restarts: IntCounterVec,
    panics: IntCounterVec,
}

impl Meters {
    /// Makes them and enters them into `registry`.
    ///
    /// # Errors
    /// If they are there already.
    pub fn new(registry: &Registry) -> prometheus::Result<Self> {
        let counter = |name: &str, help: &str, labels: &[&str]| {
            let counter = IntCounterVec::new(Opts::new(name, help), labels)?;
            registry.register(Box::new(counter.clone()))?;
            Ok::<_, prometheus::Error>(counter)
        };
        let seconds = HistogramVec::new(
            HistogramOpts::new("zeugma_call_seconds", "How long calls of a part took.")
                .buckets(BUCKETS.into()),
            &LABELS,
        )?;
        registry.register(Box::new(seconds.clone()))?;
        let outcome = ["family", "name", "outcome"];
        Ok(Self {
            calls: counter(
                "zeugma_calls_total",
                "Calls of a part, by outcome: ok, refused, failed, or cancelled because nobody waited any more.",
                &outcome,
            )?,
            seconds,
            restarts: counter(
                "zeugma_actor_restarts_total",
                "Restarts of a part's actor after a failure.",
                &LABELS,
            )?,
            panics: counter("zeugma_panics_total", "Panics caught in a part.", &LABELS)?,
        })
    }

    /// The meter of one part.
    pub fn of(&self, id: &DefId) -> Arc<Meter> {
        let meter = self.lazily(id);
        meter.handles();
        meter
    }

    /// The meter of a part of which there are very many, and most of them idle: it takes up room once there is something
    /// to count.
    pub fn lazily(&self, id: &DefId) -> Arc<Meter> {
        Arc::new(Meter { of: self.clone(), id: id.clone(), handles: OnceLock::new() })
    }

    fn handles(&self, id: &DefId) -> Handles {
        let labels = [id.family.singular(), id.name.as_str()];
        let [ok, refused, failed, cancelled] =
            OUTCOMES.map(|outcome| self.calls.with_label_values(&[labels[0], labels[1], outcome]));
        Handles {
            ok,
            refused,
            failed,
            cancelled,
            seconds: self.seconds.with_label_values(&labels),
            restarts: self.restarts.with_label_values(&labels),
            panics: self.panics.with_label_values(&labels),
        }
    }

    /// Forgets a part that was deleted.
    pub fn forget(&self, id: &DefId) {
        let labels = [id.family.singular(), id.name.as_str()];
        // Each answers an error for labels that are not there, which is what is wanted.
        for outcome in OUTCOMES {
            drop(self.calls.remove_label_values(&[labels[0], labels[1], outcome]));
        }
        drop(self.seconds.remove_label_values(&labels));
        drop(self.restarts.remove_label_values(&labels));
        drop(self.panics.remove_label_values(&labels));
    }
}

/// What one part counts.
#[derive(Debug)]
pub struct Meter {
    of: Meters,
    id: DefId,
    handles: OnceLock<Handles>,
}

#[derive(Debug)]
struct Handles {
    ok: IntCounter,
    refused: IntCounter,
    failed: IntCounter,
    cancelled: IntCounter,
    seconds: Histogram,
    restarts: IntCounter,
    panics: IntCounter,
}

impl Meter {
    fn handles(&self) -> &Handles {
        self.handles.get_or_init(|| self.of.handles(&self.id))
    }

    /// Counts one call, once it ends.
    pub fn begin(&self, begun: Instant) -> UnderWay<'_> {
        UnderWay { meter: Some(self), begun }
    }

    /// Counts a restart of the part's actor.
    pub fn restarted(&self) {
        self.handles().restarts.inc();
    }

    /// Counts a panic.
    pub fn panicked(&self) {
        self.handles().panics.inc();
    }

    /// The counts, for an operator.
    pub fn totals(&self) -> Totals {
        let Some(handles) = self.handles.get() else { return Totals::default() };
        let (count, sum) = (handles.seconds.get_sample_count(), handles.seconds.get_sample_sum());
        Totals {
            ok: handles.ok.get(),
            refused: handles.refused.get(),
            failed: handles.failed.get(),
            cancelled: handles.cancelled.get(),
            restarts: handles.restarts.get(),
            panics: handles.panics.get(),
            #[allow(clippy::cast_precision_loss)] // a mean for people
            mean_ms: if count == 0 { 0.0 } else { (sum / count as f64 * 1_000_000.0).round() / 1000.0 },
        }
    }
}

/// A call that is under way. One that is dropped without an end is one that nobody waits for any more, and counts as
/// cancelled.
#[derive(Debug)]
#[must_use = "a call counts as cancelled when this is dropped"]
pub struct UnderWay<'a> {
    meter: Option<&'a Meter>,
    begun: Instant,
}

impl UnderWay<'_> {
    /// The call came to this.
    pub fn end<T>(mut self, outcome: &Result<T, Error>) {
        self.count(|handles| match outcome {
            Ok(_) => &handles.ok,
            Err(error) if is_refusal(error.kind()) => &handles.refused,
            Err(_) => &handles.failed,
        });
    }

    fn count(&mut self, which: impl FnOnce(&Handles) -> &IntCounter) {
        let Some(meter) = self.meter.take() else { return };
        let handles = meter.handles();
        handles.seconds.observe(self.begun.elapsed().as_secs_f64());
        which(handles).inc();
    }
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.count(|handles| &handles.cancelled);
    }
}

/// Whether an error is the caller's doing rather than ours or that of a system behind us.
fn is_refusal(kind: ErrorKind) -> bool {
    kind.status().is_client_error()
}

/// The counts of one part since the node started.
#[derive(Clone, Debug, Default, PartialEq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
pub struct Totals {
    /// Calls that went well.
    pub ok: u64,
    /// Calls that were the caller's mistake, or too many.
    pub refused: u64,
    /// Calls that failed here or behind us.
    pub failed: u64,
    /// Calls that were given up before they ended, by the caller or with the call that they were part of.
    #[serde(default)] // a node of an earlier version does not tell
    pub cancelled: u64,
    /// Restarts of the actor after a failure.
    pub restarts: u64,
    /// Panics caught.
    pub panics: u64,
    /// The mean duration of a call, in milliseconds.
    pub mean_ms: f64,
}
