//! Getting tokens for ourselves: the client credentials grant of OAuth 2.0, with the token kept and renewed in time.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use async_trait::async_trait;
use config::{DefId, Fault, Secret};
use http::HeaderValue;
use http::header::AUTHORIZATION;
use schemars::JsonSchema;
use sdk::connection::http::HttpCall;
use sdk::{Error, Result};
use serde::{Deserialize, Serialize};
use tokio::sync::Semaphore;
use tokio::time::Instant;

use super::{TIMEOUT, body, check_url, client};
use crate::part::Credentials;

/// How long a token is taken to be valid if the server does not say, and at most.
const LIFE: (Duration, Duration) = (Duration::from_secs(300), Duration::from_secs(24 * 60 * 60));

/// Where to get a token, and as whom.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ClientCredentials {
    /// The server's token endpoint.
    token_url: String,
    /// Who we are.
    client_id: String,
    /// The secret that proves it.
    client_secret: Secret,
    /// What the token is to be good for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    scopes: Vec<String>,
    /// Where the token is to be used, for servers that want to know.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    audience: Option<String>,
    /// How the secret is sent: `header` (HTTP Basic, the default) or `body`.
    #[serde(default)]
    send_secret: SendSecret,
    /// A PEM file with the CA of the token endpoint; left out: those of the system.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    ca: Option<PathBuf>,
}

/// How a secret is sent.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum SendSecret {
    /// In the header Authorization.
    #[default]
    Header,
    /// In the form.
    Body,
}

impl ClientCredentials {
    /// What the types alone do not show.
    pub(super) fn check(&self) -> Vec<Fault> {
        let mut faults: Vec<Fault> =
            check_url("client_credentials.token_url", &self.token_url).into_iter().collect();
        if self.client_id.is_empty() {
            faults.push(Fault::new("client_credentials.client_id", "the client has an id"));
        }
        if self.client_secret.reveal().is_empty() {
            faults.push(Fault::new("client_credentials.client_secret", "the secret is empty"));
        }
        if self.scopes.iter().any(|scope| scope.is_empty() || scope.contains(char::is_whitespace)) {
            faults.push(Fault::new("client_credentials.scopes", "a scope is one word"));
        }
        faults
    }
}

/// A token that the server has given.
struct Granted {
    header: HeaderValue,
    renew: Instant,
    ends: Instant,
}

/// See the module.
pub(super) struct Grant {
    params: ClientCredentials,
    id: DefId,
    http: reqwest::Client,
    granted: ArcSwapOption<Granted>,
    /// One asks for all.
    turn: Semaphore,
}

/// What a token endpoint answers.
#[derive(Deserialize)]
struct Answer {
    access_token: Secret,
    token_type: String,
    #[serde(default)]
    expires_in: Option<u64>,
}

/// What it answers when it refuses.
#[derive(Deserialize)]
struct Refusal {
    error: String,
}

impl Grant {
    /// Nothing is asked before a token is needed.
    pub(super) async fn new(params: ClientCredentials, id: DefId) -> Result<Self> {
        let http = client(params.ca.clone()).await?;
        Ok(Self { params, id, http, granted: ArcSwapOption::empty(), turn: Semaphore::new(1) })
    }

    /// The token to use now.
    async fn token(&self) -> Result<Arc<Granted>> {
        let usable = |granted: &Arc<Granted>| Instant::now() < granted.renew;
        if let Some(granted) = self.granted.load_full().filter(usable) {
            return Ok(granted);
        }
        let late = || Error::timeout(format!("{}: no token in time", self.id));
        let turn = tokio::time::timeout(TIMEOUT, self.turn.acquire()).await.map_err(|_| late())?;
        let _turn = turn.map_err(|_| late())?;
        let held = self.granted.load_full();
        if let Some(granted) = held.clone().filter(usable) {
            return Ok(granted); // somebody else was faster
        }
        match self.ask().await {
            Ok(granted) => {
                let granted = Arc::new(granted);
                self.granted.store(Some(granted.clone()));
                Ok(granted)
            }
            // It was to be renewed early, and is still good.
            Err(error) => match held.filter(|granted| Instant::now() < granted.ends) {
                Some(granted) => {
                    tracing::warn!(id = %self.id, %error, "the token cannot be renewed; the old one is still good");
                    Ok(granted)
                }
                None => Err(error),
            },
        }
    }

    async fn ask(&self) -> Result<Granted> {
        let ClientCredentials { token_url, client_id, client_secret, scopes, audience, send_secret, .. } =
            &self.params;
        let scopes = scopes.join(" ");
        let mut form = vec![("grant_type", "client_credentials")];
        if !scopes.is_empty() {
            form.push(("scope", &scopes));
        }
        if let Some(audience) = audience {
            form.push(("audience", audience));
        }
        let mut request = self.http.post(token_url).header("accept", "application/json");
        match send_secret {
            SendSecret::Header => {
                // RFC 6749, 2.3.1: both are encoded like a form first.
                let encoded =
                    |text: &str| form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
                request = request.basic_auth(encoded(client_id), Some(encoded(client_secret.reveal())));
            }
            SendSecret::Body => {
                form.extend([("client_id", client_id.as_str()), ("client_secret", client_secret.reveal())]);
            }
        }
        let asked = Instant::now();
        let away = |why: String| Error::upstream(format!("{}: the token endpoint {why}", self.id));
        let answer = request.form(&form).send().await;
        let answer = answer.map_err(|e| away("cannot be reached".into()).because(e.without_url()))?;
        let status = answer.status();
        let body =
            body(answer).await.map_err(|why| away("broke off".into()).because(std::io::Error::other(why)))?;
        if !status.is_success() {
            // Only the word that the standard has for it: the rest may be anything.
            let refusal = serde_json::from_slice::<Refusal>(&body).ok().map(|refusal| refusal.error);
            let word =
                |word: &String| word.len() < 64 && word.bytes().all(|b| b.is_ascii_lowercase() || b == b'_');
            let word = refusal.filter(word).unwrap_or_else(|| "no reason".into());
            return Err(away(format!("refused with {} and {word}", status.as_u16())));
        }
        let unusable = || away("answered what is no token".into());
        let answer: Answer = serde_json::from_slice(&body).map_err(|_| unusable())?;
        if !answer.token_type.eq_ignore_ascii_case("bearer") {
            return Err(unusable());
        }
        let header = HeaderValue::from_str(&format!("Bearer {}", answer.access_token.reveal()));
        let mut header = header.map_err(|_| unusable())?;
        header.set_sensitive(true);
        let life = answer.expires_in.map_or(LIFE.0, Duration::from_secs).min(LIFE.1);
        Ok(Granted { header, renew: asked + life.mul_f64(0.8), ends: asked + life })
    }
}

#[async_trait]
impl Credentials for Grant {
    async fn apply(&self, call: &mut HttpCall) -> Result<()> {
        call.headers.insert(AUTHORIZATION, self.token().await?.header.clone());
        Ok(())
    }
}
