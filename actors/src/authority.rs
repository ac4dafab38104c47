//! Those who know people by their credentials: systems behind a connection that a security definition asks.

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use config::Secret;
use schemars::JsonSchema;
use sdk::Error;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

/// By what people are known.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Method {
    /// A token of that system.
    Token,
    /// A user name and a password that the system itself knows.
    UsernamePassword,
    /// A personal token of GitHub.
    Github,
    /// A user name and a password that a directory knows.
    Ldap,
}

/// What somebody shows to be known.
#[derive(Clone, Copy)]
pub struct Proof<'a> {
    /// By what.
    pub method: Method,
    /// Where the method is mounted, if it is not where it is by default.
    pub mount: Option<&'a str>,
    /// The user name; empty for tokens.
    pub username: &'a str,
    /// The password or token.
    pub secret: &'a str,
}

impl fmt::Debug for Proof<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Proof({:?}, not shown)", self.method)
    }
}

/// Somebody who is known.
#[derive(Debug)]
pub struct Identity {
    /// Their name.
    pub name: String,
    /// What they may do.
    pub roles: Vec<String>,
    /// The token that the log-in made for them; none if they have shown a token.
    pub token: Option<Secret>,
    /// How long this holds; none: without an end.
    pub lease: Option<Duration>,
}

/// Why somebody is not known.
#[derive(Debug)]
pub enum Unproven {
    /// The system does not know these credentials.
    Unknown(String),
    /// The system could not be asked.
    Away(Error),
}

/// A system that knows people.
#[async_trait]
pub trait Authority: Send + Sync + 'static {
    /// Who shows this.
    ///
    /// # Errors
    /// Nobody, or nobody knows.
    async fn verify(&self, proof: Proof<'_>, deadline: Instant) -> Result<Identity, Unproven>;

    /// The method for those who do not say one.
    fn default_method(&self) -> Option<Method>;
}
