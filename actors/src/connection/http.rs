//! Connections to HTTP servers: one client, with its pool and its limits, for each definition.

mod client;
mod reach;
mod template;

use std::any::Any;
use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use config::definition::SEALED_TEXT;
use config::{DefId, Family, Fault, Name, Need, Secret, Size, Span, Want};
use http::{HeaderName, HeaderValue};
use schemars::JsonSchema;
use sdk::connection::http::HttpClient;
use sdk::{Error, Result};
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use self::client::Client;
use self::template::Template;
use crate::kind::{Kind, Start};
use crate::part::{Connection, Credentials, LOG_IN, Part};

/// A server that is spoken to over HTTP. Every request carries the correlation id of the invocation in the header
/// `X-Zeugma-CID`. Proxies named in the environment are not used.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Params {
    /// Where the server is, such as `https://erp.example/api/customers/{id}`. Each `{name}` in the path or the query
    /// is filled from the parameters of a request, percent-encoded; those left over become the query. A request for
    /// which one is missing, or empty in the path, is refused.
    url: String,
    /// Parameters that every request's query has, unless the request brings its own of the same name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    query: BTreeMap<String, String>,
    /// Headers that every request has, unless the request brings its own of the same name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    headers: BTreeMap<String, String>,
    /// The same for headers whose values are secret. Prefer `security` where it fits.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    secret_headers: BTreeMap<String, Secret>,
    /// The security definition whose credentials every request carries. Default: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    security: Option<Name>,
    /// How long a request may take, from the wait for a free place to the last byte of the answer and with all
    /// repeats. A caller with less time has less. Default: 10s.
    #[serde(default = "default_timeout")]
    timeout: Span,
    /// How long the server may take to accept a connection, TLS included; at most three quarters of `timeout`.
    /// Default: 3s.
    #[serde(default = "default_connect_timeout")]
    connect_timeout: Span,
    /// How many requests may be under way at the same time, on each node; as many idle connections are kept for the
    /// next ones. Default: 20.
    #[serde(default = "default_pool")]
    pool: NonZeroU32,
    /// How long a request waits for a free place when that many are under way. Then it is refused as unavailable.
    /// Default: 5s.
    #[serde(default = "default_pool_wait")]
    pool_wait: Span,
    /// How the server's certificate is checked, and ours shown. Default: the system's certificate authorities are
    /// trusted, and we show none.
    #[serde(default, skip_serializing_if = "Tls::is_default")]
    tls: Tls,
    /// Which version of HTTP is spoken. Default: `auto`, what is negotiated with TLS, and HTTP/1.1 without.
    #[serde(default, skip_serializing_if = "Http2::is_default")]
    http2: Http2,
    /// How many redirects are followed, to the same host and port only, so that credentials never go elsewhere.
    /// What is not followed is handed to the service as the answer that it is. Default: 0.
    #[serde(default)]
    redirects: u8,
    /// How requests are repeated that can be repeated without harm: GET, HEAD, OPTIONS, PUT and DELETE without a
    /// streamed body, when the server cannot be reached, breaks off without an answer, or answers 502, 503 or 504.
    #[serde(default)]
    retries: Retries,
    /// How the server is asked whether it is there. Any answer, whatever its status, says that it is.
    #[serde(default)]
    ping: Ping,
    /// The longest answer accepted. It is held in memory. Default: 64MB.
    #[serde(default = "default_max_response")]
    max_response: Size,
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

/// Which version of HTTP is spoken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Http2 {
    /// HTTP/2 if the server offers it when TLS is negotiated, else HTTP/1.1.
    #[default]
    Auto,
    /// HTTP/1.1 always.
    Never,
    /// HTTP/2 always, with or without TLS.
    Always,
}

/// When and how often a request is repeated.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct Retries {
    /// How often a request is repeated at most, after the first time. 0: never. Default: 2.
    attempts: u8,
    /// How long to wait before the first repeat; the wait doubles with each, and varies by a quarter so that many
    /// callers do not come back together. An answer's `Retry-After` is honoured if the caller has that much time.
    /// Default: 100ms.
    wait: Span,
    /// The longest such wait. Default: 2s.
    longest: Span,
}

/// How the server is asked whether it is there.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Ping {
    /// `HEAD`, `GET` or `OPTIONS`. Default: `HEAD`.
    #[serde(default)]
    method: PingMethod,
    /// The path, from the root of the server. Default: that of `url`, up to its first `{name}`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    path: Option<String>,
    /// How often it is asked while all is well. Default: never; a request notices soon enough, and from then on it
    /// is asked until it is back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    every: Option<Span>,
}

/// The verb of a ping.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
enum PingMethod {
    /// Asks for no body.
    #[default]
    Head,
    /// For servers that do not know HEAD.
    Get,
    /// For servers where the others have an effect.
    Options,
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

impl Http2 {
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

impl Default for Retries {
    fn default() -> Self {
        Self { attempts: 2, wait: Span::millis(100), longest: Span::secs(2) }
    }
}

fn yes() -> bool {
    true
}
fn default_timeout() -> Span {
    Span::secs(10)
}
fn default_connect_timeout() -> Span {
    Span::secs(3)
}
fn default_pool() -> NonZeroU32 {
    NonZeroU32::MIN.saturating_add(19)
}
fn default_pool_wait() -> Span {
    Span::secs(5)
}
fn default_max_response() -> Size {
    Size::bytes(64_000_000)
}

/// The longest time that can be configured, or that a server can ask for.
const LONGEST_TIME: Duration = Duration::from_secs(86_400);
/// Headers that belong to the transport or to the engine.
const RESERVED: [&str; 10] = [
    "connection",
    "content-length",
    "expect",
    "keep-alive",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    sdk::cid::CID_HEADER,
];

/// See the module.
pub struct HttpKind;

#[async_trait]
impl Kind for HttpKind {
    const TAG: &'static str = "connection.http";
    type Params = Params;

    fn example() -> Params {
        Params {
            url: "https://erp.example/api/customers/{id}".into(),
            query: BTreeMap::new(),
            headers: BTreeMap::from([("accept".into(), "application/json".into())]),
            secret_headers: BTreeMap::new(),
            security: None,
            timeout: default_timeout(),
            connect_timeout: default_connect_timeout(),
            pool: default_pool(),
            pool_wait: default_pool_wait(),
            tls: Tls::default(),
            http2: Http2::default(),
            redirects: 0,
            retries: Retries::default(),
            ping: Ping::default(),
            max_response: default_max_response(),
        }
    }

    fn check(params: &Params) -> Vec<Fault> {
        let mut faults = Vec::new();
        faults.extend(Template::parse(&params.url).err());
        let public = params.headers.iter().map(|(name, value)| ("headers", name, value.as_str()));
        let secret =
            params.secret_headers.iter().map(|(name, value)| ("secret_headers", name, value.reveal()));
        for (at, name, value) in public.chain(secret) {
            faults.extend(header_fault(name, value).map(|fault| fault.under(&format!("{at}.{name}"))));
        }
        for name in params.headers.keys().filter(|name| name.eq_ignore_ascii_case("authorization")) {
            let fault = Fault::new(format!("headers.{name}"), "a secret would be kept in clear here");
            faults.push(fault.hint("use a security definition, or secret_headers"));
        }
        for (at, span) in [
            ("timeout", Some(params.timeout)),
            ("connect_timeout", Some(params.connect_timeout)),
            ("pool_wait", Some(params.pool_wait)),
            ("retries.wait", Some(params.retries.wait)),
            ("retries.longest", Some(params.retries.longest)),
            ("ping.every", params.ping.every),
        ] {
            let Some(span) = span.map(Span::get) else { continue };
            if span.is_zero() || span > LONGEST_TIME {
                faults.push(Fault::new(at, "it must be more than nothing, and at most a day"));
            }
        }
        let tls = &params.tls;
        if tls.certificate.is_some() != tls.key.is_some() {
            faults.push(Fault::new("tls", "`certificate` and `key` belong together"));
        }
        if !tls.is_default() && params.url.starts_with("http://") {
            faults.push(Fault::new("tls", "the URL does not use TLS").hint("write https://"));
        }
        if params.ping.path.as_ref().is_some_and(|path| !path.starts_with('/')) {
            faults.push(Fault::new("ping.path", "a path begins with a slash"));
        }
        faults
    }

    fn wants(params: &Params) -> Vec<Want> {
        let want = |name| Want { at: "security".into(), id: security(name), ability: LOG_IN };
        params.security.iter().map(want).collect()
    }

    fn needs(params: &Params) -> Vec<Need> {
        let needs = params.security.iter().map(|name| Need { at: "security".into(), id: security(name) });
        needs.collect()
    }

    fn offers(_: &Params) -> Option<Vec<&'static str>> {
        Some(Vec::new())
    }

    async fn start(params: Params, start: Start) -> Result<Part> {
        let credentials = match &params.security {
            Some(name) => Some(credentials(&security(name), &start)?),
            None => None,
        };
        let every = params.ping.every.map(Span::get);
        let client = Arc::new(Client::new(params, credentials, &start).await?);
        let handle: Arc<dyn HttpClient> = client.clone();
        Ok(Part::Connection(Arc::new(Http { client, handle: Arc::new(handle), every })))
    }
}

fn security(name: &Name) -> DefId {
    DefId::new(Family::Security, name.clone())
}

/// What a security definition adds to outgoing requests.
fn credentials(id: &DefId, start: &Start) -> Result<Arc<dyn Credentials>> {
    match &start.part(id)?.part {
        Part::Security(guard) => guard.outgoing.clone().ok_or_else(|| {
            Error::unavailable(format!("{id} is for incoming requests only: it has nothing to log in with"))
        }),
        _ => Err(Error::internal(format!("{id} is no security definition"))),
    }
}

fn header_fault(name: &str, value: &str) -> Option<Fault> {
    let Ok(parsed) = name.parse::<HeaderName>() else {
        return Some(Fault::new("", "this cannot be the name of a header"));
    };
    if RESERVED.contains(&parsed.as_str()) {
        return Some(Fault::new("", "the engine sets this header itself"));
    }
    let fits = value == SEALED_TEXT || HeaderValue::from_str(value).is_ok();
    (!fits).then(|| Fault::new("", "the value of a header is one line of text"))
}

/// The connection as its actor and the snapshot see it.
struct Http {
    client: Arc<Client>,
    /// An `Arc<dyn HttpClient>`, as handles expect it.
    handle: Arc<dyn Any + Send + Sync>,
    every: Option<Duration>,
}

#[async_trait]
impl Connection for Http {
    fn client(&self) -> Arc<dyn Any + Send + Sync> {
        self.handle.clone()
    }

    async fn ping(&self, deadline: Instant) -> Result<()> {
        self.client.ping(deadline).await
    }

    fn probe_every(&self) -> Option<Duration> {
        self.every
    }

    fn stats(&self) -> serde_json::Value {
        self.client.stats()
    }
}
