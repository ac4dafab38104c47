//! The way to the admin API of a node.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use config::settings::{ADMIN_TOKEN_VARIABLE, ADMIN_URL_VARIABLE, env_var, host_name};
use config::{DefId, Secret};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::{Method, Response, StatusCode, Url};
use sdk::ErrorKind;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::exit::{Exit, Stop};
use crate::app::ADMIN_URL_FILE;
use crate::http::admin::shapes::ErrorBody;

/// Where the admin listener is if nobody says otherwise.
const URL: &str = "http://127.0.0.1:8183";
/// How long a node may take to accept a connection.
const CONNECT: Duration = Duration::from_secs(5);
/// How long it may take to answer, beside what it was asked to wait.
const ANSWER: Duration = Duration::from_secs(30);

/// Which node, and how to reach it.
#[derive(Debug, Args)]
#[command(next_help_heading = "Node")]
pub(super) struct Remote {
    /// The admin listener; else ZEUGMA_ADMIN_URL, else where the node of the data folder is, else http://127.0.0.1:8183
    #[arg(long, value_name = "URL")]
    url: Option<Url>,
    /// The data folder of a node on this machine: says where it is, and has its token unless ZEUGMA_ADMIN_TOKEN is set
    #[arg(long, value_name = "DIR", default_value = "zeugma-data")]
    data: PathBuf,
    /// Certificates to trust beside those of the system, for https (PEM)
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
}

/// One request to the admin API.
#[derive(Debug)]
pub(super) struct Ask {
    method: Method,
    path: String,
    query: Vec<(&'static str, String)>,
    body: Vec<u8>,
    wait: Duration,
}

impl Ask {
    /// A GET.
    pub(super) fn get(segments: &[&str]) -> Self {
        Self::new(Method::GET, segments)
    }

    /// A request to the path of these segments, below `/api/v1`. A segment may hold anything, slashes too.
    pub(super) fn new(method: Method, segments: &[&str]) -> Self {
        let encoded = segments.iter().map(|s| format!("/{}", utf8_percent_encode(s, NON_ALPHANUMERIC)));
        let path = format!("/api/v1{}", encoded.collect::<String>());
        Self { method, path, query: Vec::new(), body: Vec::new(), wait: Duration::ZERO }
    }

    /// A request about one definition.
    pub(super) fn definition(method: Method, id: &DefId) -> Self {
        Self::new(method, &["definitions", id.family.singular(), id.name.as_str()])
    }

    /// With this in the query, if there is something.
    pub(super) fn query(mut self, name: &'static str, value: Option<impl ToString>) -> Self {
        self.query.extend(value.map(|value| (name, value.to_string())));
        self
    }

    /// With this in the query, if it is so.
    pub(super) fn flag(self, name: &'static str, set: bool) -> Self {
        self.query(name, set.then_some("true"))
    }

    /// With this body.
    pub(super) fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self
    }

    /// The node may take so much longer to answer.
    pub(super) fn waiting(mut self, wait: Duration) -> Self {
        self.wait = wait;
        self
    }
}

/// The URL for people: whoever reads an error is not to learn a password.
fn without_login(mut url: Url) -> Url {
    // It fails for URLs without a host only, which have no login either.
    let _ = (url.set_username(""), url.set_password(None));
    url
}

impl Remote {
    /// Asks, and reads the answer.
    pub(super) async fn ask<T: DeserializeOwned>(&self, ask: Ask) -> Result<T, Stop> {
        let answer = self.send(ask).await?.bytes().await.map_err(|e| Stop::failed(cause(&e)))?;
        serde_json::from_slice(&answer).map_err(|error| {
            Stop::failed(format!("the answer of the node is not understood: {error}"))
                .hint("its version and the one of this program may differ too much: see zeugma nodes")
        })
    }

    /// Asks; an answer that is no success is a [`Stop`].
    pub(super) async fn send(&self, ask: Ask) -> Result<Response, Stop> {
        let base = match (&self.url, env_var(ADMIN_URL_VARIABLE)) {
            (Some(url), _) => url.clone(),
            // It is not shown, and below without its login: a proxy in front of the node may want one.
            (None, Some(text)) => text.parse().map_err(|error| {
                Stop::new(Exit::Usage, format!("{ADMIN_URL_VARIABLE} is not the URL of a node: {error}"))
            })?,
            (None, None) => self.noted_url()?,
        };
        let url = format!("{}{}", base.as_str().trim_end_matches('/'), ask.path);
        let base = without_login(base);
        let base = base.as_str().trim_end_matches('/');
        let token = self.token()?;
        let mut client = reqwest::Client::builder()
            .no_proxy()
            .connect_timeout(CONNECT)
            .timeout(ANSWER + ask.wait)
            .user_agent(concat!("zeugma/", env!("CARGO_PKG_VERSION")));
        if let Some(file) = &self.ca {
            let text = std::fs::read(file).map_err(|e| Stop::failed(format!("{}: {e}", file.display())))?;
            let found = reqwest::Certificate::from_pem_bundle(&text).map_err(|e| Stop::failed(cause(&e)))?;
            client = client.tls_certs_merge(found);
        }
        let client = client.build().map_err(|e| Stop::failed(cause(&e)))?;
        let mut request = client.request(ask.method, &url).query(&ask.query).body(ask.body);
        request = request.header("x-zeugma-author", author());
        if let Some(token) = &token {
            request = request.bearer_auth(token.reveal());
        }
        match request.send().await {
            Ok(answer) if answer.status().is_success() => Ok(answer),
            Ok(answer) => Err(self.refused(answer, token.is_some()).await),
            Err(error) if error.is_timeout() && !error.is_connect() => {
                Err(Stop::failed(format!("{base} did not answer in time"))
                    .hint("the change may have been made all the same: see zeugma history"))
            }
            Err(error) => {
                let cause = cause(&error);
                let hint = match cause.contains("certificate") {
                    // A certificate that signed itself is a common one here, and mostly made as that of an authority.
                    true if cause.contains("CaUsedAsEndEntity") => {
                        "the node shows the certificate of an authority: give it one that says CA:FALSE"
                            .into()
                    }
                    true => "name the authority that signed the node's certificate: --ca FILE".into(),
                    false => {
                        format!(
                            "start one with: zeugma start; or say where it is: --url, or {ADMIN_URL_VARIABLE}"
                        )
                    }
                };
                Err(Stop::new(Exit::Unreachable, format!("no node answers at {base}: {cause}")).hint(hint))
            }
        }
    }

    /// Where the node said that it is when it started with this data folder.
    fn noted_url(&self) -> Result<Url, Stop> {
        let path = self.data.join(ADMIN_URL_FILE);
        let (text, from) = match std::fs::read_to_string(&path) {
            Ok(text) => (text.trim().to_owned(), path.display().to_string()),
            // There is no node here, or one that does not let others read it; the token then says more.
            Err(_) => (URL.to_owned(), "the default".to_owned()),
        };
        text.parse().map_err(|error| Stop::failed(format!("{from}: {text:?}: {error}")))
    }

    /// The token: that of the environment, else that of the node whose data folder this is.
    fn token(&self) -> Result<Option<Secret>, Stop> {
        if let Some(token) = env_var(ADMIN_TOKEN_VARIABLE).filter(|token| !token.is_empty()) {
            return Ok(Some(Secret::new(token.trim())));
        }
        let file = self.data.join("admin.token");
        match std::fs::read_to_string(&file) {
            Ok(text) => Ok(Some(Secret::new(text.trim()))),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(Stop::failed(format!("{}: {error}", file.display()))),
        }
    }

    async fn refused(&self, answer: Response, had_token: bool) -> Stop {
        let status = answer.status();
        let text = answer.bytes().await.unwrap_or_default();
        let Ok(ErrorBody { error }) = serde_json::from_slice(&text) else {
            return Stop::failed(format!("the answer is {status}, and not of a node of Zeugma"))
                .hint("is this the admin listener? The data listener is another one");
        };
        let exit = if error.kind == ErrorKind::Conflict.as_str() { Exit::Conflict } else { Exit::Failed };
        let cid = if status.is_server_error() { format!(" (cid {})", error.cid) } else { String::new() };
        let missing = error.kind == ErrorKind::NotFound.as_str();
        let stop = Stop::new(exit, format!("{}{cid}", error.message));
        let stop = Stop { faults: error.faults, missing, ..stop };
        let file = self.data.join("admin.token");
        match (status, had_token) {
            (StatusCode::UNAUTHORIZED, false) => stop.hint(format!(
                "there is no {}: say --data with the node's data folder, or set {ADMIN_TOKEN_VARIABLE}",
                file.display()
            )),
            (StatusCode::UNAUTHORIZED, true) => stop.hint(format!(
                "the token came from {ADMIN_TOKEN_VARIABLE} if that is set, else from {}",
                file.display()
            )),
            _ => stop,
        }
    }
}

/// Who runs this program, for the history.
fn author() -> reqwest::header::HeaderValue {
    let user = env_var("USER").or_else(|| env_var("LOGNAME")).unwrap_or_else(|| "unknown".into());
    let author = format!("{user}@{}", host_name());
    reqwest::header::HeaderValue::from_bytes(author.as_bytes())
        .unwrap_or_else(|_| reqwest::header::HeaderValue::from_static("unknown"))
}

/// What lies behind an error of the HTTP client, which by itself says little.
fn cause(error: &(dyn std::error::Error + 'static)) -> String {
    let mut innermost = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost.to_string()
}

/// A value as the body of a request.
pub(super) fn json(value: &impl Serialize) -> Result<Vec<u8>, Stop> {
    serde_json::to_vec(value).map_err(|e| Stop::failed(e.to_string()))
}
