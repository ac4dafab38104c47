//! Passwords that are known by their hash only.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use argon2::password_hash::phc::PasswordHash;
use argon2::{Algorithm, Argon2, PasswordHasher as _, PasswordVerifier as _, Version};
use aws_lc_rs::constant_time::verify_slices_are_equal;
use sdk::{Error, ErrorKind, Result};
use tokio::sync::Semaphore;

use super::super::fingerprint::Fingerprint;

/// How long a caller waits for a processor that checks their password.
const WAIT: Duration = Duration::from_secs(2);
/// What a password hash may cost at most: memory in KiB, and passes over it.
const MOST: (u32, u32) = (1 << 20, 20);
/// The hash of a password, as the `password_hash` parameter wants it: argon2id with the costs that OWASP recommends.
///
/// # Errors
/// If the system has no random numbers.
pub fn hash_password(clear: &str) -> Result<String> {
    let costs = argon2::Params::new(19 * 1024, 2, 1, None).map_err(|e| Error::internal(e.to_string()))?;
    let hash = Argon2::new(Algorithm::Argon2id, Version::V0x13, costs).hash_password(clear.as_bytes());
    hash.map(|hash| hash.to_string()).map_err(|e| Error::internal(format!("no password hash: {e}")))
}

/// Reads a hash, and refuses one that would keep a processor for long.
pub(super) fn parse_hash(text: &str) -> Result<PasswordHash, String> {
    let bad = "this is not an argon2id hash";
    let hash = PasswordHash::new(text).map_err(|_| bad)?;
    let costs = argon2::Params::try_from(&hash).map_err(|_| bad)?;
    if hash.algorithm != Algorithm::Argon2id.ident() || hash.hash.is_none() || hash.salt.is_none() {
        return Err(bad.into());
    }
    if costs.m_cost() > MOST.0 || costs.t_cost() > MOST.1 {
        return Err(format!("this hash is too costly to check; at most m={} and t={}", MOST.0, MOST.1));
    }
    Ok(hash)
}

/// A password known by its hash. The hash is slow to check, on purpose, so what was right once is recognised from
/// then on by its fingerprint; what is wrong costs its price each time.
pub(super) struct Hashed {
    username: Arc<str>,
    hash: Arc<PasswordHash>,
    pub(super) seen: ArcSwapOption<Fingerprint>,
    /// Of the processors, so that a flood of wrong passwords cannot pile up work.
    pub(super) turns: Arc<Semaphore>,
    /// How often the slow hash was computed.
    #[cfg(test)]
    pub(super) computed: std::sync::atomic::AtomicUsize,
}

impl Hashed {
    pub(super) fn new(username: &str, hash: &str) -> Result<Self> {
        let hash = Arc::new(parse_hash(hash).map_err(Error::internal)?);
        let processors = std::thread::available_parallelism().map_or(1, Into::into);
        let turns = Arc::new(Semaphore::new(processors));
        Ok(Self {
            username: username.into(),
            hash,
            seen: ArcSwapOption::empty(),
            turns,
            #[cfg(test)]
            computed: Default::default(),
        })
    }

    pub(super) async fn matches(&self, given: Vec<u8>) -> Result<bool> {
        let seen = |given: &[u8]| self.seen.load().as_ref().is_some_and(|seen| seen.matches(given));
        if seen(&given) {
            return Ok(true);
        }
        let busy = || {
            let error = Error::new(ErrorKind::TooMany, "too many passwords are being checked");
            error.retry_after(Duration::from_secs(1))
        };
        let turn = tokio::time::timeout(WAIT, self.turns.clone().acquire_owned()).await;
        let turn = turn.map_err(|_| busy())?.map_err(|_| busy())?;
        if seen(&given) {
            return Ok(true); // many began with the same password, and one of them has been through
        }
        #[cfg(test)]
        self.computed.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let (username, hash) = (self.username.clone(), self.hash.clone());
        // The work goes on if the caller lets go: the turn is given back by the work, not by the caller.
        let work = tokio::task::spawn_blocking(move || {
            let _turn = turn;
            let colon = given.iter().position(|b| *b == b':').unwrap_or(given.len());
            let (user, password) = (&given[..colon], given.get(colon + 1..).unwrap_or_default());
            // Both are always looked at: the time says nothing about the user name.
            let right = Argon2::default().verify_password(password, &*hash).is_ok()
                & verify_slices_are_equal(user, username.as_bytes()).is_ok();
            (right, given)
        });
        let (right, given) = work.await?;
        if right {
            self.seen.store(Some(Arc::new(Fingerprint::of(&given)?)));
        }
        Ok(right)
    }
}
