//! Tokens that an issuer has signed: whose, for whom, with what, and until when.

use std::path::PathBuf;
use std::time::Duration;

use async_trait::async_trait;
use config::{Clock, Fault, Span};
use http::HeaderValue;
use http::header::WWW_AUTHENTICATE;
use jsonwebtoken::{Algorithm, Validation};
use schemars::JsonSchema;
use sdk::{Caller, Error, HttpHead, Result, Security};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::keys::{Keys, Source};
use super::{check_url, client};
use crate::kind::Start;

const TAG: &str = "security.bearer";
/// No token is longer, in bytes.
const LONGEST: usize = 16 * 1024;
/// The most that clocks may be apart.
const MOST_LEEWAY: Span = Span::secs(300);

/// Whose tokens are accepted.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Accept {
    /// Where the issuer's keys are, as a JWKS. Give either this or `jwks_file`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    jwks_url: Option<String>,
    /// A file of the node with the issuer's keys, as a JWKS.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    jwks_file: Option<PathBuf>,
    /// The issuer, exactly as its tokens name it (`iss`).
    issuer: String,
    /// For whom tokens must be made (`aud`): one of these.
    audience: Vec<String>,
    /// The algorithms that signatures may have. Default: RS256 and ES256. None with a shared secret is possible.
    #[serde(default = "default_algorithms")]
    algorithms: Vec<Signature>,
    /// How far the issuer's clock may be from ours. Default: 30s; 5m at most.
    #[serde(default = "default_leeway")]
    leeway: Span,
    /// How often the keys are read again. Default: 5m. A token with a key that is not known is a reason too, once in
    /// `refresh_pause`.
    #[serde(default = "default_refresh")]
    refresh: Span,
    /// How long the issuer is left alone after the keys were read. Default: 10s.
    #[serde(default = "default_pause")]
    refresh_pause: Span,
    /// The claim that has the caller's name. Default: `sub`.
    #[serde(default = "default_username")]
    username_claim: String,
    /// The claim that has the caller's roles: a list, or words in one text, such as `scope`. Left out: they have none
    /// but those of `roles`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    roles_claim: Option<String>,
    /// Roles of every caller.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    roles: Vec<String>,
    /// A PEM file with the CA of the server that has the keys; left out: those of the system.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    ca: Option<PathBuf>,
}

/// An algorithm of signatures with a public key.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[allow(missing_docs, reason = "the names of RFC 7518 say it")]
pub enum Signature {
    RS256,
    RS384,
    RS512,
    PS256,
    PS384,
    PS512,
    ES256,
    ES384,
    EdDSA,
}

impl Signature {
    fn algorithm(self) -> Algorithm {
        match self {
            Self::RS256 => Algorithm::RS256,
            Self::RS384 => Algorithm::RS384,
            Self::RS512 => Algorithm::RS512,
            Self::PS256 => Algorithm::PS256,
            Self::PS384 => Algorithm::PS384,
            Self::PS512 => Algorithm::PS512,
            Self::ES256 => Algorithm::ES256,
            Self::ES384 => Algorithm::ES384,
            Self::EdDSA => Algorithm::EdDSA,
        }
    }
}

fn default_algorithms() -> Vec<Signature> {
    vec![Signature::RS256, Signature::ES256]
}

fn default_leeway() -> Span {
    Span::secs(30)
}

fn default_refresh() -> Span {
    Span::secs(300)
}

fn default_pause() -> Span {
    Span::secs(10)
}

fn default_username() -> String {
    "sub".into()
}

impl Accept {
    /// What the types alone do not show.
    pub(super) fn check(&self) -> Vec<Fault> {
        let mut faults = Vec::new();
        let mut wrong = |at: &str, what: &str| faults.push(Fault::new(format!("accept.{at}"), what));
        if self.jwks_url.is_some() == self.jwks_file.is_some() {
            wrong("jwks_url", "give exactly one of `jwks_url` and `jwks_file`");
        }
        if self.issuer.is_empty() {
            wrong("issuer", "an issuer has a name");
        }
        if self.audience.is_empty() || self.audience.iter().any(String::is_empty) {
            wrong("audience", "without it, a token made for anybody else would be accepted here");
        }
        if self.algorithms.is_empty() {
            wrong("algorithms", "without one, no token is accepted");
        }
        if self.leeway > MOST_LEEWAY {
            wrong("leeway", "a token that ended that long ago is not accepted; at most 5m");
        }
        if self.refresh < Span::secs(1) || self.refresh_pause.get().is_zero() {
            wrong("refresh", "the issuer must be left alone for a while");
        }
        if self.username_claim.is_empty() {
            wrong("username_claim", "a claim has a name");
        }
        faults.extend(self.jwks_url.iter().filter_map(|url| check_url("accept.jwks_url", url)));
        faults
    }
}

/// Checks callers.
pub(super) struct Check {
    accept: Accept,
    keys: Keys,
    security: String,
    clock: Clock,
}

/// Every token that is not valid is refused in the same words.
fn refused() -> Error {
    const CHALLENGE: HeaderValue = HeaderValue::from_static("Bearer error=\"invalid_token\"");
    Error::unauthenticated("a valid token is needed").header(WWW_AUTHENTICATE, CHALLENGE)
}

impl Check {
    /// Reads the issuer's keys.
    ///
    /// # Errors
    /// If they cannot be read.
    pub(super) async fn new(accept: Accept, start: &Start) -> Result<Self> {
        let source = match (&accept.jwks_url, &accept.jwks_file) {
            (Some(url), _) => Source::Url(client(accept.ca.clone()).await?, url.clone()),
            (None, Some(file)) => Source::File(file.clone()),
            (None, None) => return Err(Error::internal("the issuer's keys are nowhere")),
        };
        let pinned = accept.algorithms.iter().map(|signature| signature.algorithm()).collect();
        let times = (accept.refresh.get(), accept.refresh_pause.get());
        let keys = Keys::read(source, pinned, times, start.tasks.clone()).await?;
        Ok(Self { accept, keys, security: start.id.name.to_string(), clock: start.clock.clone() })
    }

    /// What a token says, if it is signed with one of the keys.
    async fn claims(&self, token: &str) -> Result<Option<Map<String, Value>>> {
        let Ok(header) = jsonwebtoken::decode_header(token) else { return Ok(None) };
        // An extension that must be understood, and is not.
        if header.crit.is_some() {
            return Ok(None);
        }
        if !self.accept.algorithms.iter().any(|pinned| pinned.algorithm() == header.alg) {
            return Ok(None); // no reason to ask the issuer for keys
        }
        for key in self.keys.find(header.kid.as_deref()).await? {
            if !key.algorithms.contains(&header.alg) {
                continue;
            }
            let mut validation = Validation::new(header.alg);
            validation.required_spec_claims.clear();
            // The rest is compared below, by the clock that is handed in.
            validation.validate_exp = false;
            validation.validate_nbf = false;
            validation.validate_aud = false;
            if let Ok(read) = jsonwebtoken::decode::<Map<String, Value>>(token, &key.key, &validation) {
                return Ok(Some(read.claims));
            }
        }
        Ok(None)
    }

    /// Whether a token is of the issuer, for us, and counts now.
    fn counts(&self, claims: &Map<String, Value>) -> bool {
        let now = self.clock.now().timestamp() as f64;
        let leeway = Duration::as_secs_f64(&self.accept.leeway.get());
        let time = |name: &str| claims.get(name).map(|value| value.as_f64().filter(|time| time.is_finite()));
        let ends = time("exp").flatten().is_some_and(|exp| now < exp + leeway);
        let begins = time("nbf").is_none_or(|nbf| nbf.is_some_and(|nbf| nbf <= now + leeway));
        let made = time("iat").is_none_or(|iat| iat.is_some_and(|iat| iat <= now + leeway));
        let ours = |audience: &Value| {
            audience.as_str().is_some_and(|audience| self.accept.audience.iter().any(|own| own == audience))
        };
        let for_us = match claims.get("aud") {
            Some(Value::Array(audiences)) => audiences.iter().any(ours),
            Some(audience) => ours(audience),
            None => false,
        };
        let by_them = claims.get("iss").and_then(Value::as_str) == Some(&self.accept.issuer);
        ends && begins && made && for_us && by_them
    }

    fn roles(&self, claims: &Map<String, Value>) -> Vec<String> {
        let mut roles = self.accept.roles.clone();
        match self.accept.roles_claim.as_ref().and_then(|name| claims.get(name)) {
            Some(Value::Array(list)) => roles.extend(list.iter().filter_map(Value::as_str).map(Into::into)),
            Some(Value::String(words)) => roles.extend(words.split_whitespace().map(Into::into)),
            _ => {}
        }
        roles
    }
}

#[async_trait]
impl Security for Check {
    fn guess(&self, _: &HttpHead) -> Option<Error> {
        None
    }

    async fn check(&self, head: &HttpHead) -> Result<Caller> {
        let token = head.bearer().filter(|token| token.len() <= LONGEST).ok_or_else(refused)?;
        let claims = self.claims(token).await?.ok_or_else(refused)?;
        if !self.counts(&claims) {
            return Err(refused());
        }
        let name = claims.get(&self.accept.username_claim).and_then(Value::as_str);
        let name = name.filter(|name| !name.is_empty()).ok_or_else(refused)?;
        Ok(Caller::vouch(name, &self.security, self.roles(&claims)).of_kind(TAG))
    }
}
