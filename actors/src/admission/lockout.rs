//! Locks out who fails again and again to say who they are. Whoever is locked out is answered as with a wrong password.
//!
//! An address that fails too often is locked out for a while, twice as long each time. If a definition is tried from
//! many addresses, those that have not been right lately are locked out together: those that have go on.

use std::collections::HashMap;
use std::hash::{BuildHasher as _, Hash, RandomState};
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

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
/// How long an address counts as one that was right.
const TRUSTED: Duration = Duration::from_secs(24 * 3600);
/// How many of those who were right are remembered, and how many bits say when.
const RIGHT: usize = 4_096;
const MINUTES: u32 = 24;
/// How many shards, and how many addresses each remembers.
const SHARDS: usize = 16;
const MOST: usize = 4_096;

/// What is remembered of an address, or of a definition as a whole.
#[derive(Clone, Copy)]
struct Memory {
    failures: u32,
    since: Instant,
    locked_until: Option<Instant>,
    times: u32,
}

/// Which definition, tried from where; from everywhere, if there is no address.
#[derive(PartialEq, Eq, Hash, Clone)]
struct Who {
    security: Box<str>,
    address: Option<IpAddr>,
}

/// See the module.
pub struct Lockout {
    begun: Instant,
    /// When somebody was wrong last, in seconds since it began and one more; 0: never. While nobody is, nothing is looked up.
    wrong_at: AtomicU64,
    shards: [Mutex<HashMap<Who, Memory>>; SHARDS],
    /// Who was right lately.
    right: Vec<AtomicU64>,
    hash: RandomState,
}

impl Default for Lockout {
    fn default() -> Self {
        Self {
            begun: Instant::now(),
            wrong_at: AtomicU64::new(0),
            shards: std::array::from_fn(|_| Mutex::default()),
            right: (0..RIGHT).map(|_| AtomicU64::new(0)).collect(),
            hash: RandomState::new(),
        }
    }
}

impl Lockout {
    /// Whether somebody was wrong lately: otherwise nobody is locked out.
    pub fn wary(&self) -> bool {
        match self.wrong_at.load(Ordering::Relaxed) {
            0 => false,
            at => self.begun.elapsed().as_secs() < at + LONGEST.as_secs() + WINDOW.as_secs(),
        }
    }

    /// Whether this address is not to be believed for now, whatever it says.
    pub fn locks(&self, security: &str, address: IpAddr) -> bool {
        if !self.wary() {
            return false;
        }
        let now = Instant::now();
        let locked = |memory: &Memory| memory.locked_until.is_some_and(|until| now < until);
        let who = who(security, Some(address));
        if self.shard(&who).get(&who).is_some_and(locked) {
            return true;
        }
        let all = self::who(security, None);
        self.shard(&all).get(&all).is_some_and(locked) && !self.was_right(security, address)
    }

    /// It was right.
    pub fn right(&self, security: &str, address: IpAddr) {
        let (slot, now) = self.slot(security, address);
        // Mostly it is there already: then cores share the line and nobody waits.
        if slot.load(Ordering::Relaxed) != now {
            slot.store(now, Ordering::Relaxed);
        }
        if self.wary() {
            let who = who(security, Some(address));
            if let Some(memory) = self.shard(&who).get_mut(&who) {
                memory.failures = 0;
            }
        }
    }

    fn was_right(&self, security: &str, address: IpAddr) -> bool {
        let (slot, now) = self.slot(security, address);
        let then = slot.load(Ordering::Relaxed);
        then >> MINUTES == now >> MINUTES && now.saturating_sub(then) <= TRUSTED.as_secs() / 60
    }

    /// Where it is remembered that this one was right, and what is there if it is right now: most bits of its hash, and
    /// below them the minute. Two that share a place forget each other, which makes a stranger of one of them.
    fn slot(&self, security: &str, address: IpAddr) -> (&AtomicU64, u64) {
        let hash = self.hash.hash_one((security, super::home(address.to_canonical())));
        let minute = (self.begun.elapsed().as_secs() / 60 + 1).min((1 << MINUTES) - 1);
        #[allow(clippy::cast_possible_truncation)] // it is reduced to a few bits anyway
        (&self.right[hash as usize % RIGHT], hash >> MINUTES << MINUTES | minute)
    }

    /// It was wrong.
    pub fn wrong(&self, security: &str, address: IpAddr) {
        self.wrong_at.store(self.begun.elapsed().as_secs() + 1, Ordering::Relaxed);
        self.count(who(security, Some(address)), FAILURES);
        self.count(who(security, None), FAILURES_OF_ALL);
    }

    fn count(&self, who: Who, most: u32) {
        let now = Instant::now();
        let mut shard = self.shard(&who);
        make_room(&mut shard, now);
        let fresh = Memory { failures: 0, since: now, locked_until: None, times: 0 };
        let memory = shard.entry(who.clone()).or_insert(fresh);
        if now.saturating_duration_since(memory.since) > WINDOW {
            (memory.failures, memory.since) = (0, now);
        }
        memory.failures += 1;
        if memory.failures >= most {
            let quiet = memory.locked_until.is_none_or(|until| now > until + LONGEST);
            memory.times = if quiet { 0 } else { memory.times + 1 };
            let lock = FIRST.saturating_mul(1 << memory.times.min(16)).min(LONGEST);
            (memory.locked_until, memory.failures) = (Some(now + lock), 0);
            let address = who.address.map_or_else(|| "many addresses".into(), |address| address.to_string());
            tracing::warn!(security = &*who.security, address, seconds = lock.as_secs(), "locked out");
        }
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

fn who(security: &str, address: Option<IpAddr>) -> Who {
    Who { security: security.into(), address: address.map(|address| super::home(address.to_canonical())) }
}

/// Forgets what is over, and if all goes on, all single addresses: a flood of them finds bounded memory, and is locked
/// out as a whole.
fn make_room(shard: &mut HashMap<Who, Memory>, now: Instant) {
    if shard.len() < MOST {
        return;
    }
    shard.retain(|who, memory| {
        let failing = now.saturating_duration_since(memory.since) <= WINDOW && memory.failures > 0;
        let locked = memory.locked_until.is_some_and(|until| now < until + LONGEST);
        who.address.is_none() || failing || locked
    });
    if shard.len() >= MOST {
        shard.retain(|who, _| who.address.is_none());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(n: u32) -> IpAddr {
        IpAddr::from((0x0a00_0000 + n).to_be_bytes())
    }

    #[tokio::test(start_paused = true)]
    async fn an_address_that_fails_is_locked_out_for_longer_each_time() {
        let lockout = Lockout::default();
        let fail = |n: u32| (0..n).for_each(|_| lockout.wrong("clerk", address(1)));
        fail(FAILURES - 1);
        assert!(!lockout.locks("clerk", address(1)));
        fail(1);
        assert!(lockout.locks("clerk", address(1)));
        assert!(!lockout.locks("clerk", address(2)) && !lockout.locks("other", address(1)));
        tokio::time::advance(FIRST).await;
        assert!(!lockout.locks("clerk", address(1)));
        fail(FAILURES);
        tokio::time::advance(FIRST).await;
        assert!(lockout.locks("clerk", address(1)), "twice as long");
        tokio::time::advance(FIRST).await;
        assert!(!lockout.locks("clerk", address(1)));
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_right_starts_anew_and_slow_failures_do_not_add_up() {
        let lockout = Lockout::default();
        for _ in 0..FAILURES * 3 {
            lockout.wrong("clerk", address(1));
            lockout.right("clerk", address(1));
        }
        assert!(!lockout.locks("clerk", address(1)));
        for _ in 0..FAILURES * 3 {
            lockout.wrong("clerk", address(2));
            tokio::time::advance(WINDOW).await;
        }
        assert!(!lockout.locks("clerk", address(2)));
    }

    #[tokio::test(start_paused = true)]
    async fn many_addresses_lock_out_strangers_but_not_who_was_right() {
        let lockout = Lockout::default();
        lockout.right("clerk", address(0));
        tokio::time::advance(Duration::from_secs(3600)).await;
        for n in 1..=FAILURES_OF_ALL {
            lockout.wrong("clerk", address(n));
        }
        assert!(lockout.locks("clerk", address(9_999)));
        assert!(!lockout.locks("clerk", address(0)));
        assert!(!lockout.locks("other", address(9_999)));
        tokio::time::advance(TRUSTED + LONGEST).await;
        for n in 1..=FAILURES_OF_ALL {
            lockout.wrong("clerk", address(n));
        }
        assert!(lockout.locks("clerk", address(0)), "that was long ago");
    }

    #[tokio::test(start_paused = true)]
    async fn a_flood_of_addresses_finds_bounded_memory() {
        let lockout = Lockout::default();
        for n in 0..200_000 {
            lockout.wrong("clerk", address(n));
        }
        let kept = lockout.kept();
        assert!(kept <= SHARDS * MOST, "{kept}");
    }
}
