//! Who calls. A service that holds a caller knows that the platform has checked them.

use std::hash::Hasher;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use http::{HeaderName, HeaderValue};
use tokio::time::Instant;

use crate::engine::Engine;
use crate::request::HttpHead;
use crate::{Cid, Error, ErrorKind, Result};

/// Somebody whom a security definition has vouched for.
#[derive(Clone, Debug)]
pub struct Caller(Arc<Vouched>);

#[derive(Debug)]
struct Vouched {
    name: Box<str>,
    security: Box<str>,
    kind: &'static str,
    roles: Vec<String>,
}

impl Caller {
    /// Says that security definition `security` has checked `name`, who has these roles. Only security kinds may call
    /// this; the project's own tests enforce it.
    pub fn vouch(name: &str, security: &str, roles: Vec<String>) -> Self {
        Self(Arc::new(Vouched { name: name.into(), security: security.into(), kind: "", roles }))
    }

    /// The same, checked by a definition of this kind, such as `security.jwt`.
    pub fn of_kind(mut self, kind: &'static str) -> Self {
        // Nobody else has a caller that was just vouched for, so nothing is lost if there is somebody.
        if let Some(vouched) = Arc::get_mut(&mut self.0) {
            vouched.kind = kind;
        }
        self
    }

    /// Their name: the user name, the subject of a token.
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// The security definition that vouched for them.
    pub fn security(&self) -> &str {
        &self.0.security
    }

    /// The kind of that definition, such as `security.jwt`; empty if it does not say.
    pub fn kind(&self) -> &'static str {
        self.0.kind
    }

    /// All their roles.
    pub fn roles(&self) -> &[String] {
        &self.0.roles
    }

    /// Whether they have this role.
    pub fn has(&self, role: &str) -> bool {
        self.0.roles.iter().any(|r| r == role)
    }
}

/// A security definition that makes tokens: people log in with it, and log out.
#[async_trait]
pub trait Issuer: Send + Sync + 'static {
    /// The definition's name.
    fn name(&self) -> &str;

    /// A token for whoever knows this password; none if it is not the right one, or the user is another, or if too many
    /// came `from` there that were wrong. All of it takes the same work.
    ///
    /// # Errors
    /// If sessions cannot be kept.
    async fn log_in(&self, username: &str, password: &str, from: Option<IpAddr>) -> Result<Option<String>>;

    /// A token on behalf of somebody, valid for `ttl` after each use; none: as long as the definition says. Whether
    /// that is allowed, the caller of this has to know.
    ///
    /// # Errors
    /// If sessions cannot be kept, or the time is longer than the definition allows.
    async fn create(&self, username: &str, ttl: Option<Duration>) -> Result<String>;

    /// Ends the session of a token, on every node; whether it was a valid token of this definition.
    ///
    /// # Errors
    /// If sessions cannot be kept.
    async fn log_out(&self, token: &str) -> Result<bool>;
}

/// A security definition that runs: it looks at the head of a request, before any body is read, and returns the
/// caller as the proof.
#[async_trait]
pub trait Security: Send + Sync + 'static {
    /// Who sends this request.
    ///
    /// # Errors
    /// If they do not say, or not truthfully.
    async fn check(&self, head: &HttpHead) -> Result<Caller>;

    /// If the request shows a secret that could be found by trying, such as a password, right or wrong: what
    /// [`check`](Self::check) answers if it is wrong. Whoever is wrong too often is locked out for a while, and answered
    /// just this, so that they do not learn whether they are right. None for what nobody can guess, such as a token.
    fn guess(&self, head: &HttpHead) -> Option<Error>;

    /// Whether there is such a secret; if so, everything that decides whether it is right goes `into` a hash. By that
    /// hash, whoever was right lately is told from whoever is guessing at the same address.
    fn fingerprint(&self, _head: &HttpHead, _into: &mut dyn Hasher) -> bool {
        false
    }

    /// The same, for a definition that calls services to find out, or that has something to tell the caller.
    ///
    /// # Errors
    /// As [`Security::check`].
    async fn admit(&self, head: &HttpHead, _visit: &Visit<'_>) -> Result<Admitted> {
        Ok(self.check(head).await?.into())
    }

    /// The same, and what it says about the secret of which there is a [`fingerprint`](Self::fingerprint).
    async fn judge(&self, head: &HttpHead, visit: &Visit<'_>) -> (Result<Admitted>, Verdict) {
        let outcome = self.admit(head, visit).await;
        let verdict = match &outcome {
            Ok(_) => Verdict::Right,
            Err(error) if error.kind() == ErrorKind::Unauthenticated => Verdict::Wrong,
            Err(_) => Verdict::Nothing,
        };
        (outcome, verdict)
    }
}

/// What came out about a secret that could be found by trying.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// It is right, and so are all others, if there are several.
    Right,
    /// It is wrong, or one of several is, even if another one lets in.
    Wrong,
    /// Nothing: nobody has looked at it.
    Nothing,
    /// Somebody does not know it, and somebody else who might could not be asked.
    Open,
}

/// What is known of a request beside its head when its caller is checked.
pub struct Visit<'a> {
    /// The request's id.
    pub cid: Cid,
    /// When its time is over.
    pub deadline: Instant,
    /// The way to services.
    pub engine: &'a Arc<dyn Engine>,
}

/// A caller who was let in.
pub struct Admitted {
    /// Who it is.
    pub caller: Caller,
    /// What every answer to this request carries.
    pub headers: Vec<(HeaderName, HeaderValue)>,
}

impl From<Caller> for Admitted {
    fn from(caller: Caller) -> Self {
        Self { caller, headers: Vec::new() }
    }
}
