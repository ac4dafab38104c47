//! The gate of a part: lets calls in or not, and counts those inside. Pause, resume and drain turn it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering};
use std::time::Duration;

use schemars::JsonSchema;
use sdk::{Error, Result};
use serde::{Deserialize, Serialize};
use tokio::sync::Notify;

/// Whether calls get in.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[repr(u8)]
pub enum Phase {
    /// They do.
    Running = 0,
    /// An operator keeps them out for now.
    Paused = 1,
    /// They are kept out, and those inside are waited for.
    Draining = 2,
}

/// See the module.
#[derive(Debug, Default)]
pub struct Gate {
    phase: AtomicU8,
    inside: AtomicUsize,
    emptied: Notify,
}

/// Says that a call is inside, for as long as it lives.
#[derive(Debug)]
pub struct Pass(Arc<Gate>);

impl Gate {
    /// A gate in this phase; none: running.
    pub fn in_phase(phase: Option<Phase>) -> Self {
        let gate = Self::default();
        gate.turn(phase.unwrap_or(Phase::Running));
        gate
    }

    /// Lets one call in. `what` names the part in the error.
    ///
    /// # Errors
    /// Unavailable, if the part is paused or draining.
    pub fn enter(self: &Arc<Self>, what: &config::DefId) -> Result<Pass> {
        // Counted first, so that a drain that sees nobody inside is right: whoever comes later sees its phase.
        self.inside.fetch_add(1, Ordering::SeqCst);
        let pass = Pass(self.clone());
        match self.phase() {
            Phase::Running => Ok(pass),
            Phase::Paused => Err(closed(format!("{what} is paused"))),
            Phase::Draining => Err(closed(format!("{what} is drained"))),
        }
    }

    /// The phase.
    pub fn phase(&self) -> Phase {
        match self.phase.load(Ordering::SeqCst) {
            0 => Phase::Running,
            1 => Phase::Paused,
            _ => Phase::Draining,
        }
    }

    /// Turns the gate.
    pub fn turn(&self, phase: Phase) {
        self.phase.store(phase as u8, Ordering::SeqCst);
    }

    /// How many calls are inside.
    pub fn inside(&self) -> usize {
        self.inside.load(Ordering::SeqCst)
    }

    /// Keeps new calls out and waits until none is inside, or `limit` is over; returns how many still are.
    pub async fn drain(&self, limit: Duration) -> usize {
        self.turn(Phase::Draining);
        let empty = async {
            loop {
                let emptied = self.emptied.notified();
                tokio::pin!(emptied);
                emptied.as_mut().enable(); // from here on a leave is not missed
                if self.inside() == 0 {
                    return;
                }
                emptied.await;
            }
        };
        let in_time = tokio::time::timeout(limit, empty).await.is_ok();
        if in_time { 0 } else { self.inside() }
    }
}

fn closed(message: String) -> Error {
    Error::unavailable(message).retry_after(Duration::from_secs(1))
}

impl Drop for Pass {
    fn drop(&mut self) {
        if self.0.inside.fetch_sub(1, Ordering::SeqCst) == 1 {
            self.0.emptied.notify_waiters();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_drain_waits_for_those_inside_and_keeps_others_out() {
        let id: config::DefId = "channel/x".parse().expect("an id");
        let gate = Arc::new(Gate::default());
        let pass = gate.enter(&id).expect("open");
        assert_eq!(gate.drain(Duration::from_millis(5)).await, 1);
        assert!(gate.enter(&id).is_err());
        let waiting = gate.clone();
        let drained = tokio::spawn(async move { waiting.drain(Duration::from_secs(10)).await });
        drop(pass);
        assert_eq!(drained.await.expect("joined"), 0);
        gate.turn(Phase::Running);
        assert!(gate.enter(&id).is_ok());
    }
}
