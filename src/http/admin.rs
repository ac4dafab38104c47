//! The admin API: one catch-all filter in front of one table of endpoints.

mod answer;
mod body;
mod call;
mod definitions;
mod endpoint;
mod events;
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

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::FutureExt as _;
use http::header::{ALLOW, AUTHORIZATION, HeaderValue, WWW_AUTHENTICATE};
use http::{HeaderMap, Method, StatusCode};
use sdk::cid::CID_HEADER;
use sdk::{Cid, Error, ErrorKind};
use warp::Filter as _;
use warp::filters::BoxedFilter;
use warp::reply::Response;

use self::answer::Failure;
use self::call::Call;
use self::endpoint::{Endpoint, Found};
use crate::app::App;

/// All of the admin listener.
pub fn filter(app: &App) -> BoxedFilter<(Response,)> {
    let api = Arc::new(Api { app: app.clone(), endpoints: table::endpoints() });
    let query = warp::query::raw().or(warp::any().map(String::new)).unify();
    warp::method()
        .and(warp::path::full())
        .and(query)
        .and(warp::header::headers_cloned())
        .and(warp::body::stream())
        .then(move |method, path: warp::path::FullPath, query, headers, body| {
            let api = api.clone();
            let head = Head { method, path: path.as_str().to_owned(), query, headers };
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

/// What is known of a request before its body is read.
struct Head {
    method: Method,
    path: String,
    query: String,
    headers: HeaderMap,
}

struct Api {
    app: App,
    endpoints: Vec<Arc<Endpoint>>,
}

impl Api {
    async fn serve<B>(&self, cid: Cid, head: Head, body: B) -> Result<Response, Failure>
    where
        B: Future<Output = sdk::Result<Bytes>>,
    {
        let found = endpoint::find(&self.endpoints, &head.method, &head.path);
        // Before anything else is said: a stranger learns nothing about what is here.
        if !matches!(&found, Found::Here(endpoint, _) if endpoint.open) {
            self.known(&head.headers)?;
        }
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
        let call = Call::new(self.app.clone(), cid, endpoint.clone(), &params, &head, body)?;
        let outcome = endpoint.call(call).await;
        if let Err(failure) = &outcome {
            tracing::debug!(%cid, %method, path, %failure, "the admin API refuses");
        }
        outcome
    }

    /// Whether the caller shows the token.
    fn known(&self, headers: &HeaderMap) -> Result<(), Failure> {
        let wanted = self.app.admin_token.reveal().as_bytes();
        let shown = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
        let token = shown.and_then(|value| value.split_once(' '));
        let token = token.filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer")).map(|(_, t)| t.trim());
        let same =
            |token: &str| aws_lc_rs::constant_time::verify_slices_are_equal(token.as_bytes(), wanted).is_ok();
        if token.is_some_and(same) {
            return Ok(());
        }
        let message = match shown {
            None => "a bearer token is wanted: the first start of the node wrote it to admin.token",
            Some(_) => "this is not the admin token of this node",
        };
        let challenge = HeaderValue::from_static("Bearer realm=\"zeugma\"");
        Err(Error::unauthenticated(message).header(WWW_AUTHENTICATE, challenge).into())
    }
}
