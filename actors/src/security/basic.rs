//! User name and password in every request (RFC 7617).

mod hashed;

use std::hash::Hasher;
use std::sync::Arc;

use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig, STANDARD};
use config::definition::SEALED_TEXT;
use config::{Fault, Secret};
use http::HeaderValue;
use http::header::{AUTHORIZATION, WWW_AUTHENTICATE};
use schemars::JsonSchema;
use sdk::{Caller, Error, HttpHead, Result, Security};
use serde::{Deserialize, Serialize};

pub use self::hashed::hash_password;
use self::hashed::{Hashed, parse_hash};
use super::fingerprint::Fingerprint;
use super::fixed::FixedHeader;
use crate::admission::Rate;
use crate::admission::metered::{Of, metered};
use crate::kind::{Kind, Start};
use crate::part::{CHECK_CALLERS, Credentials, Guard, LOG_IN, Part};

/// Some clients leave out the padding.
const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// A user name and a password that callers of a channel must give, and that connections give to others.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Params {
    /// The user name. It holds no colon.
    username: String,
    /// The password. Give either this or `password_hash`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    password: Option<Secret>,
    /// The password's argon2id hash, such as `$argon2id$v=19$m=19456,t=2,p=1$...`, so that nobody here knows the
    /// password itself. Channels can use it, connections cannot.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    password_hash: Option<Secret>,
    /// What callers who have not logged in are told they need a password for. Default: `zeugma`.
    #[serde(default = "default_realm")]
    realm: String,
    /// The roles of a caller who has logged in.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    roles: Vec<String>,
    /// How often callers may call, by all channels that use this definition together; left out: as often as they like. One
    /// more is answered 429.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    rate: Option<Rate<Of>>,
}

fn default_realm() -> String {
    "zeugma".into()
}

/// See the module.
pub struct Basic;

#[async_trait]
impl Kind for Basic {
    const TAG: &'static str = "security.basic";
    type Params = Params;

    fn example() -> Params {
        Params {
            username: "clerk".into(),
            password: Some(Secret::new("a-long-password")),
            password_hash: None,
            realm: default_realm(),
            roles: Vec::new(),
            rate: None,
        }
    }

    fn check(params: &Params) -> Vec<Fault> {
        let mut faults = Vec::new();
        if params.username.is_empty() || params.username.contains(|c: char| c == ':' || c.is_control()) {
            faults.push(Fault::new("username", "a user name is not empty, and holds no colon"));
        }
        match (&params.password, &params.password_hash) {
            (Some(password), None) if password.reveal().is_empty() => {
                faults.push(Fault::new("password", "the password is empty"));
            }
            (Some(_), None) => {}
            (None, Some(hash)) if hash.reveal() == SEALED_TEXT => {}
            (None, Some(hash)) => {
                if let Err(what) = parse_hash(hash.reveal()) {
                    let fault = Fault::new("password_hash", what);
                    faults.push(fault.hint("such as $argon2id$v=19$m=19456,t=2,p=1$SALT$HASH"));
                }
            }
            _ => faults.push(
                Fault::new("password", "exactly one of `password` and `password_hash` is needed")
                    .hint("with `password` the definition also serves connections to others"),
            ),
        }
        faults.extend(params.rate.iter().flat_map(Rate::check));
        if challenge(&params.realm).is_err() {
            faults.push(Fault::new("realm", "a realm is one line of ASCII text"));
        }
        faults
    }

    fn offers(params: &Params) -> Option<Vec<&'static str>> {
        let both = params.password.is_some();
        Some(if both { vec![CHECK_CALLERS, LOG_IN] } else { vec![CHECK_CALLERS] })
    }

    async fn start(params: Params, start: Start) -> Result<Part> {
        let Params { username, password, password_hash, realm, roles, rate } = params;
        let mut outgoing: Option<Arc<dyn Credentials>> = None;
        let proof = match (&password, &password_hash) {
            (Some(password), _) => {
                let credential = format!("{username}:{}", password.reveal());
                let header = format!("Basic {}", STANDARD.encode(&credential));
                outgoing = Some(Arc::new(FixedHeader::new(AUTHORIZATION, &header)?));
                Proof::Password(Box::new(Fingerprint::of(credential.as_bytes())?))
            }
            (None, Some(hash)) => Proof::Hash(Hashed::new(&username, hash.reveal())?),
            (None, None) => return Err(Error::internal(format!("{} has no password", start.id))),
        };
        let challenge = challenge(&realm)?;
        let incoming = Check { username, security: start.id.name.to_string(), roles, challenge, proof };
        let incoming = Some(metered(Arc::new(incoming), rate.as_ref(), &start));
        Ok(Part::Security(Guard { incoming, outgoing, ..Guard::default() }))
    }
}

fn challenge(realm: &str) -> Result<HeaderValue> {
    let realm = realm.replace('\\', "\\\\").replace('"', "\\\"");
    let text = format!("Basic realm=\"{realm}\", charset=\"UTF-8\"");
    let value = HeaderValue::from_str(&text).ok().filter(|value| value.to_str().is_ok());
    value.ok_or_else(|| Error::internal("the realm cannot be part of a header"))
}

/// Checks callers.
struct Check {
    username: String,
    security: String,
    roles: Vec<String>,
    challenge: HeaderValue,
    proof: Proof,
}

/// What is known of the password.
enum Proof {
    /// The password itself.
    Password(Box<Fingerprint>),
    /// Its hash.
    Hash(Hashed),
}

#[async_trait]
impl Security for Check {
    fn guess(&self, head: &HttpHead) -> Option<Error> {
        credential(head).map(|_| self.wrong())
    }

    fn fingerprint(&self, head: &HttpHead, into: &mut dyn Hasher) -> bool {
        credential(head).inspect(|given| into.write(given)).is_some()
    }

    async fn check(&self, head: &HttpHead) -> Result<Caller> {
        let refuse = |what| Error::unauthenticated(what).header(WWW_AUTHENTICATE, self.challenge.clone());
        let given = credential(head).ok_or_else(|| refuse("a user name and a password are needed"))?;
        let right = match &self.proof {
            Proof::Password(known) => known.matches(&given),
            Proof::Hash(known) => known.matches(given).await?,
        };
        match right {
            true => Ok(Caller::vouch(&self.username, &self.security, self.roles.clone())),
            false => Err(self.wrong()),
        }
    }
}

impl Check {
    fn wrong(&self) -> Error {
        Error::unauthenticated("wrong user name or password").header(WWW_AUTHENTICATE, self.challenge.clone())
    }
}

/// What the one `Authorization` header says: user name, colon and password.
fn credential(head: &HttpHead) -> Option<Vec<u8>> {
    let mut headers = head.headers.get_all(AUTHORIZATION).iter();
    let (header, None) = (headers.next()?.to_str().ok()?, headers.next()) else { return None };
    let (scheme, rest) = header.split_once(' ')?;
    let given = scheme.eq_ignore_ascii_case("basic").then(|| LENIENT.decode(rest.trim()).ok())??;
    given.contains(&b':').then_some(given)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use sdk::ErrorKind;

    use super::*;

    fn params(username: &str, password: Option<&str>, hash: Option<&str>) -> Params {
        let [password, password_hash] = [password, hash].map(|secret| secret.map(Secret::new));
        Params {
            username: username.into(),
            password,
            password_hash,
            realm: default_realm(),
            roles: Vec::new(),
            rate: None,
        }
    }

    fn head(authorization: &[&str]) -> HttpHead {
        let mut headers = http::HeaderMap::new();
        for value in authorization {
            headers.append(AUTHORIZATION, value.parse().expect("a value"));
        }
        let (method, uri) = (http::Method::GET, "/".parse().expect("a URI"));
        let peer = ([127, 0, 0, 1], 1).into();
        HttpHead { method, uri, headers, peer, certificates: None, params: Vec::new() }
    }

    fn basic(credential: &str) -> String {
        format!("Basic {}", STANDARD.encode(credential))
    }

    fn check(proof: Proof) -> Check {
        let challenge = challenge("a \"quoted\" realm").expect("a challenge");
        Check { username: "clerk".into(), security: "sec".into(), roles: Vec::new(), challenge, proof }
    }

    #[test]
    fn exactly_one_of_password_and_hash() {
        let hash = hash_password("s3cret").expect("a hash");
        let at = |params: &Params| Basic::check(params).into_iter().map(|f| f.at).collect::<Vec<_>>();
        for fine in [
            params("clerk", Some("s3cret"), None),
            params("clerk", None, Some(&hash)),
            params("clerk", None, Some(SEALED_TEXT)),
        ] {
            assert!(at(&fine).is_empty());
        }
        assert_eq!(at(&params("clerk", Some("s3cret"), Some(&hash))), ["password"]);
        assert_eq!(at(&params("cl:erk", None, None)), ["username", "password"]);
        for wrong in ["s3cret", &hash.replace("argon2id", "argon2i"), &hash.replace("19456", "99999999")] {
            assert_eq!(at(&params("clerk", None, Some(wrong))), ["password_hash"]);
        }
    }

    #[tokio::test]
    async fn the_right_password_is_let_in_and_nothing_else() {
        let print = Fingerprint::of("clerk:s3:crêt".as_bytes()).expect("random numbers");
        let check = check(Proof::Password(Box::new(print)));
        let right = basic("clerk:s3:crêt");
        for fine in [right.clone(), right.replace("Basic", "bAsIc"), right.trim_end_matches('=').into()] {
            let caller = check.check(&head(&[&fine])).await.expect("let in");
            assert_eq!((caller.name(), caller.security()), ("clerk", "sec"));
        }
        let (other, nobody, bearer) =
            (basic("clerk:other"), basic("clerk"), right.replace("Basic", "Bearer"));
        let one_each = [&*other, &*nobody, &*bearer, "Basic !", "Basic"].map(|value| vec![value]);
        let none_or_two = [vec![], vec![&*right, &*right]];
        for wrong in one_each.iter().chain(&none_or_two) {
            let error = check.check(&head(wrong)).await.expect_err("refused");
            assert_eq!(error.kind(), ErrorKind::Unauthenticated);
            let (name, value) = error.answer_header().expect("a challenge");
            assert_eq!(name, WWW_AUTHENTICATE);
            assert_eq!(value, "Basic realm=\"a \\\"quoted\\\" realm\", charset=\"UTF-8\"");
        }
    }

    #[tokio::test]
    async fn an_unknown_user_costs_as_much_work_as_a_wrong_password() {
        use std::sync::atomic::Ordering::Relaxed;
        let by_hash = check(Proof::Hash(
            Hashed::new("clerk", &hash_password("s3cret").expect("a hash")).expect("parses"),
        ));
        let by_password =
            check(Proof::Password(Box::new(Fingerprint::of(b"clerk:s3cret").expect("random numbers"))));
        let work = || {
            let (Proof::Hash(hashed), Proof::Password(print)) = (&by_hash.proof, &by_password.proof) else {
                unreachable!()
            };
            let prints = hashed.seen.load().as_ref().map_or(0, |seen| seen.compared.load(Relaxed));
            [hashed.computed.load(Relaxed), prints, print.compared.load(Relaxed)]
        };
        // Before the right one is known by its fingerprint, and after.
        for known in [false, true] {
            let mut all = Vec::new();
            for wrong in ["clerk:other", "nobody:s3cret", "nobody:other", ":", "clerk:", &"x:".repeat(500)] {
                let before = work();
                assert!(by_hash.check(&head(&[&basic(wrong)])).await.is_err());
                assert!(by_password.check(&head(&[&basic(wrong)])).await.is_err());
                let after = work();
                all.push([0, 1, 2].map(|n| after[n] - before[n]));
            }
            // Looked for twice: before and after the wait for a processor.
            assert_eq!(all, vec![[1, if known { 2 } else { 0 }, 1]; all.len()]);
            assert!(by_hash.check(&head(&[&basic("clerk:s3cret")])).await.is_ok());
        }
    }

    #[tokio::test]
    async fn a_hash_is_checked_once_and_then_recognised() {
        let hashed = Hashed::new("clerk", &hash_password("s3cret").expect("a hash")).expect("parses");
        let check = check(Proof::Hash(hashed));
        let right = head(&[&basic("clerk:s3cret")]);
        for wrong in ["clerk:other", "other:s3cret", "clerk:"] {
            assert!(check.check(&head(&[&basic(wrong)])).await.is_err(), "{wrong}");
        }
        assert!(check.check(&right).await.is_ok());
        let Proof::Hash(hashed) = &check.proof else { unreachable!() };
        hashed.turns.close(); // from here on nothing can be hashed
        assert!(check.check(&right).await.is_ok());
        let busy = check.check(&head(&[&basic("clerk:other")])).await.expect_err("no turn");
        assert_eq!((busy.kind(), busy.wait()), (ErrorKind::TooMany, Some(Duration::from_secs(1))));
    }
}
