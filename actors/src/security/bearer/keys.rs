//! The keys of an issuer: a JWKS (RFC 7517) from a URL or a file, read again as the issuer rotates them.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use jsonwebtoken::jwk::{AlgorithmParameters, Jwk, JwkSet, PublicKeyUse};
use jsonwebtoken::{Algorithm, AlgorithmFamily, DecodingKey};
use sdk::{Error, Result};
use tokio::sync::Semaphore;
use tokio::time::Instant;

use super::{MOST, TIMEOUT, body};

/// How many keys of a set are used.
const KEYS: usize = 64;
/// Keys that could not be confirmed for this many intervals are not relied upon any more.
const STALE: u32 = 12;

/// Where the keys are.
#[derive(Debug)]
pub(super) enum Source {
    /// At a URL.
    Url(reqwest::Client, String),
    /// In a file of this machine.
    File(PathBuf),
}

/// A key that signs tokens.
pub(super) struct Key {
    id: Option<String>,
    /// The algorithms that it may be used with.
    pub(super) algorithms: Vec<Algorithm>,
    /// The key itself.
    pub(super) key: DecodingKey,
}

/// The keys of an issuer.
pub(super) struct Keys {
    source: Source,
    pinned: Vec<Algorithm>,
    /// How often they are read again, and how long after a reading the next one may be.
    refresh: Duration,
    pause: Duration,
    current: ArcSwap<Vec<Arc<Key>>>,
    times: Mutex<Times>,
    turn: Semaphore,
}

struct Times {
    tried: Instant,
    read: Instant,
}

impl Keys {
    /// Reads them for the first time. Of each key, the algorithms in `pinned` are used that it is good for.
    pub(super) async fn read(
        source: Source,
        pinned: Vec<Algorithm>,
        refresh: Duration,
        pause: Duration,
    ) -> Result<Self> {
        let first = usable(&fetch(&source).await.map_err(Error::upstream)?, &pinned);
        if first.is_empty() {
            return Err(Error::upstream(
                "the issuer's key set holds no key for the algorithms that are accepted",
            ));
        }
        let now = Instant::now();
        Ok(Self {
            source,
            pinned,
            refresh,
            pause,
            current: ArcSwap::from_pointee(first),
            times: Mutex::new(Times { tried: now, read: now }),
            turn: Semaphore::new(1),
        })
    }

    /// The keys that a token with this key id may be signed with; those without a key id if it has none. An id that is
    /// not known is a reason to read the keys again, but not more often than is good for the issuer.
    pub(super) async fn find(&self, id: Option<&str>) -> Result<Vec<Arc<Key>>> {
        let found = |keys: &[Arc<Key>]| -> Vec<Arc<Key>> {
            keys.iter().filter(|key| id.is_none() || key.id.as_deref() == id).cloned().collect()
        };
        let mut keys = found(&self.current.load());
        let due = if keys.is_empty() { self.pause } else { self.refresh };
        if self.tried() >= due {
            self.again(due, keys.is_empty()).await;
            keys = found(&self.current.load());
        }
        if self.age() > self.refresh * STALE {
            return Err(Error::unavailable(
                "the issuer's keys cannot be read, and those that are known are too old",
            ));
        }
        Ok(keys)
    }

    fn tried(&self) -> Duration {
        self.times.lock().unwrap_or_else(PoisonError::into_inner).tried.elapsed()
    }

    fn age(&self) -> Duration {
        self.times.lock().unwrap_or_else(PoisonError::into_inner).read.elapsed()
    }

    /// Reads them again, unless somebody has done so within `due`. What cannot be read leaves what was there. Whoever
    /// has no use for the keys of before waits for somebody who is reading already.
    async fn again(&self, due: Duration, wait: bool) {
        let turn = match wait {
            true => tokio::time::timeout(TIMEOUT, self.turn.acquire()).await.ok().and_then(Result::ok),
            false => self.turn.try_acquire().ok(),
        };
        let Some(_turn) = turn else { return };
        {
            let mut times = self.times.lock().unwrap_or_else(PoisonError::into_inner);
            if times.tried.elapsed() < due {
                return;
            }
            times.tried = Instant::now();
        }
        match fetch(&self.source).await {
            Ok(set) => {
                let next = usable(&set, &self.pinned);
                if next.is_empty() {
                    tracing::warn!("an issuer's key set holds no usable key; the keys of before are used");
                    return;
                }
                self.current.store(Arc::new(next));
                self.times.lock().unwrap_or_else(PoisonError::into_inner).read = Instant::now();
            }
            Err(error) => tracing::warn!(error, "an issuer's keys cannot be read again"),
        }
    }
}

async fn fetch(source: &Source) -> Result<JwkSet, String> {
    let text = match source {
        Source::Url(http, url) => {
            let answer = http.get(url).header("accept", "application/json").send().await;
            let answer = answer.map_err(|e| format!("the issuer's keys: {}", e.without_url()))?;
            if !answer.status().is_success() {
                return Err(format!("the issuer's keys: the server answered {}", answer.status()));
            }
            body(answer).await?
        }
        Source::File(path) => {
            let file = |e: std::io::Error| format!("{}: {e}", path.display());
            if tokio::fs::metadata(path).await.map_err(file)?.len() > MOST as u64 {
                return Err(format!("{} is too long", path.display()));
            }
            tokio::fs::read(path).await.map_err(file)?
        }
    };
    serde_json::from_slice(&text).map_err(|e| format!("the issuer's keys are no JWKS: {e}"))
}

/// The keys that can be used: public ones, for signatures, with an algorithm that is pinned.
fn usable(set: &JwkSet, pinned: &[Algorithm]) -> Vec<Arc<Key>> {
    set.keys.iter().filter_map(|jwk| key(jwk, pinned)).take(KEYS).map(Arc::new).collect()
}

fn key(jwk: &Jwk, pinned: &[Algorithm]) -> Option<Key> {
    // A shared secret in a key set is no secret.
    if matches!(jwk.algorithm, AlgorithmParameters::OctetKey(_)) {
        return None;
    }
    if !matches!(jwk.common.public_key_use, None | Some(PublicKeyUse::Signature)) {
        return None;
    }
    let key = DecodingKey::from_jwk(jwk).ok()?;
    let mut algorithms: Vec<Algorithm> =
        pinned.iter().copied().filter(|algorithm| algorithm.family() == key.family()).collect();
    if let Some(named) = jwk.common.key_algorithm {
        algorithms.retain(|algorithm| format!("{algorithm:?}") == named.to_string());
    }
    if let AlgorithmParameters::EllipticCurve(curve) = &jwk.algorithm {
        use jsonwebtoken::jwk::EllipticCurve;
        algorithms.retain(|algorithm| match algorithm {
            Algorithm::ES256 => curve.curve == EllipticCurve::P256,
            Algorithm::ES384 => curve.curve == EllipticCurve::P384,
            _ => false,
        });
    }
    debug_assert!(!matches!(key.family(), AlgorithmFamily::Hmac));
    (!algorithms.is_empty()).then(|| Key { id: jwk.common.key_id.clone(), algorithms, key })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    fn usable_of(keys: &Value) -> usize {
        let set = serde_json::from_value::<JwkSet>(json!({ "keys": keys }));
        set.map_or(0, |set| usable(&set, &[Algorithm::RS256, Algorithm::ES256]).len())
    }

    fn rsa() -> Value {
        json!({"kty": "RSA", "kid": "a", "n": "u1SU1LfVLPHCozMxH2Mo", "e": "AQAB"})
    }

    #[test]
    fn only_public_keys_for_signatures_with_a_pinned_algorithm_are_used() {
        assert_eq!(usable_of(&json!([rsa()])), 1);
        let with = |name: &str, value: &str| {
            let mut key = rsa();
            key[name] = value.into();
            usable_of(&json!([key]))
        };
        assert_eq!((with("use", "sig"), with("alg", "RS256")), (1, 1));
        assert_eq!((with("use", "enc"), with("alg", "RS512"), with("alg", "HS256")), (0, 0, 0));
        assert_eq!(usable_of(&json!([{"kty": "oct", "kid": "a", "k": "c2VjcmV0"}])), 0, "a shared secret");
        let many: Vec<Value> = (0..1000).map(|_| rsa()).collect();
        assert_eq!(usable_of(&many.into()), KEYS);
    }

    proptest! {
        #[test]
        fn no_key_set_makes_anything_fall_over(name in "kty|kid|n|e|alg|use|crv|x|y|key_ops|x5c", value in "\\PC{0,40}", n: i64) {
            for value in [Value::from(value.clone()), Value::from(n), json!([value]), Value::Null] {
                let mut key = rsa();
                key[name.as_str()] = value;
                prop_assert!(usable_of(&json!([key, rsa()])) <= 2);
            }
        }
    }
}
