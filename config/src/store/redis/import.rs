//! Moving in: the definitions and the history of another store become those of an empty Redis, numbers and times kept.

use std::sync::LazyLock;

use redis::Script;

use super::Redis;
use super::commit::{json, objects};
use super::link::{Failure, bounded, limit_for};
use super::scripts::{self, commit_id};
use crate::catalog::Catalog;
use crate::store::{Entry, StoreError};

/// Writes everything at once, unless something is there.
static IMPORT: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        r"
local head, objects, log = KEYS[1], KEYS[2], KEYS[3]
local revision, entries = ARGV[1], tonumber(ARGV[2])
if redis.call('HGET', head, 'rev') ~= '0' or redis.call('EXISTS', objects, log) > 0 then return {'taken'} end
local i = 3
for _ = 1, entries do
  redis.call('XADD', log, ARGV[i] .. '-0', 'commit', ARGV[i + 1], 'at', ARGV[i + 2], 'note', ARGV[i + 3], 'ops', ARGV[i + 4])
  i = i + 5
end
while i < #ARGV do
  redis.call('HSET', objects, ARGV[i], ARGV[i + 1])
  i = i + 2
end
redis.call('HSET', head, 'rev', revision, 'count', redis.call('HLEN', objects))
return {'done'}",
    )
});

impl Redis {
    /// Takes over what another store holds: its catalog, and its history, oldest first. Everything or nothing.
    ///
    /// # Errors
    /// If the cluster has definitions or a history already, or Redis is away.
    pub async fn import(&self, catalog: &Catalog, history: &[Entry]) -> Result<(), StoreError> {
        let inner = &self.inner;
        let mut connection = inner.link.connect().await?;
        let mut call = IMPORT.prepare_invoke();
        call.key(inner.keys.head()).key(inner.keys.objects()).key(inner.keys.log());
        call.arg(catalog.revision.0).arg(history.len());
        let mut bytes = 0;
        for entry in history {
            let (note, ops) = (json(&entry.note)?, json(&entry.ops)?);
            bytes += note.len() + ops.len();
            call.arg(entry.revision.0).arg(commit_id()).arg(entry.at.timestamp_micros()).arg(note).arg(ops);
        }
        for (id, object) in objects(catalog)? {
            bytes += object.len();
            call.arg(id).arg(object);
        }
        scripts::begin(&mut connection, &inner.keys).await?;
        let answer: Vec<String> = bounded(limit_for(bytes), call.invoke_async(&mut connection)).await?;
        if answer.first().is_none_or(|word| word != "done") {
            let message =
                format!("{} holds definitions or a history already; nothing was changed", inner.name);
            return Err(Failure::told(message).into());
        }
        inner.take_over(&mut connection).await?;
        inner.look.notify_one();
        Ok(())
    }
}
