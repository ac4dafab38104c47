//! The keys of an issuer: a JWKS (RFC 7517) from a URL or a file, read again as the issuer rotates them.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use jsonwebtoken::jwk::{AlgorithmParameters, Jwk, JwkSet, PublicKeyUse};
use jsonwebtoken::{Algorithm, AlgorithmFamily, DecodingKey};
use sdk::task::Tasks;
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
    set: Arc<Set>,
    /// How often they are read again, and how long after a reading the next one may be.
    refresh: Duration,
    pause: Duration,
    /// Held by the one reading there is.
    turn: Arc<Semaphore>,
    tasks: Tasks,
}

/// What was read, and how it is read again.
struct Set {
    source: Source,
    pinned: Vec<Algorithm>,
    current: ArcSwap<Vec<Arc<Key>>>,
    times: Mutex<Times>,
}

struct Times {
    tried: Instant,
    read: Instant,
}

impl Keys {
    /// Reads them for the first time. Of each key, the algorithms in `pinned` are used that it is good for. Later
    /// readings are among `tasks`.
    pub(super) async fn read(
        source: Source,
        pinned: Vec<Algorithm>,
        (refresh, pause): (Duration, Duration),
        tasks: Tasks,
    ) -> Result<Self> {
        let first = usable(&fetch(&source).await.map_err(Error::upstream)?, &pinned);
        if first.is_empty() {
            return Err(Error::upstream(
                "the issuer's key set holds no key for the algorithms that are accepted",
            ));
        }
        let now = Instant::now();
        let times = Mutex::new(Times { tried: now, read: now });
        let set = Arc::new(Set { source, pinned, current: ArcSwap::from_pointee(first), times });
        Ok(Self { set, refresh, pause, turn: Arc::new(Semaphore::new(1)), tasks })
    }

    /// The keys that a token with this key id may be signed with; those without a key id if it has none. An id that is
    /// not known is a reason to read the keys again, but not more often than is good for the issuer.
    pub(super) async fn find(&self, id: Option<&str>) -> Result<Vec<Arc<Key>>> {
        let found = |keys: &[Arc<Key>]| -> Vec<Arc<Key>> {
            keys.iter().filter(|key| id.is_none() || key.id.as_deref() == id).cloned().collect()
        };
        let mut keys = found(&self.set.current.load());
        let due = if keys.is_empty() { self.pause } else { self.refresh };
        if self.set.times().tried.elapsed() >= due {
            self.again(due, keys.is_empty()).await;
            keys = found(&self.set.current.load());
        }
        if self.set.times().read.elapsed() > self.refresh * STALE {
            return Err(Error::unavailable(
                "the issuer's keys cannot be read, and those that are known are too old",
            ));
        }
        Ok(keys)
    }

    /// Has them read again, unless somebody has done so within `due`. The reading is nobody's own: it goes on if
    /// whoever has begun it lets go. Who has no use for the keys of before waits for it.
    async fn again(&self, due: Duration, wait: bool) {
        if let Ok(turn) = self.turn.clone().try_acquire_owned() {
            {
                let mut times = self.set.times();
                if times.tried.elapsed() < due {
                    return;
                }
                times.tried = Instant::now();
            }
            let set = self.set.clone();
            self.tasks.spawn("an issuer's keys", async move {
                set.read_again().await;
                drop(turn);
            });
        }
        if wait {
            drop(tokio::time::timeout(TIMEOUT, self.turn.acquire()).await);
        }
    }
}

impl Set {
    fn times(&self) -> MutexGuard<'_, Times> {
        self.times.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What cannot be read leaves what was there.
    async fn read_again(&self) {
        match fetch(&self.source).await {
            Ok(set) => {
                let next = usable(&set, &self.pinned);
                if next.is_empty() {
                    tracing::warn!("an issuer's key set holds no usable key; the keys of before are used");
                    return;
                }
                self.current.store(Arc::new(next));
                self.times().read = Instant::now();
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
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

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

    #[tokio::test]
    async fn a_caller_who_lets_go_keeps_nobody_from_new_keys() {
        let server = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}/", server.local_addr().expect("an address"));
        let answers = Arc::new(Semaphore::new(1));
        let (answer, tasks) = (answers.clone(), Tasks::default());
        let _serving = tasks.endless("an issuer", async move {
            for id in 0_u8.. {
                let (mut stream, _) = server.accept().await.expect("a connection");
                assert_ne!(stream.read(&mut [0; 4096]).await.expect("a request"), 0);
                answer.acquire().await.expect("open").forget();
                let mut key = rsa();
                key["kid"] = id.to_string().into();
                let body = json!({ "keys": [key] }).to_string();
                let head =
                    format!("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: {}\r\n\r\n", body.len());
                stream.write_all((head + &body).as_bytes()).await.expect("written");
            }
        });
        let source = Source::Url(reqwest::Client::builder().no_proxy().build().expect("a client"), url);
        let pause = Duration::from_secs(60);
        let keys = Keys::read(source, vec![Algorithm::RS256], (pause * 5, pause), tasks).await;
        let keys = keys.expect("the first keys");
        keys.set.times().tried = Instant::now().checked_sub(pause).expect("a minute ago");
        let asked = tokio::time::timeout(Duration::from_millis(20), keys.find(Some("1"))).await;
        assert!(asked.is_err(), "the issuer answers nobody yet");
        answers.add_permits(1);
        let deadline = Instant::now() + TIMEOUT;
        while keys.find(Some("1")).await.expect("keys").is_empty() {
            assert!(Instant::now() < deadline, "the new key is not found");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
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
