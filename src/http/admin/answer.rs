//! What the admin API answers: JSON, and one form for all that goes wrong.

use std::fmt;

use bytes::Bytes;
use config::{Fault, Faults};
use http::StatusCode;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use hyper::body::Body as _;
use sdk::{Cid, Error};
use serde::Serialize;
use warp::reply::Response;

use super::shapes::{ErrorBody, Told};
use crate::definitions::Refused;

/// The media type of JSON.
pub(super) const JSON: HeaderValue = HeaderValue::from_static("application/json");
/// The word for several faults of definitions, beside those of [`sdk::ErrorKind`].
pub(super) const FAULTS: &str = "faults";

/// Why an endpoint does not answer what was asked for.
#[derive(Debug)]
pub(super) enum Failure {
    /// One thing is wrong.
    Error(Error),
    /// Definitions are wrong: everything that is. This is the one failure with a status of its own, 422.
    Faults(Faults),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Error(error)
    }
}

impl From<Faults> for Failure {
    fn from(faults: Faults) -> Self {
        Self::Faults(faults)
    }
}

impl From<Refused> for Failure {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::Faults(faults) => Self::Faults(faults),
            other => Self::Error(other.into()),
        }
    }
}

impl Failure {
    /// The status that it is answered with.
    pub(super) fn status(&self) -> StatusCode {
        match self {
            Self::Error(error) => error.kind().status(),
            Self::Faults(_) => StatusCode::UNPROCESSABLE_ENTITY,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Error(error) => error.fmt(f),
            Self::Faults(faults) => faults.fmt(f),
        }
    }
}

/// An answer without a body.
pub(super) fn empty(status: StatusCode) -> Response {
    let mut response = Response::new(Bytes::new().into());
    *response.status_mut() = status;
    response
}

/// An answer with these bytes.
pub(super) fn bytes(content_type: HeaderValue, body: impl Into<Bytes>) -> Response {
    let mut response = Response::new(body.into().into());
    response.headers_mut().insert(CONTENT_TYPE, content_type);
    response
}

/// An answer with this value.
pub(super) fn json(value: &impl Serialize) -> Result<Response, Failure> {
    Ok(bytes(JSON, serde_json::to_vec(value).map_err(Error::from)?))
}

/// The same to a HEAD request: the headers say what a GET would have answered.
pub(super) fn without_body(mut response: Response) -> Response {
    if let Some(length) = response.body().size_hint().exact() {
        response.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(length));
    }
    *response.body_mut() = Bytes::new().into();
    response
}

/// What the caller is told about a failure. The log has the rest of an internal one, under the same cid.
pub(super) fn failed(failure: Failure, cid: Cid) -> Response {
    let status = failure.status();
    let (told, error) = match failure {
        Failure::Faults(Faults(faults)) => {
            let message = match faults.len() {
                1 => "there is 1 fault; nothing was changed".to_owned(),
                n => format!("there are {n} faults; nothing was changed"),
            };
            let told = Told { kind: FAULTS.into(), message, faults, cid: cid.to_string() };
            (told, None)
        }
        Failure::Error(error) => {
            let kind = error.kind();
            if kind == sdk::ErrorKind::Internal {
                tracing::error!(%cid, %error, "the admin API failed");
            }
            let faults = error.details().iter().map(|d| Fault::new(d.at.clone(), d.message.clone()));
            let (message, faults) = (error.message().to_owned(), faults.collect());
            let told = Told { kind: kind.as_str().into(), message, faults, cid: cid.to_string() };
            (told, Some(error))
        }
    };
    let body = serde_json::to_vec(&ErrorBody { error: told }).unwrap_or_default();
    let mut response = bytes(JSON, body);
    *response.status_mut() = status;
    if let Some(error) = error {
        if let Some((name, value)) = error.answer_header() {
            response.headers_mut().insert(name.clone(), value.clone());
        }
        if let Some(wait) = error.wait() {
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(wait.as_secs().max(1)));
        }
    }
    response
}
