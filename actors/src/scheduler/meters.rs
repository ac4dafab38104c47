//! What the scheduler of a node measures: how late it fires.

use config::slots::Micros;
use prometheus::{Histogram, HistogramOpts, Registry};

/// The upper bounds of the buckets, in seconds.
const BUCKETS: [f64; 12] = [0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 1.0, 5.0, 30.0, 300.0];

/// See the module.
#[derive(Clone, Debug)]
pub struct Meters {
    late: Histogram,
}

impl Meters {
    /// Makes them and enters them into `registry`.
    ///
    /// # Errors
    /// If they are there already.
    pub fn new(registry: &Registry) -> prometheus::Result<Self> {
        let late = HistogramOpts::new(
            "zeugma_job_lateness_seconds",
            "How long after its time a slot of a job was fired on this node.",
        );
        let late = Histogram::with_opts(late.buckets(BUCKETS.into()))?;
        registry.register(Box::new(late.clone()))?;
        Ok(Self { late })
    }

    /// A slot was fired this much after its time.
    pub(super) fn late(&self, by: Micros) {
        #[allow(clippy::cast_precision_loss)] // seconds for people
        self.late.observe(by.max(0) as f64 / 1_000_000.0);
    }
}
