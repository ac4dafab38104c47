//! Cross-origin requests: which web pages may read a channel's answers (Fetch standard, CORS protocol).

use bytes::Bytes;
use config::{Fault, Span};
use http::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE,
    ACCESS_CONTROL_REQUEST_HEADERS, ORIGIN, VARY,
};
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode};
use schemars::JsonSchema;
use sdk::HttpHead;
use serde::{Deserialize, Serialize};

/// Which web pages of other origins may use a channel.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Cors {
    /// The origins, such as `https://shop.example.com`; `*` is any.
    pub origins: Vec<String>,
    /// The request headers that pages may set; left out: those that they ask for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub headers: Vec<String>,
    /// The response headers that pages may read beside the usual ones.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub expose: Vec<String>,
    /// Whether browsers send cookies and log-ins along. Not together with the origin `*`.
    #[serde(default)]
    pub credentials: bool,
    /// How long browsers may keep the answer to a preflight; 10m if left out.
    #[serde(default = "ten_minutes")]
    pub max_age: Span,
}

fn ten_minutes() -> Span {
    Span::secs(600)
}

impl Cors {
    /// What the types alone do not show.
    pub(crate) fn check(&self) -> Vec<Fault> {
        let mut faults = Vec::new();
        if self.origins.is_empty() {
            faults.push(Fault::new("cors.origins", "there is no origin").hint("name at least one, or \"*\""));
        }
        for origin in self.origins.iter().filter(|o| *o != "*") {
            let host = origin.split_once("://").map(|(_, host)| host);
            if host.is_none_or(|host| host.is_empty() || host.contains('/'))
                || HeaderValue::from_str(origin).is_err()
            {
                let fault = Fault::new("cors.origins", format!("{origin:?} is not an origin"));
                faults.push(fault.hint("scheme, host and port only, such as https://shop.example.com"));
            }
        }
        if self.credentials && self.origins.iter().any(|o| o == "*") {
            let message = "browsers do not send log-ins to a channel that is open to any origin";
            faults.push(Fault::new("cors.credentials", message).hint("list the origins"));
        }
        for name in self.headers.iter().chain(&self.expose) {
            if HeaderName::try_from(name).is_err() {
                faults.push(Fault::new("cors", format!("{name:?} is not the name of a header")));
            }
        }
        faults
    }

    /// What an allowed origin is answered with; none: the origin is not allowed, or there is none.
    fn allowed(&self, head: &HttpHead) -> Option<HeaderValue> {
        let origin = head.headers.get(ORIGIN)?;
        if self.origins.iter().any(|o| o == "*") {
            return Some(HeaderValue::from_static("*"));
        }
        self.origins.iter().any(|o| o.as_bytes() == origin.as_bytes()).then(|| origin.clone())
    }

    /// The answer to a preflight.
    pub(crate) fn preflight(&self, head: &HttpHead, allow: &str) -> Response<Bytes> {
        let mut response = Response::new(Bytes::new());
        *response.status_mut() = StatusCode::NO_CONTENT;
        let headers = response.headers_mut();
        headers.append(
            VARY,
            HeaderValue::from_static("origin, access-control-request-method, access-control-request-headers"),
        );
        let Some(origin) = self.allowed(head) else { return response };
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        let mut put = |name: HeaderName, text: &str| {
            if let Ok(value) = HeaderValue::from_str(text) {
                headers.insert(name, value);
            }
        };
        put(ACCESS_CONTROL_ALLOW_METHODS, allow);
        put(ACCESS_CONTROL_MAX_AGE, &self.max_age.get().as_secs().to_string());
        match (self.headers.is_empty(), head.header(ACCESS_CONTROL_REQUEST_HEADERS)) {
            (true, Some(asked)) => put(ACCESS_CONTROL_ALLOW_HEADERS, asked),
            (true, None) => {}
            (false, _) => put(ACCESS_CONTROL_ALLOW_HEADERS, &self.headers.join(", ")),
        }
        if self.credentials {
            put(ACCESS_CONTROL_ALLOW_CREDENTIALS, "true");
        }
        response
    }

    /// Marks an answer as readable for the page that asked.
    pub(crate) fn mark(&self, head: &HttpHead, headers: &mut HeaderMap) {
        headers.append(VARY, HeaderValue::from_static("origin"));
        let Some(origin) = self.allowed(head) else { return };
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        if self.credentials {
            headers.insert(ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
        }
        let mut expose = self.expose.join(", ");
        expose.push_str(if expose.is_empty() { sdk::cid::CID_HEADER } else { ", x-zeugma-cid" });
        if let Ok(value) = HeaderValue::from_str(&expose) {
            headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, value);
        }
    }
}
