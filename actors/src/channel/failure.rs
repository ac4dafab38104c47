//! The body of an error, in the shape that a channel's callers expect.

use bytes::Bytes;
use http::header::{CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderName, HeaderValue, Response};
use schemars::JsonSchema;
use sdk::cid::CID_HEADER;
use sdk::{Cid, Error};
use serde::{Deserialize, Serialize};
use serde_json::json;

/// How errors are written.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Shape {
    /// `{"error": {"kind", "message", "cid", "details"}}`.
    #[default]
    Default,
    /// `{"zato_env": {"result", "cid", "details"}}`, for clients written for that system.
    ZatoEnv,
    /// RFC 9457 problem details.
    Problem,
}

/// An error as an HTTP response.
pub fn render(shape: Shape, cid: Cid, error: &Error) -> Response<Bytes> {
    let status = error.kind().status();
    let (content_type, body) = match shape {
        Shape::Default => (
            "application/json",
            json!({"error": {
                "kind": error.kind(), "message": error.message(), "cid": cid.as_str(), "details": error.details(),
            }}),
        ),
        Shape::ZatoEnv => {
            let details = error.details().iter().map(|d| format!("{} {}", d.at, d.message).trim().to_owned());
            let all =
                std::iter::once(error.message().to_owned()).chain(details).collect::<Vec<_>>().join("; ");
            (
                "application/json",
                json!({"zato_env": {"result": "ZATO_ERROR", "cid": cid.as_str(), "details": all}}),
            )
        }
        Shape::Problem => (
            "application/problem+json",
            json!({
                "type": format!("urn:zeugma:error:{}", error.kind().as_str()),
                "title": status.canonical_reason(), "status": status.as_u16(), "detail": error.message(),
                "instance": format!("urn:zeugma:cid:{cid}"), "errors": error.details(),
            }),
        ),
    };
    let mut response = Response::new(Bytes::from(body.to_string()));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    if let Some(wait) = error.wait() {
        response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(wait.as_secs().max(1)));
    }
    if let Some((name, value)) = error.answer_header() {
        response.headers_mut().insert(name.clone(), value.clone());
    }
    stamp(&mut response, cid);
    response
}

/// Puts the correlation id on a response.
pub fn stamp(response: &mut Response<Bytes>, cid: Cid) {
    if let Ok(value) = HeaderValue::from_str(cid.as_str()) {
        response.headers_mut().insert(HeaderName::from_static(CID_HEADER), value);
    }
}
