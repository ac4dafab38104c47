//! How the server is reached: connections, TLS, redirects, and what their errors mean.

use std::time::Duration;

use config::DefId;
use reqwest::redirect::Policy;
use sdk::{Error, Result};

use super::{Http2, Params};
use crate::connection::tls::{self, Identity};

/// How long an idle connection is kept: less than servers and what is between do, so that few requests meet one that
/// has just been closed.
const IDLE: Duration = Duration::from_secs(30);
/// How often a connection on which an answer is awaited is asked whether its other end is still there.
const KEEPALIVE: Duration = Duration::from_secs(20);

/// The client of one definition.
pub(super) async fn client(params: &Params, secured: bool, id: &DefId) -> Result<reqwest::Client> {
    let mut builder = reqwest::Client::builder()
        .no_proxy() // the environment is read in one place, and that is not here
        .referer(false) // a URL may hold what the next server must not see
        .user_agent(concat!("zeugma/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(connect_timeout(params))
        .pool_max_idle_per_host(usize::try_from(params.pool.get()).unwrap_or(usize::MAX))
        .pool_idle_timeout(IDLE)
        .tcp_keepalive(KEEPALIVE)
        .http2_keep_alive_interval(KEEPALIVE) // one connection carries many requests: a dead one must be noticed
        .redirect(same_server(params.redirects));
    builder = match params.http2 {
        Http2::Auto => builder,
        Http2::Never => builder.http1_only(),
        Http2::Always => builder.http2_prior_knowledge(),
    };
    // Redirects stay on the same scheme: without TLS, loading the system's authorities would be for nothing.
    builder = if secured {
        builder.tls_backend_preconfigured(tls(params, id).await?)
    } else {
        builder.tls_certs_only([])
    };
    builder.build().map_err(|e| Error::internal(format!("{id}: the client cannot be made")).because(e))
}

/// Shorter than a request may take: one that ends while it waits for a connection says nothing about the server.
fn connect_timeout(params: &Params) -> Duration {
    params.connect_timeout.get().min(params.timeout.get() / 4 * 3)
}

async fn tls(params: &Params, id: &DefId) -> Result<rustls::ClientConfig> {
    let super::Tls { ca, certificate, key, verify } = params.tls.clone();
    if !verify {
        tracing::warn!(%id, "the server's certificate is not checked: anyone on the way can read what is sent");
    }
    let identity = certificate.zip(key).map(|(certificate, key)| Identity { certificate, key });
    // It reads files.
    let config =
        tokio::task::spawn_blocking(move || tls::client_config(ca.as_deref(), identity.as_ref(), verify));
    let mut config = config.await??;
    config.alpn_protocols = match params.http2 {
        Http2::Auto => vec![b"h2".into(), b"http/1.1".into()],
        Http2::Never => vec![b"http/1.1".into()],
        Http2::Always => vec![b"h2".into()],
    };
    Ok(config)
}

/// Follows this many redirects, as long as they stay on the same server; the next one is the answer.
fn same_server(most: u8) -> Policy {
    Policy::custom(move |attempt| {
        let first = attempt.previous().first().map(url::Url::origin);
        let stays = first.is_some_and(|origin| origin == attempt.url().origin());
        if stays && attempt.previous().len() <= most.into() { attempt.follow() } else { attempt.stop() }
    })
}

/// Why there is no answer.
pub(super) struct Failure {
    /// For the caller and the log. No URL is in it.
    pub(super) error: Error,
    /// Whether the same request may succeed at once.
    pub(super) repeatable: bool,
    /// Whether it says that the server is away.
    pub(super) away: bool,
}

impl From<Error> for Failure {
    /// Of our own making.
    fn from(error: Error) -> Self {
        Self { error, repeatable: false, away: false }
    }
}

impl Failure {
    /// What an error of the client means.
    pub(super) fn of(error: reqwest::Error, id: &DefId) -> Self {
        let error = error.without_url();
        let says_tls = tls::failed(&error);
        if error.is_builder() {
            return Error::invalid(format!("this request cannot be sent to {id}")).because(error).into();
        }
        if says_tls {
            let error = Error::upstream(format!("{id}: no secure connection")).because(error);
            return Self { error, repeatable: false, away: true };
        }
        if error.is_connect() {
            let error = match error.is_timeout() {
                true => Error::timeout(format!("{id} did not accept a connection in time")).because(error),
                false => Error::upstream(format!("{id} cannot be reached")).because(error),
            };
            return Self { error, repeatable: true, away: true };
        }
        if error.is_timeout() {
            return Error::timeout(format!("{id} did not answer in time")).because(error).into();
        }
        let repeatable = error.is_request();
        Self { error: Error::upstream(format!("{id} broke off")).because(error), repeatable, away: false }
    }
}
