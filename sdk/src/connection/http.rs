//! Requests to an HTTP server.

use std::pin::Pin;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use tokio::io::AsyncRead;
use tokio::time::Instant;

use super::Handle;
use crate::{Cid, Context, Error, Result};

/// The body of an outgoing request.
#[derive(Default)]
pub enum Body {
    /// None.
    #[default]
    Empty,
    /// Bytes in memory; such a request can be repeated.
    Bytes(Bytes),
    /// A stream; sent once.
    Stream(Pin<Box<dyn AsyncRead + Send + Sync>>),
}

/// One outgoing request.
#[derive(Default)]
pub struct HttpCall {
    /// The verb.
    pub method: Method,
    /// Appended to the connection's URL, if not empty.
    pub path: String,
    /// Fill the `{name}` parts of the URL; those left over become the query.
    pub params: Vec<(String, String)>,
    /// In addition to the connection's own.
    pub headers: HeaderMap,
    /// The body.
    pub body: Body,
}

/// What the server answered, whichever status it has.
#[derive(Clone, Debug)]
pub struct HttpAnswer {
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
}

impl HttpAnswer {
    /// The answer, if its status says that it went well.
    ///
    /// # Errors
    /// Upstream, with the status, for any other than 2xx.
    pub fn ok(self) -> Result<Self> {
        if self.status.is_success() {
            return Ok(self);
        }
        Err(Error::upstream(format!("the server answered {}", self.status)))
    }

    /// The body as JSON of this type.
    ///
    /// # Errors
    /// Upstream, if it is something else.
    pub fn json<T: serde::de::DeserializeOwned>(&self) -> Result<T> {
        let bad = |e| Error::upstream("the server's answer is not the JSON that was expected").because(e);
        serde_json::from_slice(&self.body).map_err(bad)
    }
}

/// What an HTTP connection does, each call before `deadline`. Kinds implement it; services use [`Http`].
#[async_trait]
pub trait HttpClient: Send + Sync + 'static {
    /// Sends a request, with the cid as a header.
    async fn send(&self, call: HttpCall, cid: Cid, deadline: Instant) -> Result<HttpAnswer>;

    /// Asks the server whether it is there.
    async fn ping(&self, deadline: Instant) -> Result<()>;
}

/// Requests to an HTTP server, for one invocation: each carries its cid.
#[derive(Clone)]
pub struct Http {
    client: Arc<dyn HttpClient>,
    cid: Cid,
    deadline: Instant,
}

impl Handle for Http {
    type Client = Arc<dyn HttpClient>;

    fn bind(client: Self::Client, ctx: &Context) -> Self {
        Self { client, cid: ctx.cid(), deadline: ctx.deadline() }
    }
}

impl Http {
    /// A request to be filled and sent.
    pub fn request(&self, method: Method) -> Draft<'_> {
        Draft { http: self, call: HttpCall { method, ..HttpCall::default() }, fault: None }
    }

    /// A GET request to be filled and sent.
    pub fn get(&self) -> Draft<'_> {
        self.request(Method::GET)
    }

    /// A POST request to be filled and sent.
    pub fn post(&self) -> Draft<'_> {
        self.request(Method::POST)
    }

    /// A PUT request to be filled and sent.
    pub fn put(&self) -> Draft<'_> {
        self.request(Method::PUT)
    }

    /// A PATCH request to be filled and sent.
    pub fn patch(&self) -> Draft<'_> {
        self.request(Method::PATCH)
    }

    /// A DELETE request to be filled and sent.
    pub fn delete(&self) -> Draft<'_> {
        self.request(Method::DELETE)
    }

    /// Asks the server whether it is there.
    ///
    /// # Errors
    /// Upstream if it is away, timeout if it is too slow.
    pub async fn ping(&self) -> Result<()> {
        self.client.ping(self.deadline).await
    }
}

/// An outgoing request that is being filled.
#[must_use = "a request does nothing until it is sent"]
pub struct Draft<'a> {
    http: &'a Http,
    call: HttpCall,
    fault: Option<Error>,
}

impl Draft<'_> {
    /// Appends to the connection's URL.
    pub fn path(mut self, path: impl Into<String>) -> Self {
        self.call.path = path.into();
        self
    }

    /// Fills `{name}` in the URL or, if there is none, becomes a query parameter.
    pub fn param(mut self, name: impl Into<String>, value: impl ToString) -> Self {
        self.call.params.push((name.into(), value.to_string()));
        self
    }

    /// Adds a header.
    pub fn header(mut self, name: &str, value: &str) -> Self {
        match (HeaderName::try_from(name), HeaderValue::try_from(value)) {
            (Ok(name), Ok(value)) => {
                self.call.headers.append(name, value);
            }
            _ => self.fault = Some(Error::internal(format!("{name:?} or its value cannot be a header"))),
        }
        self
    }

    /// Sends these bytes.
    pub fn body(mut self, body: impl Into<Bytes>) -> Self {
        self.call.body = Body::Bytes(body.into());
        self
    }

    /// Sends a stream.
    pub fn stream(mut self, body: Pin<Box<dyn AsyncRead + Send + Sync>>) -> Self {
        self.call.body = Body::Stream(body);
        self
    }

    /// Sends a value as JSON.
    pub fn json(mut self, value: &impl serde::Serialize) -> Self {
        match serde_json::to_vec(value) {
            Ok(body) => self.header("content-type", "application/json").body(body),
            Err(e) => {
                self.fault = Some(e.into());
                self
            }
        }
    }

    /// Sends it, with the cid as a header, and waits for the whole answer, whichever status it has.
    ///
    /// # Errors
    /// Upstream if the server is away or breaks off, timeout if it is too slow.
    pub async fn send(self) -> Result<HttpAnswer> {
        match self.fault {
            Some(fault) => Err(fault),
            None => self.http.client.send(self.call, self.http.cid, self.http.deadline).await,
        }
    }
}
