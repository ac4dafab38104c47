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
/// How long it is remembered that somebody was right.
const TRUSTED: Duration = Duration::from_secs(24 * 3600);
/// How many of those who were right are remembered, and how many bits say when.
const RIGHT: usize = 16_384;
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

/// See the module.
pub struct Lockout {
    begun: Instant,
    /// When somebody was wrong last, in seconds since it began and one more; 0: never. While nobody is, nothing is looked up.
    wrong_at: AtomicU64,
    shards: [Mutex<HashMap<Who, Memory>>; SHARDS],
    /// What was right lately.
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

    /// Somebody begins to say who they are.
    pub fn attempt<'a>(&self, security: &'a str, address: IpAddr) -> Attempt<'a> {
        let mut shown = self.hash.build_hasher();
        (security, super::home(address.to_canonical())).hash(&mut shown);
        Attempt { security, address, shown }
    }

    /// Whether they are not to be believed for now, whatever they show.
    pub fn locks(&self, attempt: &Attempt<'_>) -> bool {
        if !self.wary() || self.was_right(attempt) {
            return false;
        }
        let now = Instant::now();
        let locked = |who: Who| {
            self.shard(&who).get(&who).and_then(|memory| memory.locked_until).is_some_and(|until| now < until)
        };
        locked(who(attempt.security, Some(attempt.address))) || locked(who(attempt.security, None))
    }

    /// They were right.
    pub fn right(&self, attempt: &Attempt<'_>) {
        let (slot, now) = self.slot(attempt);
        let then = slot.load(Ordering::Relaxed);
        // Mostly it is there already: then cores share the line and nobody waits.
        if then != now {
            slot.store(now, Ordering::Relaxed);
        }
        // Who has found the right one at last begins anew. Who shows it all the time says nothing about the others at
        // their address.
        if !is_lately(then, now) && self.wary() {
            let who = who(attempt.security, Some(attempt.address));
            if let Some(memory) = self.shard(&who).get_mut(&who) {
                memory.failures = 0;
            }
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
    pub fn wrong(&self, attempt: &Attempt<'_>) {
        self.wrong_at.store(self.begun.elapsed().as_secs() + 1, Ordering::Relaxed);
        self.count(who(attempt.security, Some(attempt.address)), FAILURES);
        self.count(who(attempt.security, None), FAILURES_OF_ALL);
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

/// Whether both are of the same one, and the first is not long ago.
fn is_lately(then: u64, now: u64) -> bool {
    then >> MINUTES == now >> MINUTES && now.saturating_sub(then) <= TRUSTED.as_secs() / 60
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

    /// Somebody at an address shows a password.
    fn shows<'a>(lockout: &Lockout, security: &'a str, n: u32, password: &str) -> Attempt<'a> {
        let mut attempt = lockout.attempt(security, address(n));
        password.hash(&mut attempt);
        attempt
    }

    fn fail(lockout: &Lockout, n: u32, times: u32) {
        (0..times).for_each(|time| lockout.wrong(&shows(lockout, "clerk", n, &format!("guess {time}"))));
    }

    #[tokio::test(start_paused = true)]
    async fn an_address_that_fails_is_locked_out_for_longer_each_time() {
        let lockout = Lockout::default();
        let locks = |security, n| lockout.locks(&shows(&lockout, security, n, "hush"));
        fail(&lockout, 1, FAILURES - 1);
        assert!(!locks("clerk", 1));
        fail(&lockout, 1, 1);
        assert!(locks("clerk", 1));
        assert!(!locks("clerk", 2) && !locks("other", 1));
        tokio::time::advance(FIRST).await;
        assert!(!locks("clerk", 1));
        fail(&lockout, 1, FAILURES);
        tokio::time::advance(FIRST).await;
        assert!(locks("clerk", 1), "twice as long");
        tokio::time::advance(FIRST).await;
        assert!(!locks("clerk", 1));
    }

    #[tokio::test(start_paused = true)]
    async fn who_finds_the_right_one_starts_anew_and_slow_failures_do_not_add_up() {
        let lockout = Lockout::default();
        fail(&lockout, 1, FAILURES - 1);
        lockout.right(&shows(&lockout, "clerk", 1, "hush"));
        fail(&lockout, 1, FAILURES - 1);
        assert!(!lockout.locks(&shows(&lockout, "clerk", 1, "other")));
        for _ in 0..FAILURES * 3 {
            fail(&lockout, 2, 1);
            tokio::time::advance(WINDOW).await;
        }
        assert!(!lockout.locks(&shows(&lockout, "clerk", 2, "other")));
    }

    #[tokio::test(start_paused = true)]
    async fn who_was_right_there_goes_on_and_does_not_cover_who_is_wrong() {
        let lockout = Lockout::default();
        let right = shows(&lockout, "clerk", 1, "hush");
        lockout.right(&right);
        for _ in 0..FAILURES {
            fail(&lockout, 1, 1);
            lockout.right(&right);
        }
        assert!(!lockout.locks(&right));
        assert!(lockout.locks(&shows(&lockout, "clerk", 1, "hush!")), "another password at that address");
        fail(&lockout, 2, FAILURES);
        assert!(lockout.locks(&shows(&lockout, "clerk", 2, "hush")), "the right one at another address");
        lockout.right(&shows(&lockout, "other", 2, "hush"));
        assert!(lockout.locks(&shows(&lockout, "clerk", 2, "hush")), "what was right at another definition");
        tokio::time::advance(TRUSTED + LONGEST).await;
        fail(&lockout, 1, FAILURES);
        assert!(lockout.locks(&right), "that was long ago");
    }

    #[tokio::test(start_paused = true)]
    async fn many_addresses_lock_out_strangers_but_not_who_was_right() {
        let lockout = Lockout::default();
        let right = shows(&lockout, "clerk", 0, "hush");
        lockout.right(&right);
        tokio::time::advance(Duration::from_secs(3600)).await;
        (1..=FAILURES_OF_ALL).for_each(|n| fail(&lockout, n, 1));
        assert!(lockout.locks(&shows(&lockout, "clerk", 9_999, "hush")));
        assert!(lockout.locks(&shows(&lockout, "clerk", 0, "guess")));
        assert!(!lockout.locks(&right));
        assert!(!lockout.locks(&shows(&lockout, "other", 9_999, "hush")));
    }

    #[tokio::test(start_paused = true)]
    async fn a_flood_of_addresses_finds_bounded_memory() {
        let lockout = Lockout::default();
        (0..200_000).for_each(|n| fail(&lockout, n, 1));
        let kept = lockout.kept();
        assert!(kept <= SHARDS * MOST, "{kept}");
    }
}
