//! What comes in: the bytes as they came over the wire, and what the channel knows about them.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use http::header::AUTHORIZATION;
use http::{HeaderMap, Method, Uri};
use percent_encoding::percent_decode_str;
use serde_json::{Map, Value};

use crate::precedence::Precedence;
use crate::{Cid, Error, Result};

/// The head of an HTTP request: all that is known before its body is read.
#[derive(Clone, Debug)]
pub struct HttpHead {
    /// The verb.
    pub method: Method,
    /// Path and query.
    pub uri: Uri,
    /// The headers.
    pub headers: HeaderMap,
    /// Who is at the other end of the connection.
    pub peer: SocketAddr,
    /// The certificates that they have shown, as DER, their own first; none without TLS, or if they have shown none.
    /// That they hold the key of the first is proven; whether anybody vouches for it is not.
    pub certificates: Option<Arc<[Bytes]>>,
    /// The path parameters, decoded.
    pub params: Vec<(Arc<str>, String)>,
}

impl HttpHead {
    /// The path parameter of this name.
    pub fn param(&self, name: &str) -> Option<&str> {
        self.params.iter().find(|(n, _)| &**n == name).map(|(_, v)| v.as_str())
    }

    /// The query parameters, decoded, in the order written.
    pub fn query(&self) -> impl Iterator<Item = (String, String)> {
        form_urlencoded::parse(self.uri.query().unwrap_or_default().as_bytes()).into_owned()
    }

    /// The path, decoded.
    pub fn path(&self) -> String {
        percent_decode_str(self.uri.path()).decode_utf8_lossy().into_owned()
    }

    /// The token in the one `Authorization` header, if its scheme is `Bearer`.
    pub fn bearer(&self) -> Option<&str> {
        bearer(&self.headers)
    }

    /// A header's text, if it is there and is text.
    pub fn header(&self, name: impl http::header::AsHeaderName) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }
}

/// The token in the one `Authorization` header, if its scheme is `Bearer` (RFC 6750). With two such headers there is none:
/// nobody knows which of them others have looked at.
pub fn bearer(headers: &HeaderMap) -> Option<&str> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let (value, None) = (values.next()?.to_str().ok()?, values.next()) else { return None };
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then_some(token)
}

/// What a service is called with.
#[derive(Clone, Debug, Default)]
pub struct Request {
    /// The body, byte for byte as it came over the wire. What came compressed through a channel with JSON is unpacked, and
    /// the headers say neither Content-Encoding nor Content-Length then.
    pub raw: Bytes,
    /// The HTTP side, if the channel is of that kind.
    pub http: Option<Arc<HttpHead>>,
    /// What a service that calls another one says beside the body.
    pub said: Option<Arc<Said>>,
    /// Which place wins where an element of the input comes in several.
    pub precedence: Precedence,
}

/// What a service that calls another one says beside the body.
#[derive(Clone, Debug, Default)]
pub struct Said {
    /// How the body is to be read: `json`, `text` or `raw`; none where it is to be seen from the body.
    pub form: Option<&'static str>,
    /// The invocation whose outcome this request tells of.
    pub in_reply_to: Option<Cid>,
    /// What the caller hands along.
    pub environ: Map<String, Value>,
}

impl Request {
    /// A request with this body and no HTTP side.
    pub fn new(raw: impl Into<Bytes>) -> Self {
        Self { raw: raw.into(), ..Self::default() }
    }

    /// The same, with this said beside the body.
    pub fn saying(self, said: Said) -> Self {
        Self { said: Some(Arc::new(said)), ..self }
    }

    /// A request with this value as JSON.
    ///
    /// # Errors
    /// If the value cannot be written as JSON.
    pub fn json(value: &impl serde::Serialize) -> Result<Self> {
        Ok(Self::new(serde_json::to_vec(value)?))
    }

    /// The body as JSON; an empty body is `null`.
    ///
    /// # Errors
    /// If it is not JSON, with line and column.
    pub fn payload(&self) -> Result<Value> {
        if self.raw.is_empty() {
            return Ok(Value::Null);
        }
        serde_json::from_slice(&self.raw).map_err(|e| malformed(&e))
    }
}

/// The error for a body that is not JSON. The parser's words name line and column, never the data.
pub fn malformed(error: &serde_json::Error) -> Error {
    Error::invalid("the body is not valid JSON").detail("", error.to_string())
}
