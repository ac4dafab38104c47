//! What Redis does about slots in one step. The rules are those of `slots/ledger.rs`.
//!
//! A state is five numbers in a text: plan, turn, anchor, last, spent. They stay texts, so that none is rounded.

use std::sync::LazyLock;

use redis::Script;

/// Takes over jobs of one bucket; an empty answer if the lease is not held.
/// Per job: name, plan, and what the node remembers, or nothing.
pub(super) static TAKE_OVER: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        r"
local lease, states = KEYS[1], KEYS[2]
local held = redis.call('HMGET', lease, 'owner', 'fence')
if held[1] ~= ARGV[1] or held[2] ~= ARGV[2] then return {} end
local time = redis.call('TIME')
local now = time[1] .. string.format('%06d', time[2])
local numbers = '^(%d+) (%d+) (%d+) (%d+) (%d)$'
local answers = {}
for i = 3, #ARGV, 3 do
  local name, plan, known = ARGV[i], ARGV[i + 1], ARGV[i + 2]
  local state = redis.call('HGET', states, name)
  local kplan, kturn, _, klast, kspent = string.match(known, numbers)
  local write = nil
  if not state then
    if kplan == plan then write = known else write = plan .. ' 0 ' .. now .. ' 0 0' end
  else
    local splan, sturn, anchor, last = string.match(state, numbers)
    if tonumber(splan) < tonumber(plan) and kplan == plan and tonumber(klast) >= tonumber(last) then
      write = known
    elseif tonumber(splan) < tonumber(plan) then
      write = table.concat({plan, sturn, now, last, '0'}, ' ')
    elseif splan == kplan and sturn == kturn and tonumber(klast) > tonumber(last) then
      write = table.concat({splan, sturn, anchor, klast, kspent}, ' ')
    end
  end
  if write then redis.call('HSET', states, name, write) end
  answers[#answers + 1] = write or state
end
return answers",
    )
});

/// Decides slots. The answers are numbers, in the order of `Answer`.
/// Per claim: bucket, fence, name, plan, turn, anchor, slot, until, spent, whether it runs, its record.
pub(super) static CLAIM: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        r"
local objects = KEYS[1]
local prefix, owner, early, keep = ARGV[1], ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])
local time = redis.call('TIME')
local latest = time[1] * 1000000 + time[2] + early
local leases, answers = {}, {}
local function decide(bucket, fence, name, plan, turn, anchor, slot, till, spent, runs, record)
  local lease = leases[bucket]
  if not lease then
    lease = redis.call('HMGET', prefix .. 'lease:jobs/' .. bucket, 'owner', 'fence')
    leases[bucket] = lease
  end
  if lease[1] ~= owner or lease[2] ~= fence then return 4 end
  local states = prefix .. 'jobs:' .. bucket
  local state = redis.call('HGET', states, name)
  if not state then return 2 end
  local splan, sturn, sanchor, last = string.match(state, '^(%d+) (%d+) (%d+) (%d+) %d$')
  if splan ~= plan or sturn ~= turn or sanchor ~= anchor then return 2 end
  if tonumber(last) >= tonumber(slot) then
    if runs == '1' and redis.call('HGET', prefix .. 'runs:' .. bucket, name .. '\n' .. slot) == record then
      return 0
    end
    return 1
  end
  if tonumber(till) > latest then return 3 end
  local json = redis.call('HGET', objects, 'job/' .. name)
  local ending = '\34changed_at\34:' .. plan .. '}'
  if not json or string.sub(json, -string.len(ending)) ~= ending then return 2 end
  redis.call('HSET', states, name, table.concat({plan, turn, anchor, till, spent}, ' '))
  if runs == '1' then
    redis.call('HSET', prefix .. 'runs:' .. bucket, name .. '\n' .. slot, record)
  else
    local slots = prefix .. 'slots:' .. name
    redis.call('ZREMRANGEBYSCORE', slots, slot, slot)
    redis.call('ZADD', slots, slot, record)
    redis.call('ZREMRANGEBYRANK', slots, 0, -keep - 1)
  end
  return 0
end
for i = 5, #ARGV, 11 do
  answers[#answers + 1] = decide(unpack(ARGV, i, i + 10))
end
return answers",
    )
});

/// Writes down that a run begins that belongs to no slot, of a job that may be known by no plan yet.
pub(super) static BEGIN: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        r"
local states, runs, name, slot, record = KEYS[1], KEYS[2], ARGV[1], ARGV[2], ARGV[3]
local time = redis.call('TIME')
redis.call('HSETNX', states, name, '0 0 ' .. time[1] .. string.format('%06d', time[2]) .. ' 0 0')
redis.call('HSET', runs, name .. '\n' .. slot, record)
return redis.status_reply('OK')",
    )
});

/// Writes down how runs ended. Per run: bucket, name, slot, whether it is presumed, its record.
pub(super) static END: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        r"
local prefix, keep = ARGV[1], tonumber(ARGV[2])
for i = 3, #ARGV, 5 do
  local bucket, name, slot, presumed, record = unpack(ARGV, i, i + 4)
  local there = redis.call('HDEL', prefix .. 'runs:' .. bucket, name .. '\n' .. slot)
  if there == 1 or presumed == '0' then
    if redis.call('HEXISTS', prefix .. 'jobs:' .. bucket, name) == 1 then
      local slots = prefix .. 'slots:' .. name
      redis.call('ZREMRANGEBYSCORE', slots, slot, slot)
      redis.call('ZADD', slots, slot, record)
      redis.call('ZREMRANGEBYRANK', slots, 0, -keep - 1)
    end
  end
end
return redis.status_reply('OK')",
    )
});

/// Begins another turn of a job; 0 if nothing is known of it.
pub(super) static ACTIVATE: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        r"
local states, changes, name = KEYS[1], KEYS[2], ARGV[1]
local state = redis.call('HGET', states, name)
if not state then return 0 end
local time = redis.call('TIME')
local now = time[1] .. string.format('%06d', time[2])
local plan, turn, _, last = string.match(state, '^(%d+) (%d+) (%d+) (%d+) %d$')
redis.call('HSET', states, name, table.concat({plan, string.format('%.0f', turn + 1), now, last, '0'}, ' '))
redis.call('INCR', changes)
return 1",
    )
});

/// Gives what is known of one job to another.
pub(super) static RENAME: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        r"
local prefix, from, old, to, new = unpack(ARGV, 1, 5)
local numbers = '^(%d+) (%d+) (%d+) (%d+) (%d)$'
local state = redis.call('HGET', prefix .. 'jobs:' .. old, from)
if state then
  local time = redis.call('TIME')
  local now = time[1] .. string.format('%06d', time[2])
  local there = redis.call('HGET', prefix .. 'jobs:' .. new, to)
  local _, turn, _, last = string.match(state, numbers)
  local plan, anchor, spent = '0', now, '0'
  if there then
    local other
    plan, turn, anchor, other, spent = string.match(there, numbers)
    turn = string.format('%.0f', turn + 1)
    if tonumber(other) > tonumber(last) then last = other end
  end
  redis.call('HSET', prefix .. 'jobs:' .. new, to, table.concat({plan, turn, anchor, last, spent}, ' '))
  redis.call('HDEL', prefix .. 'jobs:' .. old, from)
end
local number = redis.call('HGET', prefix .. 'job-numbers', from)
if number then
  redis.call('HSET', prefix .. 'job-numbers', to, number)
  redis.call('HDEL', prefix .. 'job-numbers', from)
end
local slots, target = prefix .. 'slots:' .. from, prefix .. 'slots:' .. to
if redis.call('EXISTS', slots) == 1 then
  redis.call('ZUNIONSTORE', target, 2, slots, target, 'AGGREGATE', 'MAX')
  redis.call('DEL', slots)
end
for _, field in ipairs(redis.call('HKEYS', prefix .. 'runs:' .. old)) do
  if string.sub(field, 1, string.len(from) + 1) == from .. '\n' then
    redis.call('HDEL', prefix .. 'runs:' .. old, field)
  end
end
redis.call('INCR', prefix .. 'job-changes')
return redis.status_reply('OK')",
    )
});

/// Drops what is known of jobs that have no definition.
pub(super) static FORGET: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        r"
local prefix, bucket = ARGV[1], ARGV[2]
for i = 3, #ARGV do
  local name = ARGV[i]
  if redis.call('HEXISTS', prefix .. 'obj', 'job/' .. name) == 0 then
    redis.call('HDEL', prefix .. 'jobs:' .. bucket, name)
    redis.call('HDEL', prefix .. 'job-numbers', name)
    redis.call('DEL', prefix .. 'slots:' .. name)
    for _, field in ipairs(redis.call('HKEYS', prefix .. 'runs:' .. bucket)) do
      if string.sub(field, 1, string.len(name) + 1) == name .. '\n' then
        redis.call('HDEL', prefix .. 'runs:' .. bucket, field)
      end
    end
  end
end
return redis.status_reply('OK')",
    )
});

/// Gives numbers to the jobs that have none.
pub(super) static NUMBERS: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        r"
local numbers, answers = KEYS[1], {}
for i, name in ipairs(ARGV) do
  local number = redis.call('HGET', numbers, name)
  if not number then
    number = redis.call('HINCRBY', numbers, '', 1)
    redis.call('HSET', numbers, name, number)
  end
  answers[i] = tonumber(number)
end
return answers",
    )
});
