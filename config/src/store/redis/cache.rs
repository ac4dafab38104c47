//! Caches in Redis: each item a key that expires by its clock, and for each cache a sorted set of keys by their last use,
//! which bounds it.

use std::sync::LazyLock;
use std::time::Duration;

use async_trait::async_trait;
use redis::Script;
use redis::aio::MultiplexedConnection as Connection;

use super::Redis;
use super::link::{bounded, limit_for};
use crate::cache::{CacheError, Caches, MAX_CACHES, MAX_ITEMS, check};

/// The key of an item is that of its cache, a colon, and the item's own. The names of the caches come last.
static GET: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        r"
local used, key = KEYS[1], ARGV[1]
local value = redis.call('GET', used .. ':' .. key)
if value then
  local time = redis.call('TIME')
  redis.call('ZADD', used, time[1] * 1000000 + time[2], key)
end
return value",
    )
});

/// Refuses with 0. Room is made for new items only, first by those that have ended.
static SET: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        r"
local used, caches, prefix = KEYS[1], KEYS[2], ARGV[1]
local name, key, value, ttl, items, most = ARGV[2], ARGV[3], ARGV[4], ARGV[5], tonumber(ARGV[6]), tonumber(ARGV[7])
if redis.call('SISMEMBER', caches, name) == 0 then
  if redis.call('SCARD', caches) >= most then
    for _, other in ipairs(redis.call('SMEMBERS', caches)) do
      local left = 0
      for _, key in ipairs(redis.call('ZRANGE', prefix .. other, 0, -1)) do
        left = left + redis.call('EXISTS', prefix .. other .. ':' .. key)
        if left > 0 then break end
      end
      if left == 0 then
        redis.call('DEL', prefix .. other)
        redis.call('SREM', caches, other)
      end
    end
    if redis.call('SCARD', caches) >= most then return 0 end
  end
  redis.call('SADD', caches, name)
end
if ttl == '' then redis.call('SET', used .. ':' .. key, value)
else redis.call('SET', used .. ':' .. key, value, 'PX', ttl) end
local time = redis.call('TIME')
redis.call('ZADD', used, time[1] * 1000000 + time[2], key)
if redis.call('ZCARD', used) > items then
  for _, other in ipairs(redis.call('ZRANGE', used, 0, -1)) do
    if redis.call('EXISTS', used .. ':' .. other) == 0 then redis.call('ZREM', used, other) end
  end
  while redis.call('ZCARD', used) > items do
    local oldest = redis.call('ZPOPMIN', used)
    redis.call('DEL', used .. ':' .. oldest[1])
  end
end
return 1",
    )
});

static DELETE: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        r"
local used, count = KEYS[1], 0
for _, key in ipairs(ARGV) do
  count = count + redis.call('DEL', used .. ':' .. key)
  redis.call('ZREM', used, key)
end
return count",
    )
});

static EXPIRE: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        r"
local used, count = KEYS[1], 0
for i = 2, #ARGV do
  local item = used .. ':' .. ARGV[i]
  if redis.call('EXISTS', item) == 1 then
    count = count + 1
    if ARGV[1] == '' then redis.call('PERSIST', item) else redis.call('PEXPIRE', item, ARGV[1]) end
  end
end
return count",
    )
});

static ALL_KEYS: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        r"
local used, keys = KEYS[1], {}
for _, key in ipairs(redis.call('ZRANGE', used, 0, -1)) do
  if redis.call('EXISTS', used .. ':' .. key) == 1 then keys[#keys + 1] = key
  else redis.call('ZREM', used, key) end
end
return keys",
    )
});

static VALUES: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        r"
local used, values = KEYS[1], {}
for i, key in ipairs(ARGV) do values[i] = redis.call('GET', used .. ':' .. key) end
return values",
    )
});

/// How many items are fetched in one answer.
const PAGE: usize = 100;
/// How many keys are told in one question.
const MANY: usize = 1_000;

/// Milliseconds as Redis counts; nothing, if an item has no end.
fn milliseconds(ttl: Option<Duration>) -> String {
    const LONGEST: u64 = 100 * 365 * 24 * 60 * 60 * 1000;
    ttl.map(|ttl| u64::try_from(ttl.as_millis()).unwrap_or(LONGEST).clamp(1, LONGEST).to_string())
        .unwrap_or_default()
}

impl Redis {
    /// Runs one of the scripts above with these arguments.
    async fn cached<T: redis::FromRedisValue>(
        &self,
        script: &Script,
        cache: &str,
        arguments: &[&[u8]],
    ) -> Result<T, CacheError> {
        let keys = &self.inner.keys;
        let length: usize = arguments.iter().map(|argument| argument.len()).sum();
        let call = |mut connection: Connection| async move {
            let mut call = script.prepare_invoke();
            call.key(keys.cache(cache)).key(keys.caches());
            for argument in arguments {
                call.arg(*argument);
            }
            bounded(limit_for(length), call.invoke_async::<T>(&mut connection)).await
        };
        Ok(self.inner.ask(call).await?)
    }
}

#[async_trait]
impl Caches for Redis {
    async fn get(&self, cache: &str, key: &str) -> Result<Option<Vec<u8>>, CacheError> {
        check(cache, key, &[])?;
        self.cached(&GET, cache, &[key.as_bytes()]).await
    }

    async fn set(
        &self,
        cache: &str,
        key: &str,
        value: Vec<u8>,
        ttl: Option<Duration>,
    ) -> Result<(), CacheError> {
        check(cache, key, &value)?;
        let (prefix, ttl) = (self.inner.keys.cache(""), milliseconds(ttl));
        let (items, most) = (MAX_ITEMS.to_string(), MAX_CACHES.to_string());
        let arguments = [
            prefix.as_bytes(),
            cache.as_bytes(),
            key.as_bytes(),
            &value,
            ttl.as_bytes(),
            items.as_bytes(),
            most.as_bytes(),
        ];
        match self.cached::<u8>(&SET, cache, &arguments).await? {
            0 => Err(CacheError::TooMuch(format!("there are {MAX_CACHES} caches already"))),
            _ => Ok(()),
        }
    }

    async fn delete(&self, cache: &str, keys: &[String]) -> Result<usize, CacheError> {
        let mut count = 0;
        for keys in keys.chunks(MANY) {
            let keys: Vec<&[u8]> = keys.iter().map(|key| key.as_bytes()).collect();
            count += self.cached::<usize>(&DELETE, cache, &keys).await?;
        }
        Ok(count)
    }

    async fn expire(&self, cache: &str, keys: &[String], ttl: Option<Duration>) -> Result<usize, CacheError> {
        let ttl = milliseconds(ttl);
        let mut count = 0;
        for keys in keys.chunks(MANY) {
            let mut arguments = vec![ttl.as_bytes()];
            arguments.extend(keys.iter().map(|key| key.as_bytes()));
            count += self.cached::<usize>(&EXPIRE, cache, &arguments).await?;
        }
        Ok(count)
    }

    async fn keys(&self, cache: &str) -> Result<Vec<String>, CacheError> {
        let mut keys: Vec<String> = self.cached(&ALL_KEYS, cache, &[]).await?;
        keys.sort();
        Ok(keys)
    }

    async fn values(&self, cache: &str, keys: &[String]) -> Result<Vec<(String, Vec<u8>)>, CacheError> {
        let mut found = Vec::new();
        for keys in keys.chunks(PAGE) {
            let arguments: Vec<&[u8]> = keys.iter().map(|key| key.as_bytes()).collect();
            let values: Vec<Option<Vec<u8>>> = self.cached(&VALUES, cache, &arguments).await?;
            let there = keys.iter().zip(values).filter_map(|(key, value)| Some((key.clone(), value?)));
            found.extend(there);
        }
        Ok(found)
    }
}
