//! What goes out: body, status and headers.

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

use crate::Result;

/// The media type of JSON.
pub const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// What a service answers. Without a status it is 200; without a content type the channel chooses one.
#[derive(Clone, Debug, Default)]
pub struct Response {
    /// The body.
    pub body: Bytes,
    /// The status on channels that have one.
    pub status: StatusCode,
    /// Headers on channels that have them.
    pub headers: HeaderMap,
}

impl Response {
    /// An answer with these bytes.
    pub fn new(body: impl Into<Bytes>) -> Self {
        Self { body: body.into(), ..Self::default() }
    }

    /// An answer with this value as JSON.
    ///
    /// # Errors
    /// If the value cannot be written as JSON.
    pub fn json(value: &impl serde::Serialize) -> Result<Self> {
        Ok(Self::new(serde_json::to_vec(value)?).with_header(CONTENT_TYPE, JSON))
    }

    /// The same with this status.
    pub fn with_status(mut self, status: StatusCode) -> Self {
        self.status = status;
        self
    }

    /// The same with this header; an earlier one of the name is replaced.
    pub fn with_header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.insert(name, value);
        self
    }

    /// The body as JSON of this type.
    ///
    /// # Errors
    /// If it is something else.
    pub fn parse<T: serde::de::DeserializeOwned>(&self) -> Result<T> {
        serde_json::from_slice(&self.body).map_err(|e| crate::request::malformed(&e))
    }
}
