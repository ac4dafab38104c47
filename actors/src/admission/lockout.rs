//! Locks out who fails again and again to say who they are. Whoever is locked out is answered as with a wrong password.
//!
//! An address that fails too often is locked out for a while, twice as long each time. If a definition is tried from
//! many addresses, all of them are locked out together. Whoever shows what was right lately, at the same definition and
//! from the same address, goes on: somebody else's mistakes are not theirs.

use std::collections::HashMap;
use std::hash::{BuildHasher as _, DefaultHasher, Hash, Hasher, RandomState};
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use sdk::{Error, ErrorKind, Result, Verdict};
use tokio::sync::Notify;
use tokio::time::Instant;

/// How often an address may fail within a [`WINDOW`].
pub const FAILURES: u32 = 10;
/// How often a definition may be failed from all addresses together within a [`WINDOW`].
pub const FAILURES_OF_ALL: u32 = 200;
/// Failures further apart than this are not added up.
pub const WINDOW: Duration = Duration::from_secs(60);
/// How long the first time; twice as long each further time.
pub const FIRST: Duration = Duration::from_secs(5);
/// At most.
pub const LONGEST: Duration = Duration::from_secs(900);
/// How long somebody waits for others who are being checked.
const PATIENCE: Duration = Duration::from_secs(2);
/// How long it is remembered that somebody was right.
const TRUSTED: Duration = Duration::from_secs(24 * 3600);
/// How many of those who were right are remembered, and how many bits say when.
const RIGHT: usize = 16_384;
const MINUTES: u32 = 24;
/// How many shards, and how many addresses each remembers.
const SHARDS: usize = 16;
const MOST: usize = 4_096;

/// What is remembered of an address, or of a definition as a whole.
struct Memory {
    failures: u32,
    /// How many are being checked.
    under_way: u32,
    since: Instant,
    locked_until: Option<Instant>,
    times: u32,
}

/// Whether somebody may be checked.
enum Entry {
    Free,
    Full,
    Locked,
}

impl Memory {
    fn new() -> Self {
        Self { failures: 0, under_way: 0, since: Instant::now(), locked_until: None, times: 0 }
    }

    /// What is too long ago to be added up is forgotten.
    fn renew(&mut self, now: Instant) {
        if now.saturating_duration_since(self.since) > WINDOW {
            (self.failures, self.since) = (0, now);
        }
    }

    fn enter(&mut self, most: u32) -> Entry {
        let now = Instant::now();
        if self.locked_until.is_some_and(|until| now < until) {
            return Entry::Locked;
        }
        self.renew(now);
        if self.failures + self.under_way >= most {
            return Entry::Full;
        }
        self.under_way += 1;
        Entry::Free
    }

    fn leave(&mut self) {
        self.under_way = self.under_way.saturating_sub(1);
    }

    /// One more failure, and for how long it locks out, if it is one too many.
    fn fail(&mut self, most: u32) -> Option<Duration> {
        let now = Instant::now();
        self.renew(now);
        self.failures += 1;
        if self.failures < most {
            return None;
        }
        let quiet = self.locked_until.is_none_or(|until| now > until + LONGEST);
        self.times = if quiet { 0 } else { self.times + 1 };
        let lock = FIRST.saturating_mul(1 << self.times.min(16)).min(LONGEST);
        (self.locked_until, self.failures) = (Some(now + lock), 0);
        Some(lock)
    }

    /// Whether nothing in it matters any more.
    fn is_over(&self, now: Instant) -> bool {
        let failing = self.failures > 0 && now.saturating_duration_since(self.since) <= WINDOW;
        let locked = self.locked_until.is_some_and(|until| now < until + LONGEST);
        !failing && !locked && self.under_way == 0
    }
}

/// Which definition, tried from where; from everywhere, if there is no address.
#[derive(PartialEq, Eq, Hash, Clone)]
struct Who {
    security: Box<str>,
    address: Option<IpAddr>,
}

/// Somebody who says who they are: to which definition, from where, and a keyed hash of both and of what they show, which
/// is to be written into it.
pub struct Attempt<'a> {
    security: &'a str,
    address: IpAddr,
    shown: DefaultHasher,
}

impl Hasher for Attempt<'_> {
    fn write(&mut self, bytes: &[u8]) {
        self.shown.write(bytes);
    }

    fn finish(&self) -> u64 {
        self.shown.finish()
    }
}

impl Attempt<'_> {
    /// Under whom it is counted: its address, and all addresses together; and how many failures there may be.
    fn whose(&self) -> [(Who, u32); 2] {
        let who = |address| Who { security: self.security.into(), address };
        let home = super::home(self.address.to_canonical());
        [(who(Some(home)), FAILURES), (who(None), FAILURES_OF_ALL)]
    }
}

/// Somebody who is being checked. If nobody says what comes out of it, as when a request is broken off, it counts as a
/// failure, unless they were right lately.
#[must_use = "what is dropped counts as a failure"]
pub struct Trial<'a> {
    lockout: &'a Lockout,
    attempt: Attempt<'a>,
    counts: bool,
}

impl Trial<'_> {
    /// What came out.
    pub fn ends(mut self, verdict: Verdict) {
        match verdict {
            Verdict::Right => self.lockout.right(&self.attempt),
            Verdict::Wrong => self.lockout.wrong(&self.attempt),
            Verdict::Nothing => {}
            Verdict::Open => return, // as if it had been broken off
        }
        self.leave();
    }

    fn leave(&mut self) {
        if std::mem::take(&mut self.counts) {
            for (who, _) in self.attempt.whose() {
                self.lockout.remember(&who, Memory::leave);
            }
            self.lockout.settled.notify_waiters();
        }
    }
}

impl Drop for Trial<'_> {
    fn drop(&mut self) {
        if self.counts {
            self.lockout.count(&self.attempt);
            self.leave();
        }
    }
}

/// See the module.
pub struct Lockout {
    begun: Instant,
    /// Somebody who was being checked is not any more.
    settled: Notify,
    shards: [Mutex<HashMap<Who, Memory>>; SHARDS],
    /// What was right lately.
    right: Vec<AtomicU64>,
    hash: RandomState,
}

impl Default for Lockout {
    fn default() -> Self {
        Self {
            begun: Instant::now(),
            settled: Notify::new(),
            shards: std::array::from_fn(|_| Mutex::default()),
            right: (0..RIGHT).map(|_| AtomicU64::new(0)).collect(),
            hash: RandomState::new(),
        }
    }
}

impl Lockout {
    /// Somebody begins to say who they are.
    pub fn attempt<'a>(&self, security: &'a str, address: IpAddr) -> Attempt<'a> {
        let mut shown = self.hash.build_hasher();
        (security, super::home(address.to_canonical())).hash(&mut shown);
        Attempt { security, address, shown }
    }

    /// Whether they are to be believed: none if they are locked out. Whoever was not right lately counts from here on, so
    /// that no more guesses are under way than there may be failures; more wait for what comes out of those.
    ///
    /// # Errors
    /// Too many, if that takes too long.
    pub async fn begin<'a>(&'a self, attempt: Attempt<'a>) -> Result<Option<Trial<'a>>> {
        let until = Instant::now() + PATIENCE;
        loop {
            if self.was_right(&attempt) {
                return Ok(Some(Trial { lockout: self, attempt, counts: false }));
            }
            let settled = self.settled.notified();
            match self.enter(&attempt) {
                Entry::Locked => return Ok(None),
                Entry::Free => return Ok(Some(Trial { lockout: self, attempt, counts: true })),
                Entry::Full => {}
            }
            if tokio::time::timeout_at(until, settled).await.is_err() {
                let error = Error::new(ErrorKind::TooMany, "too many callers are being checked");
                return Err(error.retry_after(Duration::from_secs(1)));
            }
        }
    }

    /// One more who is being checked, if there is a place.
    fn enter(&self, attempt: &Attempt<'_>) -> Entry {
        let [(one, _), (all, _)] = attempt.whose();
        let closed = self.remember(&one, |memory| memory.enter(FAILURES));
        let Entry::Free = closed else { return closed };
        let closed = self.remember(&all, |memory| memory.enter(FAILURES_OF_ALL));
        if !matches!(closed, Entry::Free) {
            self.remember(&one, Memory::leave);
            self.settled.notify_waiters();
        }
        closed
    }

    /// They were right: what they show is. It says nothing about what else is tried at their address.
    fn right(&self, attempt: &Attempt<'_>) {
        let (slot, now) = self.slot(attempt);
        // Mostly it is there already: then cores share the line and nobody waits.
        if slot.load(Ordering::Relaxed) != now {
            slot.store(now, Ordering::Relaxed);
        }
    }

    fn was_right(&self, attempt: &Attempt<'_>) -> bool {
        let (slot, now) = self.slot(attempt);
        is_lately(slot.load(Ordering::Relaxed), now)
    }

    /// Where it is remembered that this one was right, and what is there if it is right now: most bits of its hash, and
    /// below them the minute. Two that share a place forget each other, which makes a stranger of one of them.
    fn slot(&self, attempt: &Attempt<'_>) -> (&AtomicU64, u64) {
        let hash = attempt.finish();
        let minute = (self.begun.elapsed().as_secs() / 60 + 1).min((1 << MINUTES) - 1);
        #[allow(clippy::cast_possible_truncation)] // it is reduced to a few bits anyway
        (&self.right[hash as usize % RIGHT], hash >> MINUTES << MINUTES | minute)
    }

    /// They were wrong.
    fn wrong(&self, attempt: &Attempt<'_>) {
        // What was right is not any more: it must not go on to lock out those who know what is.
        let (slot, now) = self.slot(attempt);
        if is_lately(slot.load(Ordering::Relaxed), now) {
            slot.store(0, Ordering::Relaxed);
        }
        self.count(attempt);
    }

    /// One more failure.
    fn count(&self, attempt: &Attempt<'_>) {
        for (who, most) in attempt.whose() {
            let Some(lock) = self.remember(&who, |memory| memory.fail(most)) else { continue };
            let address = who.address.map_or_else(|| "many addresses".into(), |address| address.to_string());
            tracing::warn!(security = &*who.security, address, seconds = lock.as_secs(), "locked out");
        }
    }

    /// Does something with what is remembered of somebody, which may be nothing yet, or nothing any more.
    fn remember<T>(&self, who: &Who, change: impl FnOnce(&mut Memory) -> T) -> T {
        let now = Instant::now();
        let mut shard = self.shard(who);
        if !shard.contains_key(who) {
            make_room(&mut shard, now);
        }
        let memory = shard.entry(who.clone()).or_insert_with(Memory::new);
        let outcome = change(memory);
        if memory.is_over(now) {
            shard.remove(who);
        }
        outcome
    }

    #[cfg(test)]
    fn kept(&self) -> usize {
        self.shards.iter().map(|shard| shard.lock().unwrap_or_else(PoisonError::into_inner).len()).sum()
    }

    fn shard(&self, who: &Who) -> MutexGuard<'_, HashMap<Who, Memory>> {
        #[allow(clippy::cast_possible_truncation)] // it is reduced to a few bits anyway
        let index = self.hash.hash_one(who) as usize % SHARDS;
        self.shards[index].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether both are of the same one, and the first is not long ago.
fn is_lately(then: u64, now: u64) -> bool {
    then >> MINUTES == now >> MINUTES && now.saturating_sub(then) <= TRUSTED.as_secs() / 60
}

/// Forgets what is over, and if all goes on, all single addresses: a flood of them finds bounded memory, and is locked
/// out as a whole.
fn make_room(shard: &mut HashMap<Who, Memory>, now: Instant) {
    if shard.len() < MOST {
        return;
    }
    shard.retain(|who, memory| who.address.is_none() || !memory.is_over(now));
    if shard.len() >= MOST {
        shard.retain(|who, _| who.address.is_none());
    }
}

#[cfg(test)]
mod tests;
