//! A rate limit, which the nodes of a cluster share.

use std::sync::Arc;
use std::time::Duration;

use config::budgets::{Budgets, Spend};
use http::{HeaderName, HeaderValue};
use sdk::task::Endless;
use sdk::{Error, ErrorKind, Result};
use tokio::sync::Notify;
use tokio::time::Instant;

use super::bucket::{Buckets, Shape};
use super::{Rate, Whose};
use crate::kind::Start;

/// The header that tells callers of a limit what it is.
const POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
/// How long what was taken is gathered before the store is told: nodes learn of each other a little after that.
const GATHER: Duration = Duration::from_millis(10);
/// How long to wait after the store did not answer.
const AGAIN: Duration = Duration::from_secs(1);
/// How long an exact limit waits for the store, before this node counts by itself.
const PATIENCE: Duration = Duration::from_millis(250);

/// See the module.
pub(super) struct Limiter {
    inner: Arc<Inner>,
    /// It ends with this value.
    _telling: Option<Endless>,
}

struct Inner {
    buckets: Buckets,
    exact: bool,
    scope: String,
    shared: Option<Arc<dyn Budgets>>,
    taken: Notify,
    /// What callers are told about it.
    policy: HeaderValue,
}

impl Limiter {
    /// Begins to count for a definition.
    pub(super) fn start<W: Whose>(rate: &Rate<W>, start: &Start) -> Arc<Self> {
        let burst = f64::from(rate.limit);
        let shape = Shape { per_second: burst / rate.per.get().as_secs_f64(), burst };
        let inner = Arc::new(Inner {
            buckets: Buckets::new(shape),
            exact: rate.exact,
            scope: start.id.to_string(),
            shared: start.budgets.clone(),
            taken: Notify::new(),
            policy: rate.policy(),
        });
        let telling = inner.shared.is_some().then(|| start.tasks.endless("rate limit", tell(inner.clone())));
        Arc::new(Self { inner, _telling: telling })
    }

    /// One more request of `key`.
    ///
    /// # Errors
    /// Too many, with the time to wait.
    pub(super) async fn take(&self, key: &str) -> Result<()> {
        let inner = &self.inner;
        if inner.exact
            && let Some(shared) = &inner.shared
        {
            let spend = [inner.spend(key, 1.0, true)];
            match tokio::time::timeout(PATIENCE, shared.spend(&spend)).await {
                Ok(Ok(left)) => {
                    let Some(left) = left.first().filter(|left| !left.taken) else { return Ok(()) };
                    return Err(inner.too_many(inner.buckets.until(left.tokens)));
                }
                Ok(Err(error)) => tracing::debug!(%error, limit = inner.scope, "counted on this node alone"),
                Err(_) => {
                    tracing::debug!(limit = inner.scope, "the store is slow; counted on this node alone");
                }
            }
        }
        let taken = inner.buckets.take(key, Instant::now()).map_err(|wait| inner.too_many(wait));
        if taken.is_ok() && inner.shared.is_some() {
            inner.taken.notify_one();
        }
        taken
    }
}

impl Inner {
    fn too_many(&self, wait: Duration) -> Error {
        let error = Error::new(ErrorKind::TooMany, "too many requests; come again later");
        error.header(POLICY, self.policy.clone()).retry_after(wait)
    }

    fn spend(&self, key: &str, tokens: f64, ask: bool) -> Spend {
        let Shape { per_second, burst } = self.buckets.shape;
        Spend { key: format!("{}:{key}", self.scope), tokens, per_second, burst, ask }
    }
}

/// Tells the store what was taken, and learns what the others took.
async fn tell(inner: Arc<Inner>) {
    let Some(shared) = inner.shared.clone() else { return };
    loop {
        inner.taken.notified().await;
        tokio::time::sleep(GATHER).await;
        let untold = inner.buckets.untold(Instant::now());
        for part in untold.chunks(500) {
            let spends: Vec<Spend> = part.iter().map(|(key, n)| inner.spend(key, *n, false)).collect();
            match shared.spend(&spends).await {
                Ok(left) => {
                    let now = Instant::now();
                    for ((key, _), left) in part.iter().zip(left) {
                        inner.buckets.told(key, left.tokens, now);
                    }
                }
                Err(error) => {
                    tracing::debug!(%error, limit = inner.scope, "the other nodes could not be told");
                    for (key, tokens) in part {
                        inner.buckets.keep(key, *tokens);
                    }
                    inner.taken.notify_one();
                    tokio::time::sleep(AGAIN).await;
                }
            }
        }
    }
}
