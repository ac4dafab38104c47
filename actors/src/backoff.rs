//! Waiting longer after each failure: exponential, with jitter, and slow once there were too many.

use std::time::Duration;

use tokio::time::Instant;

/// The shortest wait.
const FIRST: Duration = Duration::from_millis(100);
/// The longest wait between two tries that may still succeed soon.
const LONGEST: Duration = Duration::from_secs(5);
/// How many failures within [`WINDOW`] turn a part `failed`.
const TOO_MANY: u32 = 10;
/// See [`TOO_MANY`]; a part that runs this long is taken for well again.
const WINDOW: Duration = Duration::from_secs(60);
/// The wait of a part that is `failed`.
const SLOW: Duration = Duration::from_secs(30);

/// The failures of one part.
#[derive(Clone, Debug, Default)]
pub struct Backoff {
    failures: u32,
    last: Option<Instant>,
}

/// What to do about a failure.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Verdict {
    /// How long to wait before the next try.
    pub wait: Duration,
    /// Whether there were too many: the part counts as failed and is retried slowly.
    pub failed: bool,
}

impl Backoff {
    /// Counts one more failure.
    pub fn failure(&mut self, now: Instant) -> Verdict {
        if self.last.is_some_and(|last| now.duration_since(last) > WINDOW) {
            self.failures = 0;
        }
        self.last = Some(now);
        self.failures = self.failures.saturating_add(1);
        let failed = self.failures >= TOO_MANY;
        let wait = if failed { SLOW } else { (FIRST * 2u32.pow((self.failures - 1).min(10))).min(LONGEST) };
        Verdict { wait: wait.mul_f64(0.75 + 0.5 * fastrand::f64()), failed }
    }

    /// The wait of somebody who never gives up, such as the probe of a connection.
    pub fn next_probe(&mut self) -> Duration {
        self.failures = self.failures.saturating_add(1);
        (FIRST * 2u32.pow((self.failures - 1).min(10))).min(LONGEST).mul_f64(0.75 + 0.5 * fastrand::f64())
    }

    /// Forgets the failures.
    pub fn reset(&mut self) {
        *self = Self::default();
    }

    /// How many failures there were.
    pub fn failures(&self) -> u32 {
        self.failures
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_then_the_part_is_failed_and_a_quiet_time_forgets() {
        let mut backoff = Backoff::default();
        let start = Instant::now();
        let waits: Vec<Verdict> = (0..TOO_MANY).map(|_| backoff.failure(start)).collect();
        assert!(waits[0].wait < Duration::from_millis(126) && !waits[0].failed);
        assert!(waits[5].wait > Duration::from_secs(2));
        assert!(waits[9].failed && waits[9].wait > LONGEST);
        assert!(!backoff.failure(start + WINDOW * 2).failed);
    }
}
