//! The health of a connection: whether the other side answers, and since when it does not.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use chrono::{DateTime, Utc};
use config::DefId;
use sdk::{Error, Result};
use tokio::sync::Notify;
use tokio::time::Instant;

/// The other side does not answer.
#[derive(Clone, Debug)]
pub struct Down {
    /// Since when.
    pub since: DateTime<Utc>,
    /// What the last try met.
    pub error: String,
    /// When the next probe is.
    pub next_probe: Instant,
}

/// Shared by a connection, which meets failures, and its actor, which probes until the other side is back. While it
/// is down, calls fail at once instead of each waiting for its own time-out.
#[derive(Clone, Debug)]
pub struct Health(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    id: DefId,
    clock: config::Clock,
    down: ArcSwapOption<Down>,
    failure: Notify,
    alarm: ArcSwapOption<String>,
}

impl Health {
    /// The health of a connection that has not failed yet.
    pub fn new(id: DefId, clock: config::Clock) -> Self {
        Self(Arc::new(Shared {
            id,
            clock,
            down: ArcSwapOption::empty(),
            failure: Notify::new(),
            alarm: ArcSwapOption::empty(),
        }))
    }

    /// Whose health it is.
    pub fn id(&self) -> &DefId {
        &self.0.id
    }

    /// Lets a call through, unless the other side is known to be away.
    ///
    /// # Errors
    /// Upstream, with what the last try met and when the next probe is.
    pub fn check(&self) -> Result<()> {
        let Some(down) = self.0.down.load_full() else { return Ok(()) };
        let wait = down.next_probe.saturating_duration_since(Instant::now());
        Err(Error::upstream(format!("{} is down: {}", self.0.id, down.error))
            .retry_after(wait.max(Duration::from_secs(1))))
    }

    /// A call met an error that says that the other side is away. Calls fail fast from now on, and the actor probes
    /// at once.
    pub fn report(&self, error: &Error) {
        self.failed(error.to_string(), Instant::now());
        self.0.failure.notify_one();
    }

    /// The probe failed; the next one is at `next_probe`.
    pub fn failed(&self, error: String, next_probe: Instant) {
        let since = self.0.down.load().as_ref().map_or_else(|| self.0.clock.now(), |down| down.since);
        self.0.down.store(Some(Arc::new(Down { since, error, next_probe })));
    }

    /// The other side answered; returns what it was before.
    pub fn recovered(&self) -> Option<Arc<Down>> {
        self.0.down.swap(None)
    }

    /// What is wrong, if something is.
    pub fn down(&self) -> Option<Arc<Down>> {
        self.0.down.load_full()
    }

    /// Something works now and will not for long unless somebody acts; none: nothing is to be done.
    pub fn set_alarm(&self, alarm: Option<String>) {
        self.0.alarm.store(alarm.map(Arc::new));
    }

    /// What somebody is to act on, if there is something.
    pub fn alarm(&self) -> Option<Arc<String>> {
        self.0.alarm.load_full()
    }

    /// Waits until a call reports a failure.
    pub async fn reported(&self) {
        self.0.failure.notified().await;
    }
}
