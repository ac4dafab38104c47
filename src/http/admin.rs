//! The admin API: one catch-all filter in front of one table of endpoints.

mod access;
mod answer;
mod audit;
mod body;
mod call;
mod definitions;
mod endpoint;
mod events;
mod jobs;
mod kinds;
mod openapi;
mod packages;
mod pages;
mod runtime;
mod services;
pub mod shapes;
mod store;
mod table;

#[cfg(test)]
mod tests;

use std::net::SocketAddr;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use bytes::Bytes;
use config::Role;
use futures_util::FutureExt as _;
use http::header::{ALLOW, HeaderValue};
use http::{HeaderMap, Method, StatusCode};
use hyper::body::Incoming;
use percent_encoding::percent_decode_str;
use sdk::cid::CID_HEADER;
use sdk::{Cid, Error, ErrorKind};
use warp::Filter as _;
use warp::filters::BoxedFilter;
use warp::reply::Response;

use self::answer::Failure;
use self::audit::Refusals;
use self::call::Call;
use self::endpoint::{Endpoint, Found};
use crate::app::App;

/// All of the admin listener.
pub fn filter(app: &App) -> BoxedFilter<(Response,)> {
    let api =
        Arc::new(Api { app: app.clone(), endpoints: table::endpoints(), refusals: Refusals::default() });
    let query = warp::query::raw().or(warp::any().map(String::new)).unify();
    warp::method()
        .and(warp::path::full())
        .and(query)
        .and(warp::header::headers_cloned())
        .and(warp::ext::optional::<Peer>())
        .and(warp::body::stream())
        .then(move |method, path: warp::path::FullPath, query, headers, peer: Option<Peer>, body| {
            let api = api.clone();
            let peer = peer.map(|Peer(address)| address);
            let head = Head { method, path: path.as_str().to_owned(), query, headers, peer };
            async move {
                let cid = Cid::new();
                let is_head = head.method == Method::HEAD;
                let outcome =
                    AssertUnwindSafe(api.serve(cid, head, body::collect(body))).catch_unwind().await;
                let outcome = outcome.unwrap_or_else(|_| Err(Error::internal("a handler panicked").into()));
                let mut response = outcome.unwrap_or_else(|failure| answer::failed(failure, cid));
                // An invocation that goes on by itself has a cid of its own, and has said so already.
                let shown = HeaderValue::from_str(cid.as_str());
                if let (Ok(value), false) = (shown, response.headers().contains_key(CID_HEADER)) {
                    response.headers_mut().insert(CID_HEADER, value);
                }
                if is_head { answer::without_body(response) } else { response }
            }
        })
        .boxed()
}

/// The admin listener's service, and for each connection who is at the other end.
#[derive(Clone)]
pub struct FromPeer<S> {
    /// Answers.
    pub inner: S,
    /// Who is at the other end.
    pub peer: SocketAddr,
}

/// The address that [`FromPeer`] leaves for the filter.
#[derive(Clone, Copy)]
struct Peer(SocketAddr);

impl<S: hyper::service::Service<http::Request<Incoming>>> hyper::service::Service<http::Request<Incoming>>
    for FromPeer<S>
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn call(&self, mut request: http::Request<Incoming>) -> S::Future {
        request.extensions_mut().insert(Peer(self.peer));
        self.inner.call(request)
    }
}

/// What is known of a request before its body is read.
struct Head {
    method: Method,
    path: String,
    query: String,
    headers: HeaderMap,
    peer: Option<SocketAddr>,
}

struct Api {
    app: App,
    endpoints: Vec<Arc<Endpoint>>,
    refusals: Refusals,
}

impl Api {
    async fn serve<B>(&self, cid: Cid, head: Head, body: B) -> Result<Response, Failure>
    where
        B: Future<Output = sdk::Result<Bytes>>,
    {
        let found = endpoint::find(&self.endpoints, &head.method, &head.path);
        // Before anything else is said: a stranger learns nothing about what is here.
        let wanted = match &found {
            Found::Here(endpoint, _) => endpoint.role,
            _ => Some(Role::Viewer),
        };
        let by = match wanted.map(|role| access::check(&self.app, &head, role)).transpose() {
            Ok(by) => by,
            Err(refusal) => {
                self.refusals.note(&self.app, cid, &head, &found, &refusal);
                return Err(refusal.error.into());
            }
        };
        let (endpoint, params) = match found {
            Found::Here(endpoint, params) => (endpoint, params),
            Found::OtherVerbs(allow) if head.method == Method::OPTIONS => {
                let mut response = answer::empty(StatusCode::NO_CONTENT);
                response.headers_mut().insert(ALLOW, allow);
                return Ok(response);
            }
            Found::OtherVerbs(allow) => {
                let message = format!("{} is not allowed at this path", head.method);
                return Err(Error::new(ErrorKind::MethodNotAllowed, message).header(ALLOW, allow).into());
            }
            Found::Nothing => {
                return Err(Error::not_found(
                    "there is nothing at this path; /api/v1/openapi.json lists what \
                                             there is",
                )
                .into());
            }
        };
        let (method, path) = (head.method.clone(), head.path.clone());
        let body = if endpoint.takes_body() {
            body::check_length(&head.headers)?;
            let body = body.await?;
            // To prune by a body that got lost would delete everything.
            if body.is_empty() && endpoint.needs_body() {
                return Err(Error::invalid("a body is expected here").into());
            }
            body
        } else {
            Bytes::new()
        };
        let call = Call::new(self.app.clone(), cid, endpoint.clone(), by, &params, &head, body)?;
        let doing = match call.is_deed()? {
            true => {
                let path = percent_decode_str(&path).decode_utf8_lossy(); // as people write names
                Some(audit::begin(&call, format!("{method} {path}"))?)
            }
            false => None,
        };
        let outcome = endpoint.call(call).await;
        if let Some(doing) = doing {
            doing.end(outcome.as_ref().map_or_else(Failure::status, Response::status)).await;
        }
        if let Err(failure) = &outcome {
            tracing::debug!(%cid, %method, path, %failure, "the admin API refuses");
        }
        outcome
    }
}
