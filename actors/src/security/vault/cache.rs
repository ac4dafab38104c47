//! Who was let in lately: found again by a keyed hash of what they have shown, never by that itself.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use aws_lc_rs::{hmac, rand};
use config::Secret;
use sdk::{Caller, Error, Result};
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::Instant;

use crate::authority::Proof;

/// In how many pieces it is kept: requests of different callers seldom meet.
const PIECES: usize = 16;
/// How many callers may be checked at the same time; those with the same credentials one after the other.
const TURNS: usize = 64;

/// A keyed hash of what somebody has shown.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Print([u8; 32]);

/// Somebody who was let in.
pub(super) struct Entry {
    pub(super) caller: Caller,
    /// The token that their log-in has made; none, if a token is what they show: that is not kept.
    pub(super) minted: Option<Secret>,
    /// When this ends, whatever else holds; none: never.
    pub(super) ends: Option<Instant>,
    /// When the authority was asked about it last.
    pub(super) asked: Instant,
    /// When they logged in.
    pub(super) began: Instant,
}

impl Entry {
    /// Whether it has not ended.
    pub(super) fn lives(&self, now: Instant) -> bool {
        self.ends.is_none_or(|ends| now < ends)
    }

    /// What is left of it, in seconds; none: it has no end.
    pub(super) fn left(&self, now: Instant) -> Option<Duration> {
        self.ends.map(|ends| ends.saturating_duration_since(now))
    }
}

/// See the module.
pub(super) struct Cache {
    key: hmac::Key,
    pieces: [Mutex<HashMap<Print, Arc<Entry>>>; PIECES],
    most: usize,
    turns: [Semaphore; TURNS],
}

impl Cache {
    /// For this many callers at most.
    ///
    /// # Errors
    /// If the system has no random numbers.
    pub(super) fn new(most: usize) -> Result<Self> {
        let key = hmac::Key::generate(hmac::HMAC_SHA256, &rand::SystemRandom::new());
        let key = key.map_err(|_| Error::internal("the system gives no random numbers"))?;
        let pieces = std::array::from_fn(|_| Mutex::default());
        let turns = std::array::from_fn(|_| Semaphore::new(1));
        Ok(Self { key, pieces, most: most.div_ceil(PIECES), turns })
    }

    /// The hash of a proof: different ones differ, wherever their parts end.
    pub(super) fn print(&self, proof: &Proof<'_>) -> Print {
        let mut context = hmac::Context::with_key(&self.key);
        context.update(&[proof.method as u8, u8::from(proof.mount.is_some())]);
        for part in [proof.mount.unwrap_or_default(), proof.username, proof.secret] {
            context.update(&(part.len() as u64).to_le_bytes());
            context.update(part.as_bytes());
        }
        let mut print = [0; 32];
        print.copy_from_slice(context.sign().as_ref());
        Print(print)
    }

    fn piece(&self, print: &Print) -> std::sync::MutexGuard<'_, HashMap<Print, Arc<Entry>>> {
        self.pieces[usize::from(print.0[0]) % PIECES].lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn get(&self, print: &Print) -> Option<Arc<Entry>> {
        self.piece(print).get(print).cloned()
    }

    /// Keeps somebody; if there are too many, those that have ended go, else one that was asked about longest ago.
    pub(super) fn put(&self, print: Print, entry: Arc<Entry>) {
        let now = Instant::now();
        let mut piece = self.piece(&print);
        if piece.len() >= self.most && !piece.contains_key(&print) {
            piece.retain(|_, other| other.lives(now));
            if piece.len() >= self.most {
                let oldest = piece.iter().min_by_key(|(_, other)| other.asked).map(|(print, _)| *print);
                oldest.map(|print| piece.remove(&print));
            }
        }
        piece.insert(print, entry);
    }

    pub(super) fn forget(&self, print: &Print) {
        self.piece(print).remove(print);
    }

    /// Waits until nobody else with these credentials is being checked.
    ///
    /// # Errors
    /// Unavailable, if that takes too long.
    pub(super) async fn turn(&self, print: &Print, until: Instant) -> Result<SemaphorePermit<'_>> {
        let turn = self.turns[usize::from(print.0[1]) % TURNS].acquire();
        match tokio::time::timeout_at(until, turn).await {
            Ok(Ok(turn)) => Ok(turn),
            _ => {
                Err(Error::unavailable("too many callers are being checked")
                    .retry_after(Duration::from_secs(1)))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::authority::Method;

    fn proof(secret: &str) -> Proof<'_> {
        Proof { method: Method::Token, mount: None, username: "", secret }
    }

    fn entry(seconds: u64) -> Arc<Entry> {
        let now = Instant::now();
        let caller = Caller::vouch("a", "s", Vec::new());
        let ends = Some(now + Duration::from_secs(seconds));
        Arc::new(Entry { caller, minted: None, ends, asked: now, began: now })
    }

    #[test]
    fn other_credentials_have_another_print() {
        let cache = Cache::new(10).expect("random numbers");
        let with = |method, mount, username, secret| cache.print(&Proof { method, mount, username, secret });
        let all = [
            with(Method::Token, None, "", "a"),
            with(Method::Github, None, "", "a"),
            with(Method::UsernamePassword, None, "ab", "c"),
            with(Method::UsernamePassword, None, "a", "bc"),
            with(Method::UsernamePassword, Some("ab"), "", "c"),
            with(Method::UsernamePassword, Some(""), "ab", "c"),
            with(Method::Ldap, None, "ab", "c"),
        ];
        let different: std::collections::HashSet<_> = all.iter().collect();
        assert_eq!(different.len(), all.len());
        assert!(all[0] == with(Method::Token, None, "", "a"));
        let other = Cache::new(10).expect("random numbers");
        assert!(other.print(&proof("a")) != cache.print(&proof("a")), "each cache has a key of its own");
    }

    #[tokio::test]
    async fn it_never_holds_more_than_it_may() {
        let cache = Cache::new(32).expect("random numbers");
        for number in 0..1000 {
            cache.put(cache.print(&proof(&number.to_string())), entry(60));
        }
        let held: usize = cache.pieces.iter().map(|piece| piece.lock().expect("a lock").len()).sum();
        assert!(held <= 32, "{held}");
        let last = cache.print(&proof("999"));
        assert!(cache.get(&last).is_some(), "the newest is there");
        cache.forget(&last);
        assert!(cache.get(&last).is_none());
    }
}
