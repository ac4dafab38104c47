//! Counters and latencies of each part. The handles are made when a part starts; a request only adds to them.

use std::sync::Arc;
use std::time::Duration;

use config::DefId;
use prometheus::{Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, Opts, Registry};
use sdk::{Error, ErrorKind};

/// The upper bounds of the latency buckets, in seconds.
const BUCKETS: [f64; 13] =
    [0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0, 30.0];
const LABELS: [&str; 2] = ["family", "name"];

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
                "Calls of a part, by outcome: ok, refused or failed.",
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
        let labels = [id.family.singular(), id.name.as_str()];
        let outcome = |outcome| self.calls.with_label_values(&[labels[0], labels[1], outcome]);
        Arc::new(Meter {
            ok: outcome("ok"),
            refused: outcome("refused"),
            failed: outcome("failed"),
            seconds: self.seconds.with_label_values(&labels),
            restarts: self.restarts.with_label_values(&labels),
            panics: self.panics.with_label_values(&labels),
        })
    }

    /// Forgets a part that was deleted.
    pub fn forget(&self, id: &DefId) {
        let labels = [id.family.singular(), id.name.as_str()];
        // Each answers an error for labels that are not there, which is what is wanted.
        for outcome in ["ok", "refused", "failed"] {
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
    ok: IntCounter,
    refused: IntCounter,
    failed: IntCounter,
    seconds: Histogram,
    restarts: IntCounter,
    panics: IntCounter,
}

impl Meter {
    /// Counts one call.
    pub fn record<T>(&self, outcome: &Result<T, Error>, took: Duration) {
        self.seconds.observe(took.as_secs_f64());
        match outcome {
            Ok(_) => self.ok.inc(),
            Err(error) if is_refusal(error.kind()) => self.refused.inc(),
            Err(_) => self.failed.inc(),
        }
    }

    /// Counts a restart of the part's actor.
    pub fn restarted(&self) {
        self.restarts.inc();
    }

    /// Counts a panic.
    pub fn panicked(&self) {
        self.panics.inc();
    }

    /// The counts, for an operator.
    pub fn totals(&self) -> Totals {
        let (count, sum) = (self.seconds.get_sample_count(), self.seconds.get_sample_sum());
        Totals {
            ok: self.ok.get(),
            refused: self.refused.get(),
            failed: self.failed.get(),
            restarts: self.restarts.get(),
            panics: self.panics.get(),
            #[allow(clippy::cast_precision_loss)] // a mean for people
            mean_ms: if count == 0 { 0.0 } else { (sum / count as f64 * 1_000_000.0).round() / 1000.0 },
        }
    }
}

/// Whether an error is the caller's doing rather than ours or that of a system behind us.
fn is_refusal(kind: ErrorKind) -> bool {
    kind.status().is_client_error()
}

/// The counts of one part since the node started.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
pub struct Totals {
    /// Calls that went well.
    pub ok: u64,
    /// Calls that were the caller's mistake, or too many.
    pub refused: u64,
    /// Calls that failed here or behind us.
    pub failed: u64,
    /// Restarts of the actor after a failure.
    pub restarts: u64,
    /// Panics caught.
    pub panics: u64,
    /// The mean duration of a call, in milliseconds.
    pub mean_ms: f64,
}
