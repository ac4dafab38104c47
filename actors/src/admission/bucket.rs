//! Token buckets by key, in shards so that cores do not wait for each other, and never more than a fixed number.

use std::collections::HashMap;
use std::hash::{BuildHasher as _, RandomState};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// How many shards, and how many buckets each holds at most. What comes above that shares one bucket: an attacker with
/// many addresses gets less, not more.
const SHARDS: usize = 16;
const MOST: usize = 8_192;

/// How fast a bucket fills up, and how much it holds.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shape {
    pub(super) per_second: f64,
    pub(super) burst: f64,
}

/// One bucket.
#[derive(Clone, Copy, Debug)]
struct Bucket {
    tokens: f64,
    at: Instant,
    /// What was taken and the store does not know yet.
    untold: f64,
}

impl Bucket {
    fn filled(&mut self, shape: Shape, now: Instant) -> &mut Self {
        let passed = now.saturating_duration_since(self.at).as_secs_f64();
        self.tokens = (self.tokens + passed * shape.per_second).min(shape.burst);
        self.at = now;
        self
    }
}

/// See the module.
pub(super) struct Buckets {
    pub(super) shape: Shape,
    shards: [Mutex<HashMap<Box<str>, Bucket>>; SHARDS],
    hash: RandomState,
}

impl Buckets {
    /// None is used yet.
    pub(super) fn new(shape: Shape) -> Self {
        Self { shape, shards: std::array::from_fn(|_| Mutex::default()), hash: RandomState::new() }
    }

    fn shard(&self, index: usize) -> MutexGuard<'_, HashMap<Box<str>, Bucket>> {
        self.shards[index].lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn of(&self, key: &str) -> MutexGuard<'_, HashMap<Box<str>, Bucket>> {
        #[allow(clippy::cast_possible_truncation)] // it is reduced to a few bits anyway
        self.shard(self.hash.hash_one(key) as usize % SHARDS)
    }

    /// Takes a token; or says how long it takes until there is one.
    pub(super) fn take(&self, key: &str, now: Instant) -> Result<(), Duration> {
        let shape = self.shape;
        let mut shard = self.of(key);
        if !shard.contains_key(key) && shard.len() >= MOST {
            shard.retain(|_, bucket| bucket.untold > 0.0 || bucket.filled(shape, now).tokens < shape.burst);
        }
        let key = if shard.contains_key(key) || shard.len() < MOST { key } else { "" };
        let fresh = || Bucket { tokens: shape.burst, at: now, untold: 0.0 };
        let bucket = shard.entry(key.into()).or_insert_with(fresh).filled(shape, now);
        if bucket.tokens >= 1.0 {
            bucket.tokens -= 1.0;
            bucket.untold += 1.0;
            return Ok(());
        }
        Err(self.until(bucket.tokens))
    }

    /// How long it takes until there is a token, if so many are there.
    pub(super) fn until(&self, tokens: f64) -> Duration {
        Duration::from_secs_f64(((1.0 - tokens) / self.shape.per_second).clamp(0.0, 1e9))
    }

    /// What was taken since this was asked last; buckets that are full again are forgotten.
    pub(super) fn untold(&self, now: Instant) -> Vec<(Box<str>, f64)> {
        let mut untold = Vec::new();
        for index in 0..SHARDS {
            self.shard(index).retain(|key, bucket| {
                if bucket.untold > 0.0 {
                    untold.push((key.clone(), std::mem::take(&mut bucket.untold)));
                    return true;
                }
                bucket.filled(self.shape, now).tokens < self.shape.burst
            });
        }
        untold
    }

    /// What the store says is left, of which what was taken meanwhile is not yet taken.
    pub(super) fn told(&self, key: &str, left: f64, now: Instant) {
        if let Some(bucket) = self.of(key).get_mut(key) {
            bucket.tokens = left - bucket.untold;
            bucket.at = now;
        }
    }

    /// It could not be told.
    pub(super) fn keep(&self, key: &str, tokens: f64) {
        if let Some(bucket) = self.of(key).get_mut(key) {
            // Not more than a bucket holds: after a long outage it is all the same.
            bucket.untold = (bucket.untold + tokens).min(self.shape.burst);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHAPE: Shape = Shape { per_second: 10.0, burst: 5.0 };

    #[tokio::test(start_paused = true)]
    async fn a_bucket_gives_its_burst_at_once_and_then_as_fast_as_it_fills() {
        let buckets = Buckets::new(SHAPE);
        let taken = |now| (0..100).filter(|_| buckets.take("a", now).is_ok()).count();
        let now = Instant::now();
        assert_eq!(taken(now), 5);
        assert_eq!(buckets.take("a", now), Err(Duration::from_millis(100)));
        assert_eq!(buckets.take("b", now), Ok(()), "of its own");
        assert_eq!(taken(now + Duration::from_millis(250)), 2);
        assert_eq!(taken(now + Duration::from_secs(60)), 5, "not above the brim");
    }

    #[tokio::test(start_paused = true)]
    async fn what_others_took_counts_once_it_is_told() {
        let buckets = Buckets::new(SHAPE);
        let now = Instant::now();
        assert_eq!(buckets.take("a", now), Ok(()));
        assert_eq!(buckets.untold(now), [("a".into(), 1.0)]);
        assert_eq!(buckets.take("a", now), Ok(()), "while the answer is on its way");
        buckets.told("a", 2.0, now);
        assert_eq!(buckets.take("a", now), Ok(()));
        assert!(buckets.take("a", now).is_err());
        assert_eq!(buckets.untold(now), [("a".into(), 2.0)]);
        buckets.keep("a", 2.0);
        assert_eq!(buckets.untold(now), [("a".into(), 2.0)], "told again after an outage");
        assert_eq!(buckets.untold(now + Duration::from_secs(9)), [], "and forgotten once it is full");
        assert!(buckets.of("a").is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn a_million_keys_take_bounded_memory_and_share_what_is_left() {
        let buckets = Buckets::new(SHAPE);
        let now = Instant::now();
        let let_in = (0..300_000).filter(|n| buckets.take(&n.to_string(), now).is_ok()).count();
        let kept: usize = (0..SHARDS).map(|index| buckets.shard(index).len()).sum();
        assert!(kept <= SHARDS * (MOST + 1), "{kept}");
        assert!(let_in <= SHARDS * (MOST + 5), "{let_in}");
    }
}
