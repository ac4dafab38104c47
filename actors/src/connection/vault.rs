//! Connections to Vault servers: secrets for services and definitions, and people for security definitions.

mod kv;
mod own_token;
mod people;
mod requests;
mod wire;

use std::any::Any;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use config::definition::SEALED_TEXT;
use config::{Fault, Secret, Span};
use http::HeaderValue;
use schemars::JsonSchema;
use sdk::Result;
use sdk::connection::vault::VaultClient;
use sdk::task::Endless;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::time::Instant;
use url::Url;

use self::kv::Kv;
use self::own_token::{OwnToken, Source};
use self::people::People;
use self::wire::Wire;
use crate::authority::{Authority, Method};
use crate::kind::{Kind, Start};
use crate::line::Line;
use crate::part::{Connection, KEEP_SECRETS, KNOW_PEOPLE, Part};
use crate::references::Secrets;

/// A Vault server, or one that speaks as Vault does, such as OpenBao. Services read and write secrets there,
/// definitions refer to secrets with `vault:NAME/PATH#FIELD`, and security definitions of type `vault` ask it who
/// somebody is. The token of the connection is renewed when two thirds of its life are over; if that cannot be, an
/// alarm is raised before it ends.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Params {
    /// Where it is, such as `https://vault.example:8200`.
    url: String,
    /// The namespace of all requests. Default: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    namespace: Option<String>,
    /// The token of the connection itself. Give this, or `role_id` and `secret_id`, or neither: then it only passes on
    /// the log-ins of others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    token: Option<Secret>,
    /// The AppRole as which the connection logs in itself, and logs in again before that ends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    role_id: Option<String>,
    /// The secret of that AppRole.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    secret_id: Option<Secret>,
    /// Where the AppRole method is mounted. Default: `approle`.
    #[serde(default = "default_role_mount")]
    role_mount: String,
    /// How security definitions that name no method know people. Default: by the header that is there: a token, then
    /// user name and password, then a token of GitHub.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    default_method: Option<Method>,
    /// How long a request may take. A caller with less time has less. Default: 10s.
    #[serde(default = "default_timeout")]
    timeout: Span,
    /// How the server's certificate is checked, and ours shown. Default: the system's certificate authorities are
    /// trusted, and we show none.
    #[serde(default, skip_serializing_if = "Tls::is_default")]
    tls: Tls,
    /// How many redirects are followed, such as those of a standby. They stay on the server of `url` and on those of
    /// `nodes`, since our token goes with them. Default: 3.
    #[serde(default = "default_redirects")]
    redirects: u8,
    /// The URLs of the other servers that redirects may lead to. Default: none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    nodes: Vec<String>,
    /// How often a secret that a definition refers to is read again, so that one that was changed is taken up; sooner,
    /// if it has a lease that ends. Default: 1m.
    #[serde(default = "default_refresh")]
    refresh: Span,
    /// How often the server is asked whether it is there while all is well. Default: 10s.
    #[serde(default = "default_ping")]
    ping_every: Span,
}

/// Certificates, as paths of PEM files on every node. They are read when the connection starts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Tls {
    /// The certificate authorities that are trusted. Default: the system's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    ca: Option<PathBuf>,
    /// The certificate that we show, with the chain that belongs to it. Needs `key`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    certificate: Option<PathBuf>,
    /// The key of that certificate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    key: Option<PathBuf>,
    /// Whether the server's certificate is checked. Default: true. Without it anyone on the way can read and change
    /// what is sent: for tests only.
    #[serde(default = "yes")]
    verify: bool,
}

impl Tls {
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

impl Default for Tls {
    fn default() -> Self {
        Self { ca: None, certificate: None, key: None, verify: true }
    }
}

fn yes() -> bool {
    true
}
fn default_role_mount() -> String {
    "approle".into()
}
fn default_timeout() -> Span {
    Span::secs(10)
}
fn default_redirects() -> u8 {
    3
}
fn default_refresh() -> Span {
    Span::secs(60)
}
fn default_ping() -> Span {
    Span::secs(10)
}

/// See the module.
pub struct VaultKind;

#[async_trait]
impl Kind for VaultKind {
    const TAG: &'static str = "connection.vault";
    type Params = Params;

    fn example() -> Params {
        Params {
            url: "https://vault.example:8200".into(),
            namespace: None,
            token: Some(Secret::new("hvs.a-long-random-text")),
            role_id: None,
            secret_id: None,
            role_mount: default_role_mount(),
            default_method: None,
            timeout: default_timeout(),
            tls: Tls::default(),
            redirects: default_redirects(),
            nodes: Vec::new(),
            refresh: default_refresh(),
            ping_every: default_ping(),
        }
    }

    fn check(params: &Params) -> Vec<Fault> {
        let mut faults = Vec::new();
        let mut url = |at: String, text: &str| match Url::parse(text) {
            Ok(url) if matches!(url.scheme(), "http" | "https") && url.has_host() => {
                let extra = url.query().is_some() || url.fragment().is_some() || !url.username().is_empty();
                if extra || url.password().is_some() {
                    faults.push(Fault::new(at, "no more than a host, a port and a path is wanted here"));
                }
            }
            _ => {
                let fault = Fault::new(at, "this is no URL of a server");
                faults.push(fault.hint("such as https://vault.example:8200"));
            }
        };
        url("url".into(), &params.url);
        for (number, node) in params.nodes.iter().enumerate() {
            url(format!("nodes[{number}]"), node);
        }
        let fits = |text: &str| !text.is_empty() && HeaderValue::from_str(text).is_ok();
        if params.namespace.as_deref().is_some_and(|name| !fits(name)) {
            faults.push(Fault::new("namespace", "a namespace is one line of text"));
        }
        let token = params.token.as_ref().map(Secret::reveal);
        if token.is_some_and(|token| token != SEALED_TEXT && (!fits(token) || token.contains(' '))) {
            faults.push(Fault::new("token", "a token is one word"));
        }
        if params.role_id.is_some() != params.secret_id.is_some() {
            let fault = Fault::new("role_id", "`role_id` and `secret_id` belong together");
            faults.push(fault.hint("a role without a secret is not supported"));
        }
        if params.token.is_some() && params.role_id.is_some() {
            faults.push(Fault::new("token", "give either `token` or `role_id` and `secret_id`, not both"));
        }
        for (at, span) in
            [("timeout", params.timeout), ("refresh", params.refresh), ("ping_every", params.ping_every)]
        {
            if span.get() < Duration::from_millis(100) || span.get() > Duration::from_secs(86_400) {
                faults.push(Fault::new(at, "it must be a tenth of a second at least, and a day at most"));
            }
        }
        if params.tls.certificate.is_some() != params.tls.key.is_some() {
            faults.push(Fault::new("tls", "`certificate` and `key` belong together"));
        }
        if !params.tls.is_default() && params.url.starts_with("http://") {
            faults.push(Fault::new("tls", "the URL does not use TLS").hint("write https://"));
        }
        faults
    }

    fn offers(_: &Params) -> Option<Vec<&'static str>> {
        Some(vec![KNOW_PEOPLE, KEEP_SECRETS])
    }

    async fn start(params: Params, start: Start) -> Result<Part> {
        let wire = Arc::new(Wire::new(&params, Line::of(&start)).await?);
        let source = match (params.token, params.role_id, params.secret_id) {
            (Some(token), ..) => Source::Fixed(token),
            (None, Some(role_id), Some(secret_id)) => {
                Source::AppRole { mount: params.role_mount, role_id, secret_id }
            }
            _ => Source::None,
        };
        let own = Arc::new(OwnToken::new(source, wire.clone(), start.health.clone()));
        let keeping = start.tasks.endless("vault token", own.clone().keep());
        let kv = Arc::new(Kv::new(wire.clone(), own.clone(), params.refresh.get()));
        let handle: Arc<dyn VaultClient> = kv.clone();
        let people = Arc::new(People { wire, own: own.clone(), default_method: params.default_method });
        let every = params.ping_every.get();
        let handle = Arc::new(handle);
        Ok(Part::Connection(Arc::new(Vault { kv, handle, people, own, every, _keeping: keeping })))
    }
}

/// The connection as its actor, services and security definitions see it.
struct Vault {
    kv: Arc<Kv>,
    /// An `Arc<dyn VaultClient>`, as handles expect it.
    handle: Arc<dyn Any + Send + Sync>,
    people: Arc<People>,
    own: Arc<OwnToken>,
    every: Duration,
    _keeping: Endless,
}

#[async_trait]
impl Connection for Vault {
    fn client(&self) -> Arc<dyn Any + Send + Sync> {
        self.handle.clone()
    }

    async fn ping(&self, deadline: Instant) -> Result<()> {
        VaultClient::ping(&*self.kv, deadline).await
    }

    fn probe_every(&self) -> Option<Duration> {
        Some(self.every)
    }

    fn stats(&self) -> Value {
        serde_json::json!({"token": self.own.stats()})
    }

    fn secrets(&self) -> Option<Arc<dyn Secrets>> {
        Some(self.kv.clone())
    }

    fn authority(&self) -> Option<Arc<dyn Authority>> {
        Some(self.people.clone())
    }
}
