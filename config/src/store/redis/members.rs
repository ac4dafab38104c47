//! Membership by what is in Redis, and by its clock, so that those of the nodes do not matter.

use std::collections::BTreeMap;
use std::sync::LazyLock;
use std::time::Duration;

use async_trait::async_trait;
use redis::aio::MultiplexedConnection as Connection;
use redis::{FromRedisValue, Script};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;
use tokio::sync::watch;

use super::Redis;
use super::commit::json;
use super::link::{COMMAND, bounded};
use crate::members::{Heard, Member, Membership, NodeRecord, REMEMBERED, Report, Reported, Round};
use crate::name::Name;
use crate::store::StoreError;

/// Counts up, from the time in milliseconds: so that a Redis that lost the counter gives no number twice.
pub(super) static COUNT: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        r"
local time = redis.call('TIME')
local last = tonumber(redis.call('GET', KEYS[1]) or '0')
local number = math.max(last + 1, time[1] * 1000 + math.floor(time[2] / 1000))
redis.call('SET', KEYS[1], string.format('%.0f', number))
return number",
    )
});

/// Writes what a node says, unless a later process has its name.
static HEARTBEAT: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        r#"
local seen = redis.call('HGET', KEYS[1], ARGV[1])
if seen and tonumber(string.match(seen, '^{"incarnation":(%d+)')) > tonumber(ARGV[2]) then return 0 end
local time = redis.call('TIME')
redis.call('HSET', KEYS[1], ARGV[1], string.format('{"incarnation":%s,"at":%s%06d,"ttl":%s,"said":%s}',
  ARGV[2], time[1], time[2], ARGV[3], ARGV[4]))
return 1"#,
    )
});

/// The same as a heartbeat, and then everything that nodes say: one command instead of four, as an idle node sends it
/// every second.
static ROUND: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        r#"
local rows, mine = redis.call('HGETALL', KEYS[1]), nil
for i = 1, #rows, 2 do if rows[i] == ARGV[1] then mine = i + 1 end end
if mine and tonumber(string.match(rows[mine], '^{"incarnation":(%d+)') or '0') > tonumber(ARGV[2]) then
  return {0, {}, {}, 0, 0}
end
local time = redis.call('TIME')
local row = string.format('{"incarnation":%s,"at":%s%06d,"ttl":%s,"said":%s}', ARGV[2], time[1], time[2], ARGV[3], ARGV[4])
redis.call('HSET', KEYS[1], ARGV[1], row)
if not mine then
  rows[#rows + 1] = ARGV[1]
  mine = #rows + 1
end
rows[mine] = row
return {1, rows, redis.call('HGETALL', KEYS[2]), tonumber(time[1]), tonumber(time[2])}"#,
    )
});

/// What it answers: whether it was heard, what nodes say, what they serve, and the time.
type Rounded = (u8, Rows, Rows, i64, i64);
/// A hash whose values are JSON.
type Rows = Vec<(String, Vec<u8>)>;

/// Forgets a node, unless a later process has its name.
static LEAVE: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        r#"
local seen = redis.call('HGET', KEYS[1], ARGV[1])
if seen and tonumber(string.match(seen, '^{"incarnation":(%d+)')) > tonumber(ARGV[2]) then return 0 end
redis.call('HDEL', KEYS[1], ARGV[1])
redis.call('HDEL', KEYS[2], ARGV[1])
return 1"#,
    )
});

/// Writes what a node serves, and how long after the commit it did; wakes those who wait for that.
static REPORT: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        r#"
local nodes, served, log, receipts = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local node, incarnation, revision, said = unpack(ARGV)
local pattern = '^{"incarnation":(%d+),"revision":(%d+),"after":(%-?%d+)'
local seen = redis.call('HGET', nodes, node)
if seen and tonumber(string.match(seen, '^{"incarnation":(%d+)')) > tonumber(incarnation) then return 0 end
local after = '-1'
local before = redis.call('HGET', served, node)
local i, r, a = string.match(before or '', pattern)
if i == incarnation and r == revision then after = a
else
  local entry = redis.call('XRANGE', log, revision .. '-0', revision .. '-0')[1]
  if entry then
    local time = redis.call('TIME')
    for n = 1, #entry[2], 2 do
      if entry[2][n] == 'at' then
        after = string.format('%.0f', math.max(0, time[1] * 1000000 + time[2] - entry[2][n + 1]))
      end
    end
  end
end
redis.call('HSET', served, node, string.format('{"incarnation":%s,"revision":%s,"after":%s,"said":%s}',
  incarnation, revision, after, said))
redis.call('XADD', receipts, 'MAXLEN', '~', 100, '*', 'node', node)
return 1"#,
    )
});

/// What the first script writes.
#[derive(Deserialize)]
struct Seen {
    at: i64,
    ttl: u64,
    said: Box<RawValue>,
}

/// What the last script writes.
#[derive(Deserialize)]
struct Served {
    after: i64,
    said: Box<RawValue>,
}

/// Out of a hash whose values are JSON, those that can be read, by name; one that cannot be read harms nobody else.
fn readable<T: DeserializeOwned>(rows: Rows) -> BTreeMap<String, T> {
    let row = |(name, json): (String, Vec<u8>)| match serde_json::from_slice(&json) {
        Ok(row) => Some((name, row)),
        Err(error) => {
            tracing::warn!(node = %name, %error, "what a node says cannot be read");
            None
        }
    };
    rows.into_iter().filter_map(row).collect()
}

fn heard(answer: u8) -> Heard {
    if answer == 1 { Heard::Yes } else { Heard::Replaced }
}

impl Redis {
    /// Runs a script on these keys.
    async fn run<T: FromRedisValue>(
        &self,
        script: &Script,
        keys: &[String],
        arguments: &[Vec<u8>],
    ) -> Result<T, StoreError> {
        let call = |mut connection: Connection| async move {
            let mut call = script.prepare_invoke();
            for key in keys {
                call.key(key);
            }
            for argument in arguments {
                call.arg(argument);
            }
            bounded(COMMAND, call.invoke_async(&mut connection)).await
        };
        self.inner.ask(call).await
    }

    /// The nodes of these rows, by the time in microseconds; those that have been gone for too long are forgotten.
    async fn known(&self, rows: Rows, now: i64) -> Result<Vec<Member>, StoreError> {
        let mut members = Vec::new();
        let mut forgotten = Vec::new();
        for (name, seen) in readable::<Seen>(rows) {
            let age = Duration::from_micros(u64::try_from(now - seen.at).unwrap_or_default());
            match serde_json::from_str(seen.said.get()) {
                Ok(_) if age >= REMEMBERED => forgotten.push(name),
                Ok(record) => {
                    members.push(Member { record, age, alive: age < Duration::from_micros(seen.ttl) });
                }
                Err(error) => tracing::warn!(node = %name, %error, "what a node says cannot be read"),
            }
        }
        if !forgotten.is_empty() {
            let (nodes, served, forgotten) =
                (&self.inner.keys.nodes(), &self.inner.keys.served(), &forgotten);
            let forget = |mut connection: Connection| async move {
                let mut pipe = redis::pipe();
                pipe.hdel(nodes, forgotten).ignore().hdel(served, forgotten).ignore();
                bounded(COMMAND, pipe.query_async::<()>(&mut connection)).await
            };
            self.inner.ask(forget).await?;
        }
        Ok(members)
    }
}

/// The reports of these rows.
fn said(rows: Rows) -> Vec<Reported> {
    let reported = |(_, served): (String, Served)| {
        let report = serde_json::from_str(served.said.get()).ok()?;
        Some(Reported { report, after: u64::try_from(served.after).ok().map(Duration::from_micros) })
    };
    readable::<Served>(rows).into_iter().filter_map(reported).collect()
}

/// Microseconds since 1970.
fn micros(seconds: i64, micros: i64) -> i64 {
    seconds.saturating_mul(1_000_000).saturating_add(micros)
}

fn heartbeat(record: &NodeRecord, ttl: Duration) -> Result<[Vec<u8>; 4], StoreError> {
    Ok([
        record.node.as_str().into(),
        record.incarnation.to_string().into(),
        ttl.as_micros().to_string().into(),
        json(record)?,
    ])
}

#[async_trait]
impl Membership for Redis {
    async fn incarnation(&self) -> Result<u64, StoreError> {
        let key = &self.inner.keys.incarnations();
        let count = |mut connection: Connection| async move {
            bounded(COMMAND, COUNT.key(key).invoke_async(&mut connection)).await
        };
        self.inner.ask(count).await
    }

    async fn heartbeat(&self, record: &NodeRecord, ttl: Duration) -> Result<Heard, StoreError> {
        let arguments = heartbeat(record, ttl)?;
        self.run(&HEARTBEAT, &[self.inner.keys.nodes()], &arguments).await.map(heard)
    }

    async fn round(&self, record: &NodeRecord, ttl: Duration) -> Result<Round, StoreError> {
        let keys = [self.inner.keys.nodes(), self.inner.keys.served()];
        let answer: Rounded = self.run(&ROUND, &keys, &heartbeat(record, ttl)?).await?;
        let (answer, nodes, served, seconds, rest) = answer;
        let members = self.known(nodes, micros(seconds, rest)).await?;
        Ok(Round { heard: heard(answer), members, reports: said(served) })
    }

    async fn leave(&self, node: &Name, incarnation: u64) -> Result<(), StoreError> {
        let keys = [self.inner.keys.nodes(), self.inner.keys.served()];
        let arguments = [node.as_str().into(), incarnation.to_string().into()];
        self.run::<u8>(&LEAVE, &keys, &arguments).await.map(|_| ())
    }

    async fn members(&self) -> Result<Vec<Member>, StoreError> {
        let key = &self.inner.keys.nodes();
        let read = |mut connection: Connection| async move {
            let mut pipe = redis::pipe();
            pipe.hgetall(key).cmd("TIME");
            bounded(COMMAND, pipe.query_async(&mut connection)).await
        };
        let (rows, (seconds, rest)): (Rows, (i64, i64)) = self.inner.ask(read).await?;
        self.known(rows, micros(seconds, rest)).await
    }

    async fn report(&self, report: &Report) -> Result<Heard, StoreError> {
        let keys = &self.inner.keys;
        let keys = [keys.nodes(), keys.served(), keys.log(), keys.receipts()];
        let arguments = [
            report.node.as_str().into(),
            report.incarnation.to_string().into(),
            report.revision.0.to_string().into(),
            json(report)?,
        ];
        self.run(&REPORT, &keys, &arguments).await.map(heard)
    }

    async fn reports(&self) -> Result<Vec<Reported>, StoreError> {
        let key = &self.inner.keys.served();
        let read = |mut connection: Connection| async move {
            bounded(COMMAND, redis::cmd("HGETALL").arg(key).query_async(&mut connection)).await
        };
        Ok(said(self.inner.ask(read).await?))
    }

    fn reported(&self) -> watch::Receiver<u64> {
        self.inner.receipts.subscribe()
    }
}
