//! What a node remembers of tokens that were valid a moment ago: never the token itself, and never more than a bounded
//! number of them.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use aws_lc_rs::digest;
use sdk::Caller;
use tokio::time::Instant;

use super::token::Claims;

/// Requests on different processors should rarely meet.
const SHARDS: usize = 16;
/// How many tokens each part remembers.
const MOST: usize = 1024;
/// How many ended sessions are remembered for those who have just asked about them.
const ENDED: usize = 1024;

/// A token's hash.
pub(super) type Digest = [u8; 32];

/// The hash of a token.
pub(super) fn digest(token: &str) -> Digest {
    let mut out = [0; 32];
    out.copy_from_slice(digest::digest(&digest::SHA256, token.as_bytes()).as_ref());
    out
}

/// A token that was valid.
pub(super) struct Known {
    /// Whose it is.
    pub(super) caller: Caller,
    /// What it says.
    pub(super) claims: Claims,
    since: Instant,
    /// When the store said last that it counts, in microseconds after `since`.
    told: AtomicU64,
    asking: AtomicBool,
}

impl Known {
    /// The store was asked at this time, and said that it counts.
    pub(super) fn new(caller: Caller, claims: Claims, asked: Instant) -> Self {
        Self { caller, claims, since: asked, told: AtomicU64::new(0), asking: AtomicBool::new(false) }
    }

    /// How long ago the store was asked.
    pub(super) fn age(&self) -> Duration {
        self.since.elapsed().saturating_sub(Duration::from_micros(self.told.load(Ordering::Relaxed)))
    }

    /// The store was asked at this time, and said that it counts.
    pub(super) fn told(&self, asked: Instant) {
        let after = asked.saturating_duration_since(self.since).as_micros();
        self.told.fetch_max(u64::try_from(after).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// It is for the caller to ask the store, until this is dropped; none if somebody else asks.
    pub(super) fn asking(&self) -> Option<Asking<'_>> {
        (!self.asking.swap(true, Ordering::Acquire)).then_some(Asking(&self.asking))
    }
}

/// Somebody asks the store. Whoever gives up while they wait makes room for another.
pub(super) struct Asking<'a>(&'a AtomicBool);

impl Drop for Asking<'_> {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Release);
    }
}

/// The tokens of one definition that were valid a moment ago.
#[derive(Default)]
pub(super) struct Cache {
    shards: [Mutex<Shard>; SHARDS],
    ended: Mutex<VecDeque<Arc<str>>>,
}

#[derive(Default)]
struct Shard {
    known: HashMap<Digest, Arc<Known>>,
    /// The oldest first.
    order: VecDeque<Digest>,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Cache {
    fn shard(&self, digest: &Digest) -> MutexGuard<'_, Shard> {
        locked(&self.shards[usize::from(digest[0]) % SHARDS])
    }

    /// What is known of a token.
    pub(super) fn get(&self, digest: &Digest) -> Option<Arc<Known>> {
        self.shard(digest).known.get(digest).cloned()
    }

    /// Remembers a token, instead of the oldest if there are too many; false if its session was ended meanwhile.
    pub(super) fn put(&self, digest: Digest, known: Known) -> bool {
        let id = known.claims.jti.clone();
        let mut shard = self.shard(&digest);
        if shard.known.insert(digest, Arc::new(known)).is_none() {
            shard.order.push_back(digest);
        }
        while shard.order.len() > MOST {
            if let Some(oldest) = shard.order.pop_front() {
                shard.known.remove(&oldest);
            }
        }
        drop(shard);
        // In this order: whoever ends a session notes it first and looks for it then.
        let ended = locked(&self.ended).iter().any(|ended| **ended == *id);
        if ended {
            self.forget(&digest);
        }
        !ended
    }

    /// A token is not valid any more.
    pub(super) fn forget(&self, digest: &Digest) {
        let mut shard = self.shard(digest);
        if shard.known.remove(digest).is_some() {
            shard.order.retain(|other| other != digest);
        }
    }

    /// A session has ended.
    pub(super) fn end(&self, id: &str) {
        let mut ended = locked(&self.ended);
        ended.push_back(id.into());
        if ended.len() > ENDED {
            ended.pop_front();
        }
        drop(ended);
        for shard in &self.shards {
            let mut shard = locked(shard);
            let Shard { known, order } = &mut *shard;
            let before = known.len();
            known.retain(|_, known| known.claims.jti != id);
            if known.len() < before {
                order.retain(|digest| known.contains_key(digest));
            }
        }
    }

    /// Ends of sessions were missed: nothing that is remembered can be relied on.
    pub(super) fn clear(&self) {
        for shard in &self.shards {
            *locked(shard) = Shard::default();
        }
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.shards.iter().map(|shard| locked(shard).known.len()).sum()
    }
}
