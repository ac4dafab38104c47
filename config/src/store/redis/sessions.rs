//! Sessions in Redis: a key each, which expires by its clock, and a stream that tells every node of those that were
//! ended.

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use async_trait::async_trait;
use redis::Script;
use redis::aio::MultiplexedConnection as Connection;
use tokio::sync::broadcast;

use super::Inner;
use super::link::{COMMAND, bounded};
use crate::sessions::Sessions;
use crate::store::StoreError;

/// Ends a session and tells of it, both or nothing.
static CLOSE: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        r"
local there = redis.call('DEL', KEYS[1])
redis.call('XADD', KEYS[2], 'MAXLEN', '~', 1000, '*', 'id', ARGV[1])
return there",
    )
});

/// The sessions of a cluster, as one node sees them.
pub(super) struct RedisSessions(pub(super) Arc<Inner>);

/// Whole milliseconds, as Redis counts; one at least.
fn milliseconds(ttl: Duration) -> u64 {
    u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX).max(1)
}

#[async_trait]
impl Sessions for RedisSessions {
    async fn open(&self, id: &str, ttl: Duration) -> Result<(), StoreError> {
        let key = &self.0.keys.session(id);
        let call = |mut connection: Connection| async move {
            let mut set = redis::cmd("SET");
            set.arg(key).arg("1").arg("PX").arg(milliseconds(ttl));
            bounded(COMMAND, set.query_async::<()>(&mut connection)).await
        };
        self.0.ask(call).await
    }

    async fn touch(&self, id: &str, ttl: Duration) -> Result<bool, StoreError> {
        let key = &self.0.keys.session(id);
        let call = |mut connection: Connection| async move {
            let mut expire = redis::cmd("PEXPIRE");
            expire.arg(key).arg(milliseconds(ttl));
            bounded(COMMAND, expire.query_async(&mut connection)).await
        };
        self.0.ask(call).await
    }

    async fn close(&self, id: &str) -> Result<bool, StoreError> {
        let keys = &self.0.keys;
        let call = |mut connection: Connection| async move {
            let mut call = CLOSE.prepare_invoke();
            call.key(keys.session(id)).key(keys.closed()).arg(id);
            bounded(COMMAND, call.invoke_async(&mut connection)).await
        };
        let there = self.0.ask(call).await?;
        // This node need not wait until it hears of it.
        drop(self.0.closed.send(id.into()));
        Ok(there)
    }

    fn closed(&self) -> broadcast::Receiver<Arc<str>> {
        self.0.closed.subscribe()
    }
}
