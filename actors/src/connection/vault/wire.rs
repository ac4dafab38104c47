//! Sending requests to Vault: limits, TLS, redirects, and what its answers mean.

use std::path::PathBuf;
use std::time::Duration;

use bytes::BytesMut;
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use reqwest::redirect::Policy;
use rustify::endpoint::Endpoint;
use sdk::{Error, ErrorKind, Result};
use serde::Deserialize;
use serde_json::Value;
use tokio::time::Instant;
use url::Url;

use super::Params;
use crate::connection::tls::{self, Identity};
use crate::line::Line;

/// The longest answer: far more than any secret is.
const LONGEST_ANSWER: usize = 4 << 20;
/// How long the server may take to accept a connection.
const CONNECT: Duration = Duration::from_secs(3);
/// How long an idle connection is kept.
const IDLE: Duration = Duration::from_secs(30);
const TOKEN: HeaderName = HeaderName::from_static("x-vault-token");
/// Where a server says how it is.
pub(super) const HEALTH: &str = "sys/health";
const NAMESPACE: HeaderName = HeaderName::from_static("x-vault-namespace");
const REQUEST: HeaderName = HeaderName::from_static("x-vault-request");

/// What Vault answers.
#[derive(Deserialize, Default)]
pub(super) struct Answer {
    #[serde(default)]
    pub(super) data: Option<Value>,
    #[serde(default)]
    pub(super) auth: Option<Login>,
    #[serde(default)]
    pub(super) lease_id: String,
    #[serde(default)]
    pub(super) lease_duration: u64,
    /// All of it, byte for byte.
    #[serde(skip)]
    pub(super) whole: Vec<u8>,
}

/// What a log-in, or the renewal of a token, answers.
#[derive(Deserialize)]
pub(super) struct Login {
    pub(super) client_token: String,
    #[serde(default)]
    pub(super) policies: Vec<String>,
    #[serde(default)]
    pub(super) identity_policies: Vec<String>,
    #[serde(default)]
    pub(super) metadata: Option<serde_json::Map<String, Value>>,
    /// In seconds; 0: it does not end.
    #[serde(default)]
    pub(super) lease_duration: u64,
    #[serde(default)]
    pub(super) renewable: bool,
}

/// Vault is there, and does not do it.
#[derive(Debug)]
pub(super) struct Refused {
    pub(super) status: u16,
    /// In its words.
    pub(super) what: String,
}

impl Refused {
    /// The error for somebody who has asked for it through us.
    pub(super) fn error(self, id: &config::DefId) -> Error {
        let Self { status, what } = self;
        let what = if what.is_empty() { String::new() } else { format!(": {what}") };
        match status {
            404 => Error::not_found(format!("{id} has no such thing{what}")),
            429 => Error::new(ErrorKind::TooMany, format!("{id} has too much to do{what}")),
            _ => Error::upstream(format!("{id} refuses ({status}){what}")),
        }
    }
}

/// The way to the server of one definition.
pub(super) struct Wire {
    line: Line,
    http: reqwest::Client,
    base: Url,
    namespace: Option<HeaderValue>,
    timeout: Duration,
}

impl Wire {
    pub(super) async fn new(params: &Params, line: Line) -> Result<Self> {
        let bad = |what: &str| Error::internal(format!("{}: {what}", line.id()));
        let base = Url::parse(&params.url).map_err(|_| bad("the URL is none"))?;
        let namespace = match &params.namespace {
            Some(name) => {
                Some(HeaderValue::from_str(name).map_err(|_| bad("the namespace cannot be a header"))?)
            }
            None => None,
        };
        let mut trusted = vec![base.origin()];
        for node in &params.nodes {
            trusted.push(Url::parse(node).map_err(|_| bad("the URL of a node is none"))?.origin());
        }
        let most = params.redirects;
        let redirects = Policy::custom(move |attempt| {
            // The headers of a request hold our token: nobody else is to get them.
            let stays = trusted.contains(&attempt.url().origin()) && attempt.previous().len() <= most.into();
            if stays { attempt.follow() } else { attempt.stop() }
        });
        let builder = reqwest::Client::builder()
            .no_proxy() // the environment is read in one place, and that is not here
            .referer(false)
            .user_agent(concat!("zeugma/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(CONNECT.min(params.timeout.get()))
            .pool_idle_timeout(IDLE)
            .http2_keep_alive_interval(IDLE)
            .redirect(redirects);
        let builder = match base.scheme() {
            "https" => builder.tls_backend_preconfigured(tls_config(params, &line).await?),
            _ => builder.tls_certs_only([]),
        };
        let http = builder.build().map_err(|e| bad("the client cannot be made").because(e))?;
        Ok(Self { line, http, base, namespace, timeout: params.timeout.get() })
    }

    pub(super) fn id(&self) -> &config::DefId {
        self.line.id()
    }

    /// Sends a request as somebody, unless the connection is paused or known to be down.
    pub(super) async fn send(
        &self,
        token: Option<&str>,
        request: &impl Endpoint,
        deadline: Instant,
    ) -> Result<Result<Answer, Refused>> {
        self.line.call(deadline, self.timeout, self.send_now(token, request, deadline)).await
    }

    /// The same even then: it is to say whether the server is there, whatever we think.
    pub(super) async fn send_now(
        &self,
        token: Option<&str>,
        request: &impl Endpoint,
        deadline: Instant,
    ) -> Result<Result<Answer, Refused>> {
        let (id, begun) = (self.id(), Instant::now());
        let broken = |what| move |_| Error::internal(format!("{id}: {what} of a request cannot be made"));
        let url = self.url(&request.path(), request.query().map_err(broken("the query"))?)?;
        let method: Method = request.method().into();
        let body = request.body().map_err(broken("the body"))?.unwrap_or_default();
        // A little less than the call as a whole has, so that it is known here whose time was over.
        let own = self.timeout.mul_f64(0.98);
        let limit = own.min(deadline.saturating_duration_since(begun));
        let sending = self
            .http
            .request(method, url)
            .headers(self.headers(&request.path(), token)?)
            .body(body)
            .timeout(limit);
        let outcome = async {
            let mut response = sending.send().await?;
            let mut whole = BytesMut::new();
            while let Some(chunk) = response.chunk().await? {
                if whole.len() + chunk.len() > LONGEST_ANSWER {
                    return Ok((response.status().as_u16(), None));
                }
                whole.extend_from_slice(&chunk);
            }
            Ok((response.status().as_u16(), Some(whole)))
        };
        let (status, whole) = match outcome.await {
            Ok((status, Some(whole))) => (status, whole),
            Ok((_, None)) => {
                return Err(Error::upstream(format!(
                    "{id}: the answer is longer than {LONGEST_ANSWER} bytes"
                )));
            }
            Err(error) => {
                let late = reqwest::Error::is_timeout(&error);
                let away = !late || limit == own;
                let error = self.away(error);
                if away {
                    self.line.report_down(&error);
                }
                return Err(error);
            }
        };
        self.understand(status, &whole)
    }

    fn understand(&self, status: u16, whole: &[u8]) -> Result<Result<Answer, Refused>> {
        let id = self.id();
        if (200..300).contains(&status) {
            if whole.is_empty() {
                return Ok(Ok(Answer::default()));
            }
            let odd = |e| Error::upstream(format!("{id} answers what is not Vault's")).because(e);
            let mut answer: Answer = serde_json::from_slice(whole).map_err(odd)?;
            answer.whole = whole.to_vec();
            return Ok(Ok(answer));
        }
        let what = errors(whole);
        let away = |what: String| {
            let error = Error::upstream(what);
            self.line.report_down(&error);
            Err(error)
        };
        match status {
            501 => away(format!("{id} is not initialised")),
            503 if what.contains("sealed") => away(format!("{id} is sealed")),
            472 | 473 | 502..=504 => away(format!("{id} cannot work now ({status})")),
            500.. => Err(Error::upstream(format!("{id} failed ({status}): {what}"))),
            300..400 => {
                Err(Error::upstream(format!("{id} sends us elsewhere, which is not allowed ({status})")))
            }
            _ => Ok(Err(Refused { status, what })),
        }
    }

    fn url(&self, path: &str, query: Option<String>) -> Result<Url> {
        let path = path.trim_start_matches(['\t', '/']).trim_end_matches('/'); // one of vaultrs's begins with a tab
        let bad = || Error::invalid(format!("{path:?} is no path of Vault"));
        if path.split('/').any(is_odd) {
            return Err(bad());
        }
        let mut url = self.base.clone();
        url.path_segments_mut().map_err(|()| bad())?.pop_if_empty().push("v1").extend(path.split('/'));
        url.set_query(query.as_deref());
        Ok(url)
    }

    fn headers(&self, path: &str, token: Option<&str>) -> Result<HeaderMap> {
        let mut headers = HeaderMap::new();
        headers.insert(REQUEST, HeaderValue::from_static("true"));
        // How the server is, it does not say within a namespace.
        let namespace = self.namespace.clone().filter(|_| path != HEALTH);
        headers.extend(namespace.map(|name| (NAMESPACE, name)));
        if let Some(token) = token {
            let value = HeaderValue::from_str(token);
            let mut value = value.map_err(|_| Error::invalid("this cannot be a token of Vault"))?;
            value.set_sensitive(true);
            headers.insert(TOKEN, value);
        }
        Ok(headers)
    }

    /// Why there is no answer. No URL is in it.
    fn away(&self, error: reqwest::Error) -> Error {
        let (id, error) = (self.id(), error.without_url());
        if tls::failed(&error) {
            return Error::upstream(format!("{id}: no secure connection")).because(error);
        }
        match (error.is_connect(), error.is_timeout()) {
            (true, true) => {
                Error::timeout(format!("{id} did not accept a connection in time")).because(error)
            }
            (true, false) => Error::upstream(format!("{id} cannot be reached")).because(error),
            (false, true) => Error::timeout(format!("{id} did not answer in time")).because(error),
            (false, false) => Error::upstream(format!("{id} broke off")).because(error),
        }
    }
}

/// A step of a path that is none.
fn is_odd(step: &str) -> bool {
    matches!(step, "" | "." | "..") || step.chars().any(char::is_control)
}

/// What Vault says is wrong.
fn errors(whole: &[u8]) -> String {
    #[derive(Deserialize, Default)]
    struct Said {
        #[serde(default)]
        errors: Vec<String>,
        #[serde(default)]
        sealed: bool,
    }
    let said: Said = serde_json::from_slice(whole).unwrap_or_default();
    let mut words: Vec<String> =
        said.errors.iter().map(|error| error.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
    if said.sealed {
        words.push("sealed".into());
    }
    words.join("; ").chars().filter(|c| !c.is_control()).take(300).collect()
}

async fn tls_config(params: &Params, line: &Line) -> Result<rustls::ClientConfig> {
    let super::Tls { ca, certificate, key, verify } = params.tls.clone();
    if !verify {
        let id = line.id();
        tracing::warn!(%id, "the server's certificate is not checked: anyone on the way can read what is sent");
    }
    let pair: Option<(PathBuf, PathBuf)> = certificate.zip(key);
    let identity = pair.map(|(certificate, key)| Identity { certificate, key });
    // It reads files.
    let made =
        tokio::task::spawn_blocking(move || tls::client_config(ca.as_deref(), identity.as_ref(), verify));
    let mut config = made.await??;
    config.alpn_protocols = vec![b"h2".into(), b"http/1.1".into()];
    Ok(config)
}
