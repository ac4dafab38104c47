//! Leases in Redis: a key that expires by its clock, holding its owner and its fence.

use std::sync::LazyLock;
use std::time::Duration;

use async_trait::async_trait;
use redis::Script;
use redis::aio::MultiplexedConnection as Connection;

use super::Redis;
use super::link::{COMMAND, bounded};
use crate::lease::{Fence, Held, Leases};
use crate::store::StoreError;

/// Takes a free lease. The request has an id of its own: asked twice because the answer was lost, it is answered twice
/// the same. Fences go up from the time in microseconds, so that a Redis that lost the counter gives no number twice.
static LEASE: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        r"
local lease, counter, owner, ttl, request = KEYS[1], KEYS[2], ARGV[1], ARGV[2], ARGV[3]
local now = redis.call('HMGET', lease, 'fence', 'request')
if now[2] == request then return tonumber(now[1]) end
if now[1] then return 0 end
local time = redis.call('TIME')
local fence = math.max(tonumber(redis.call('GET', counter) or '0') + 1, time[1] * 1000000 + time[2])
local text = string.format('%.0f', fence)
redis.call('SET', counter, text)
redis.call('HSET', lease, 'owner', owner, 'fence', text, 'request', request)
redis.call('PEXPIRE', lease, ttl)
return fence",
    )
});

/// Prolongs those that are still held as they were.
static RENEW: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        r"
local answers = {}
for i, lease in ipairs(KEYS) do
  local now = redis.call('HMGET', lease, 'owner', 'fence')
  local held = now[1] == ARGV[2 * i] and now[2] == ARGV[2 * i + 1]
  answers[i] = held and redis.call('PEXPIRE', lease, ARGV[1]) or 0
end
return answers",
    )
});

/// Gives one back.
static RELEASE: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        r"
local now = redis.call('HMGET', KEYS[1], 'owner', 'fence')
if now[1] == ARGV[1] and now[2] == ARGV[2] then return redis.call('DEL', KEYS[1]) end
return 0",
    )
});

/// Whole milliseconds, as Redis counts; never so few that there is no lease.
fn milliseconds(ttl: Duration) -> u64 {
    u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX).max(1)
}

#[async_trait]
impl Leases for Redis {
    async fn lease(&self, key: &str, owner: &str, ttl: Duration) -> Result<Option<Held>, StoreError> {
        let keys = &self.inner.keys;
        let request = &super::scripts::commit_id();
        let call = |mut connection: Connection| async move {
            let mut call = LEASE.prepare_invoke();
            call.key(keys.lease(key)).key(keys.fence()).arg(owner).arg(milliseconds(ttl)).arg(request);
            bounded(COMMAND, call.invoke_async::<u64>(&mut connection)).await
        };
        let fence = self.inner.ask(call).await?;
        let held = || Held { key: key.into(), owner: owner.into(), fence: Fence(fence) };
        Ok((fence > 0).then(held))
    }

    async fn renew(&self, held: &[Held], ttl: Duration) -> Result<Vec<bool>, StoreError> {
        let keys = &self.inner.keys;
        let call = |mut connection: Connection| async move {
            let mut call = RENEW.prepare_invoke();
            call.arg(milliseconds(ttl));
            for held in held {
                call.key(keys.lease(&held.key)).arg(&held.owner).arg(held.fence.0);
            }
            bounded(COMMAND, call.invoke_async(&mut connection)).await
        };
        self.inner.ask(call).await
    }

    async fn release(&self, held: &Held) -> Result<bool, StoreError> {
        let keys = &self.inner.keys;
        let call = |mut connection: Connection| async move {
            let mut call = RELEASE.prepare_invoke();
            call.key(keys.lease(&held.key)).arg(&held.owner).arg(held.fence.0);
            bounded(COMMAND, call.invoke_async(&mut connection)).await
        };
        self.inner.ask(call).await
    }
}
