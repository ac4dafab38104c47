//! What Redis does in one step: the Lua scripts, and their answers.

use std::sync::LazyLock;
use std::time::Duration;

use redis::Script;
use redis::aio::MultiplexedConnection as Connection;

use super::keys::Keys;
use super::lineage::{Lineage, Position};
use super::link::{COMMAND, Failure, bounded, limit_for};
use crate::name::Revision;

/// Ids of definitions, and their JSON.
pub(super) type Objects = Vec<(String, Vec<u8>)>;

/// Compares, appends to the history, writes. The entry goes first: it is the one step that Redis might refuse, and
/// what a script has written before an error stays.
static COMMIT: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        r"
local head, objects, log, void = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local lineage, expect, id, note, ops, keep = unpack(ARGV, 1, 6)
if redis.call('EXISTS', void) == 1 then return {'void'} end
local at = redis.call('HMGET', head, 'epoch', 'rev')
if at[1] ~= lineage then return {'stranger'} end
if at[2] ~= expect then return {'conflict', at[2]} end
local revision = string.format('%.0f', expect + 1)
local time = redis.call('TIME')
local now = time[1] .. string.format('%06d', time[2])
redis.call('XADD', log, 'MAXLEN', '~', keep, revision .. '-0', 'commit', id, 'at', now, 'note', note, 'ops', ops)
for i = 7, #ARGV, 2 do
  if ARGV[i + 1] == '' then redis.call('HDEL', objects, ARGV[i])
  else redis.call('HSET', objects, ARGV[i], ARGV[i + 1]) end
end
redis.call('HSET', head, 'rev', revision, 'count', redis.call('HLEN', objects))
return {'done'}",
    )
});

/// Finds out whether a commit happened, and if not, sees to it that it never does: its bytes may still be on their way.
static VERIFY: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        r"
local head, log, void = KEYS[1], KEYS[2], KEYS[3]
local lineage, revision, id = unpack(ARGV, 1, 3)
local at = redis.call('HMGET', head, 'epoch', 'rev')
if at[1] ~= lineage then return {'stranger'} end
local entry = redis.call('XRANGE', log, revision .. '-0', revision .. '-0')[1]
if entry then
  local fields = {}
  for i = 1, #entry[2], 2 do fields[entry[2][i]] = entry[2][i + 1] end
  if fields.commit == id then return {'done'} end
  return {'conflict', at[2]}
end
redis.call('SET', void, '1', 'PX', 600000)
return {'void'}",
    )
});

/// Begins a history, unless there is one.
static BEGIN: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        r"
if redis.call('EXISTS', KEYS[1], KEYS[2]) == 0 then
  redis.call('DEL', KEYS[3])
  redis.call('HSET', KEYS[1], 'epoch', ARGV[1], 'rev', '0', 'count', '0')
end
return redis.status_reply('OK')",
    )
});

/// Goes on under a new epoch, above every number used so far; with the definitions that are given, or with its own.
static CONTINUE: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        r"
local head, objects, log = KEYS[1], KEYS[2], KEYS[3]
local lineage, seen, fresh, floor, id, note, replace = unpack(ARGV, 1, 7)
local at = redis.call('HMGET', head, 'epoch', 'rev')
if (at[1] or '') ~= lineage or (at[2] or '0') ~= seen then return {'conflict'} end
local last = redis.call('XREVRANGE', log, '+', '-', 'COUNT', 1)[1]
local top = math.max(tonumber(floor), tonumber(seen) + 1)
if last then top = math.max(top, tonumber(string.match(last[1], '^%d+')) + 1) end
local revision = string.format('%.0f', top)
local time = redis.call('TIME')
local now = time[1] .. string.format('%06d', time[2])
redis.call('XADD', log, revision .. '-0', 'commit', id, 'at', now, 'note', note, 'ops', '[]')
if replace == '1' then
  redis.call('DEL', objects)
  for i = 8, #ARGV, 2 do redis.call('HSET', objects, ARGV[i], ARGV[i + 1]) end
end
redis.call('HSET', head, 'epoch', fresh, 'rev', revision, 'count', redis.call('HLEN', objects))
return {'done', revision}",
    )
});

/// What became of a commit.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Outcome {
    /// It happened.
    Done,
    /// Somebody was faster; the revision now.
    Conflict(Revision),
    /// It did not happen and never will.
    Void,
    /// Redis holds another history by now.
    Stranger,
}

impl Outcome {
    fn parse(answer: &[String]) -> Result<Self, Failure> {
        let revision = answer.get(1).and_then(|text| text.parse().ok());
        match (answer.first().map(String::as_str), revision) {
            (Some("done"), _) => Ok(Self::Done),
            (Some("conflict"), Some(revision)) => Ok(Self::Conflict(Revision(revision))),
            (Some("void"), _) => Ok(Self::Void),
            (Some("stranger"), _) => Ok(Self::Stranger),
            _ => Err(Failure::told(format!("a script answered {answer:?}"))),
        }
    }
}

/// One commit, as it goes over the line.
#[derive(Debug)]
pub(super) struct Commit {
    /// Its own id, by which it is found again if its answer is lost.
    pub(super) id: String,
    pub(super) lineage: Lineage,
    pub(super) expect: Revision,
    /// JSON.
    pub(super) note: Vec<u8>,
    /// JSON.
    pub(super) ops: Vec<u8>,
    /// Ids and their JSON; none to delete.
    pub(super) objects: Objects,
    /// How many entries the history keeps.
    pub(super) keep: u64,
}

impl Commit {
    /// Sends it.
    pub(super) async fn send(&self, connection: &mut Connection, keys: &Keys) -> Result<Outcome, Failure> {
        let bytes =
            self.ops.len() + self.objects.iter().map(|(id, json)| id.len() + json.len()).sum::<usize>();
        let mut call = COMMIT.prepare_invoke();
        call.key(keys.head()).key(keys.objects()).key(keys.log()).key(keys.void(&self.id));
        call.arg(self.lineage.as_str())
            .arg(self.expect.0)
            .arg(&self.id)
            .arg(&self.note)
            .arg(&self.ops)
            .arg(self.keep);
        for (id, json) in &self.objects {
            call.arg(id).arg(json);
        }
        let answer: Vec<String> = bounded(limit_for(bytes), call.invoke_async(connection)).await?;
        Outcome::parse(&answer)
    }

    /// Whether it happened, over another connection; if not, it never will.
    pub(super) async fn verify(&self, connection: &mut Connection, keys: &Keys) -> Result<Outcome, Failure> {
        let mut call = VERIFY.prepare_invoke();
        call.key(keys.head()).key(keys.log()).key(keys.void(&self.id));
        call.arg(self.lineage.as_str()).arg(self.expect.next().0).arg(&self.id);
        let answer: Vec<String> = bounded(COMMAND, call.invoke_async(connection)).await?;
        Outcome::parse(&answer)
    }
}

/// Begins a history, unless there is one.
pub(super) async fn begin(connection: &mut Connection, keys: &Keys) -> Result<(), Failure> {
    let mut call = BEGIN.prepare_invoke();
    call.key(keys.head()).key(keys.objects()).key(keys.log()).arg(Lineage::begin().as_str());
    bounded(COMMAND, call.invoke_async(connection)).await
}

/// Where the history in Redis is.
pub(super) async fn head(connection: &mut Connection, keys: &Keys) -> Result<Position, Failure> {
    let mut pipe = redis::pipe();
    pipe.atomic().hmget(keys.head(), &["epoch", "rev", "count"]).hlen(keys.objects());
    let (head, there): (Vec<Option<String>>, u64) = bounded(COMMAND, pipe.query_async(connection)).await?;
    position(&head, there)
}

/// At least as many definitions must be there as the last commit has left.
fn position(head: &[Option<String>], there: u64) -> Result<Position, Failure> {
    let [epoch, revision, count] = head else { return Err(Failure::told("the head is not one")) };
    let number = |text: &Option<String>| text.as_ref().map_or(Some(0), |text| text.parse().ok());
    let (Some(revision), Some(count)) = (number(revision), number(count)) else {
        return Err(Failure::told("the head of the history holds something that is no number"));
    };
    let lineage = Lineage::parse(epoch.as_deref().unwrap_or_default());
    Ok(Position { lineage, revision: Revision(revision), count: there, damaged: there < count })
}

/// Everything, as it is at one moment.
pub(super) async fn snapshot(
    connection: &mut Connection,
    keys: &Keys,
) -> Result<(Position, Objects), Failure> {
    let mut pipe = redis::pipe();
    pipe.atomic().hmget(keys.head(), &["epoch", "rev", "count"]).hgetall(keys.objects());
    // Hundreds of thousands of definitions take seconds on a slow line.
    let limit = Duration::from_secs(30);
    let (head, objects): (Vec<Option<String>>, Objects) =
        bounded(limit, pipe.query_async(connection)).await?;
    Ok((position(&head, objects.len() as u64)?, objects))
}

/// How a history goes on under a new epoch.
#[derive(Debug)]
pub(super) struct Continuation {
    /// What was found in Redis; if it has changed since, nothing is done.
    pub(super) found: Position,
    /// The new epoch, with all that it continues.
    pub(super) lineage: Lineage,
    /// The new revision, or more.
    pub(super) floor: Revision,
    /// JSON.
    pub(super) note: Vec<u8>,
    /// The definitions, id and JSON; none to keep what is there.
    pub(super) objects: Option<Objects>,
}

/// Does it; false if somebody was faster.
pub(super) async fn go_on(
    connection: &mut Connection,
    keys: &Keys,
    next: &Continuation,
) -> Result<bool, Failure> {
    let mut call = CONTINUE.prepare_invoke();
    call.key(keys.head()).key(keys.objects()).key(keys.log());
    call.arg(next.found.lineage.as_str())
        .arg(next.found.revision.0)
        .arg(next.lineage.as_str())
        .arg(next.floor.0);
    call.arg(commit_id()).arg(&next.note).arg(u8::from(next.objects.is_some()));
    let objects = next.objects.as_deref().unwrap_or_default();
    for (id, json) in objects {
        call.arg(id).arg(json);
    }
    let bytes = objects.iter().map(|(id, json)| id.len() + json.len()).sum();
    let answer: Vec<String> = bounded(limit_for(bytes), call.invoke_async(connection)).await?;
    Ok(answer.first().is_some_and(|word| word == "done"))
}

/// An id that no other commit has.
pub(super) fn commit_id() -> String {
    format!("{:016x}{:016x}", fastrand::u64(..), fastrand::u64(..))
}
