//! Tokens that are made here: whoever logs in gets one, and it counts as long as it is used.
//!
//! A token is a signed JWT, sealed, under keys that all nodes of the cluster have and nobody else. Nothing in it can be
//! read or guessed. Whether it still counts says its session, in the store; a node that has asked remembers the answer
//! for a moment, so that requests need not ask.

mod cache;
mod opened;
mod token;

use std::hash::Hasher as _;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use config::{Clock, Fault, Secret, Sessions, Span};
use http::HeaderValue;
use http::header::WWW_AUTHENTICATE;
use schemars::JsonSchema;
use sdk::task::Endless;
use sdk::{Caller, Error, HttpHead, Issuer, Result, Security, Verdict};
use serde::{Deserialize, Serialize};
use tokio::sync::broadcast::error::RecvError;
use tokio::time::Instant;
use zeroize::Zeroizing;

use self::cache::{Cache, Known};
use self::opened::Opened;
use self::token::{Claims, Mint};
use super::fingerprint::Fingerprint;
use crate::admission::Rate;
use crate::admission::lockout::Lockout;
use crate::admission::metered::{Budget, Of, within};
use crate::kind::{Kind, Start};
use crate::part::{CHECK_CALLERS, Guard, Part};

const TAG: &str = "security.jwt";
const CHALLENGE: HeaderValue = HeaderValue::from_static("JWT");
/// How long a node relies at most on what it was told about a session before it asks anew, which also prolongs the
/// session: one cheap write a token, a node and this long. For short-lived tokens, a tenth of their life.
const ASK_EVERY: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(5));
/// Stands for users that are none. No definition has this name.
const NOBODY: &str = "\n";
/// The longest life of a token.
const LONGEST: Duration = Duration::from_secs(10 * 366 * 24 * 60 * 60);

/// Tokens that are made here. Callers log in with user name and password at `POST /zato/jwt/log-in` or `/api/token`, and
/// show the token as `Authorization: Bearer TOKEN` from then on.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Params {
    /// The user name to log in with.
    username: String,
    /// The password to log in with. With another one, or another user name, no token of before counts.
    password: Secret,
    /// How long a token is valid after it was used last. Default: 1h.
    #[serde(default = "default_ttl")]
    ttl: Span,
    /// How long a token is valid at most, however often it is used; left out: as long as it is used. A change holds for
    /// tokens that are there already, too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    max_ttl: Option<Span>,
    /// The roles of those who show a token.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    roles: Vec<String>,
    /// How often callers may call, by all channels that use this definition together, and log in; left out: as often as
    /// they like. One more is answered 429.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    rate: Option<Rate<Of>>,
}

fn default_ttl() -> Span {
    Span::secs(3600)
}

/// See the module.
pub struct Jwt;

#[async_trait]
impl Kind for Jwt {
    const TAG: &'static str = TAG;
    type Params = Params;

    fn example() -> Params {
        Params {
            username: "web".into(),
            password: Secret::new("a-long-password"),
            ttl: default_ttl(),
            max_ttl: None,
            roles: Vec::new(),
            rate: None,
        }
    }

    fn check(params: &Params) -> Vec<Fault> {
        let mut faults = Vec::new();
        if params.username.is_empty() || params.username.chars().any(char::is_control) {
            faults.push(Fault::new("username", "a user name is one line of text, and not empty"));
        }
        if params.password.reveal().is_empty() {
            faults.push(Fault::new("password", "the password is empty"));
        }
        let second = Duration::from_secs(1);
        if !(second..=LONGEST).contains(&params.ttl.get()) {
            faults.push(Fault::new("ttl", "a token lives for a second at least, and for ten years at most"));
        }
        if params.max_ttl.is_some_and(|max| max < params.ttl || max.get() > LONGEST) {
            faults.push(
                Fault::new("max_ttl", "the longest life is no shorter than `ttl`, and ten years at most")
                    .hint("leave it out if a token may live as long as it is used"),
            );
        }
        faults.extend(params.rate.iter().flat_map(Rate::check));
        faults
    }

    fn offers(_: &Params) -> Option<Vec<&'static str>> {
        Some(vec![CHECK_CALLERS])
    }

    async fn start(params: Params, start: Start) -> Result<Part> {
        let (seal, sign) = (start.keys("jwt seal"), start.keys("jwt sign"));
        let credential = Zeroizing::new(format!("{}\n{}", params.username, params.password.reveal()));
        let budget = Budget::of(params.rate.as_ref(), &start);
        let cache = Arc::new(Cache::default());
        let mut ends = start.sessions.closed();
        let told = cache.clone();
        let listening = start.tasks.endless("ended sessions", async move {
            loop {
                match ends.recv().await {
                    Ok(id) => told.end(&id),
                    Err(RecvError::Lagged(_)) => told.clear(),
                    Err(RecvError::Closed) => return,
                }
            }
        });
        let tokens = Arc::new(Tokens {
            security: start.id.name.to_string(),
            username: params.username,
            credential: Fingerprint::of(credential.as_bytes())?,
            ttl: params.ttl.get(),
            max_ttl: params.max_ttl.map(Span::get),
            roles: params.roles,
            mint: Mint::new(start.id.name.as_str(), &seal, &sign, credential.as_bytes())?,
            budget: budget.clone(),
            opened: Opened::default(),
            cache,
            sessions: start.sessions.clone(),
            clock: start.clock.clone(),
            lockout: start.lockout.clone(),
            _listening: listening,
        });
        let incoming = Some(within(tokens.clone(), budget));
        Ok(Part::Security(Guard { incoming, issuer: Some(tokens), ..Guard::default() }))
    }
}

/// A definition that runs.
struct Tokens {
    security: String,
    username: String,
    /// Of the user name and the password.
    credential: Fingerprint,
    ttl: Duration,
    max_ttl: Option<Duration>,
    roles: Vec<String>,
    mint: Mint,
    cache: Arc<Cache>,
    sessions: Arc<dyn Sessions>,
    clock: Clock,
    lockout: Arc<Lockout>,
    budget: Option<Arc<Budget>>,
    opened: Opened,
    _listening: Endless,
}

/// Every token that is not valid is refused in the same words.
fn refused() -> Error {
    Error::unauthenticated("a valid token is needed").header(WWW_AUTHENTICATE, CHALLENGE)
}

fn away(error: config::StoreError) -> Error {
    Error::unavailable("whether this token is valid cannot be found out now").because(error)
}

#[async_trait]
impl Security for Tokens {
    fn guess(&self, _: &HttpHead) -> Option<Error> {
        None
    }

    async fn check(&self, head: &HttpHead) -> Result<Caller> {
        let token = head.bearer().ok_or_else(refused)?;
        if token.len() > token::LONGEST {
            return Err(refused());
        }
        let digest = cache::digest(token);
        if let Some(known) = self.cache.get(&digest) {
            if self.counts(&known).await? {
                return Ok(known.caller.clone());
            }
            self.cache.forget(&digest);
            return Err(refused());
        }
        let claims = self.mint.open(token, self.now()).ok_or_else(refused)?;
        if self.end(&claims).is_some_and(|end| end <= self.now()) {
            return Err(refused());
        }
        let asked = Instant::now();
        if !self.sessions.touch(&claims.jti, self.left(&claims)).await.map_err(away)? {
            return Err(refused());
        }
        let caller = Caller::vouch(&claims.sub, &self.security, self.roles.clone()).of_kind(TAG);
        // It may have been ended between the answer and now: then the cache does not take it.
        match self.cache.put(digest, Known::new(caller.clone(), claims, asked)) {
            true => Ok(caller),
            false => Err(refused()),
        }
    }
}

impl Tokens {
    fn now(&self) -> i64 {
        self.clock.now().timestamp()
    }

    /// When a token ends, however often it is used: as it says itself, and as is wanted by now.
    fn end(&self, claims: &Claims) -> Option<i64> {
        let wanted = self.max_ttl.and_then(|max| claims.iat.checked_add_unsigned(max.as_secs()));
        claims.exp.into_iter().chain(wanted).min()
    }

    /// How long a session goes on from now without use. Uses within the interval are not written, so that is added:
    /// no token ends earlier than it may.
    fn left(&self, claims: &Claims) -> Duration {
        let ttl = Duration::from_secs(claims.ttl);
        let left = ttl + ask_every(ttl);
        let most = self.end(claims).map(|exp| u64::try_from(exp - self.now()).unwrap_or(0));
        most.map_or(left, |most| left.min(Duration::from_secs(most)))
    }

    /// Whether a token that was valid a while ago still is. Asks the store if that is too long ago.
    async fn counts(&self, known: &Known) -> Result<bool> {
        if self.end(&known.claims).is_some_and(|end| end <= self.now()) {
            return Ok(false);
        }
        let every = ask_every(Duration::from_secs(known.claims.ttl));
        let age = known.age();
        if age < every {
            return Ok(true);
        }
        // One asks for all; nobody relies on an old answer for longer than twice the interval.
        let asking = known.asking();
        if asking.is_none() && age < every * 2 {
            return Ok(true);
        }
        let asked = Instant::now();
        match self.sessions.touch(&known.claims.jti, self.left(&known.claims)).await {
            Ok(true) => {
                known.told(asked);
                Ok(true)
            }
            Ok(false) => Ok(false),
            Err(error) if age < every * 2 => {
                tracing::debug!(security = %self.security, %error, "the store does not answer about a session");
                Ok(true)
            }
            Err(error) => Err(away(error)),
        }
    }

    async fn make(&self, username: &str, ttl: Duration, id: String) -> Result<String> {
        let now = self.now();
        let exp = self.max_ttl.and_then(|max| now.checked_add_unsigned(max.as_secs()));
        let claims = Claims {
            jti: id,
            sub: username.into(),
            iss: self.security.clone(),
            under: self.mint.under().into(),
            iat: now,
            nbf: now,
            ttl: ttl.as_secs().max(1),
            exp,
        };
        let token = self.mint.make(&claims)?;
        let kept = self.sessions.open(&claims.jti, self.left(&claims)).await;
        kept.map_err(nobody_can_log_in)?;
        Ok(token)
    }

    /// Ends the oldest session, if this one is too many. Whoever lets go at any moment leaves none that is not counted.
    async fn make_room(&self, id: &str) -> Result<()> {
        self.opened.note(id);
        while let Some(oldest) = self.opened.too_many() {
            self.cache.end(&oldest);
            self.sessions.close(&oldest).await.map_err(nobody_can_log_in)?;
            self.opened.ended(&oldest);
        }
        Ok(())
    }
}

fn nobody_can_log_in(error: config::StoreError) -> Error {
    Error::unavailable("nobody can log in now").because(error)
}

/// See [`ASK_EVERY`].
fn ask_every(ttl: Duration) -> Duration {
    (ttl / 10).clamp(ASK_EVERY.0, ASK_EVERY.1)
}

#[async_trait]
impl Issuer for Tokens {
    fn name(&self) -> &str {
        &self.security
    }

    async fn log_in(&self, username: &str, password: &str, from: Option<IpAddr>) -> Result<Option<String>> {
        // One keyed hash over both: whichever is wrong, the work is the same. No user name holds a line end.
        let given = format!("{username}\n{password}");
        let right = self.credential.matches(given.as_bytes());
        if let Some(from) = from {
            // Who names somebody else is not wrong here, and is counted all the same, so that it takes as long.
            let whose = if username == self.username { &self.security } else { NOBODY };
            let mut attempt = self.lockout.attempt(whose, from);
            attempt.write(given.as_bytes());
            let Some(trial) = self.lockout.begin(attempt).await? else { return Ok(None) };
            trial.ends(if right { Verdict::Right } else { Verdict::Wrong });
        }
        if !right {
            return Ok(None);
        }
        if let Some(budget) = &self.budget {
            let caller = Caller::vouch(&self.username, &self.security, Vec::new());
            budget.take(&caller, from).await?;
        }
        let id = token::session_id()?;
        self.make_room(&id).await?;
        Ok(Some(self.make(&self.username, self.ttl, id).await?))
    }

    async fn create(&self, username: &str, ttl: Option<Duration>) -> Result<String> {
        if username.is_empty() || username.len() > 256 || username.chars().any(char::is_control) {
            return Err(Error::invalid("a user name is one line of text, not empty and not long"));
        }
        let ttl = ttl.unwrap_or(self.ttl);
        let most = self.max_ttl.unwrap_or(LONGEST);
        if ttl > most || ttl < Duration::from_secs(1) {
            let most = Span::secs(most.as_secs());
            return Err(Error::invalid(format!("a token of {} lives for 1s to {most}", self.security)));
        }
        self.make(username, ttl, token::session_id()?).await
    }

    async fn log_out(&self, token: &str) -> Result<bool> {
        let Some(claims) = self.mint.open(token, self.now()) else { return Ok(false) };
        self.cache.end(&claims.jti);
        let ended = self.sessions.close(&claims.jti).await;
        ended.map_err(|e| Error::unavailable("nobody can log out now").because(e))
    }
}

#[cfg(test)]
mod tests;
