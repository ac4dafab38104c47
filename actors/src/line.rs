//! The line to the other side: what every call of every connection passes, whatever its kind.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use config::DefId;
use sdk::{Error, Result};
use tokio::time::Instant;

use crate::gate::Gate;
use crate::health::Health;
use crate::kind::Start;
use crate::meter::Meter;

/// Gate, health and meter of a connection.
#[derive(Clone, Debug)]
pub struct Line {
    id: DefId,
    gate: Arc<Gate>,
    health: Health,
    meter: Arc<Meter>,
}

impl Line {
    /// The line of the connection that is being started.
    pub fn of(start: &Start) -> Self {
        let (id, gate, health, meter) = (&start.id, &start.gate, &start.health, &start.meter);
        Self { id: id.clone(), gate: gate.clone(), health: health.clone(), meter: meter.clone() }
    }

    /// Does one call, before `deadline` and within `limit`. It is refused at once if the connection is paused, or is
    /// known to be down.
    ///
    /// # Errors
    /// What the call answers; unavailable, upstream or timeout as said.
    pub async fn call<T>(
        &self,
        deadline: Instant,
        limit: Duration,
        work: impl Future<Output = Result<T>>,
    ) -> Result<T> {
        let begun = Instant::now();
        let _pass = self.gate.enter(&self.id)?;
        let counted = self.meter.begin(begun);
        let outcome = match self.health.check() {
            Err(down) => Err(down),
            Ok(()) => match tokio::time::timeout_at(deadline.min(begun + limit), work).await {
                Ok(outcome) => outcome,
                Err(_) => Err(Error::timeout(format!("{} did not answer in time", self.id))),
            },
        };
        counted.end(&outcome);
        outcome
    }

    /// The connection's id.
    pub fn id(&self) -> &DefId {
        &self.id
    }

    /// A call met an error that says that the other side is away.
    pub fn report_down(&self, error: &Error) {
        self.health.report(error);
    }
}
