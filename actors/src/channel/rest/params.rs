//! The parameters of a REST channel.

use std::collections::BTreeMap;
use std::num::NonZeroU32;

use config::{Fault, Name, Size, Span};
use http::{HeaderName, HeaderValue, Method};
use schemars::JsonSchema;
use sdk::precedence::{ParamsPri, UrlParamsPri};
use serde::{Deserialize, Serialize};

use super::BODY_LIMIT;
use crate::admission::{Rate, Wanted};
use crate::channel::cors::Cors;
use crate::channel::failure::Shape;
use crate::routes::Mount;

/// A service at a path and a verb.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Params {
    /// The path. `{name}` is a parameter, one segment long; `{*name}` at the end is the rest of the path. A literal
    /// segment beats a parameter.
    pub path: String,
    /// The verb; left out: any. `GET` answers `HEAD` too. `OPTIONS` is answered by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub method: Option<String>,
    /// The host that requests must ask for; left out: any. A channel with a host beats one without.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// Chooses between channels of one path and verb: the media type that the caller must accept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub accept: Option<String>,
    /// The service that does the work.
    #[serde(deserialize_with = "service")]
    pub service: Name,
    /// The security definition that callers must satisfy; left out or null: anyone may call.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub security: Option<Name>,
    /// Roles, all of which the caller must have; the others are answered 403.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub require: Vec<String>,
    /// The networks from which requests may come, such as `10.0.0.0/8` or `::1`; left out: from anywhere. The others are
    /// answered 403.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub allow_from: Vec<String>,
    /// How often callers may call; left out: as often as they like. One more is answered 429.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate: Option<Rate>,
    /// `json`, or left out: the body is handed on as it came.
    #[serde(default, skip_serializing_if = "is_raw")]
    pub data_format: DataFormat,
    /// Which wins if an element of the input comes in the URL and in the body: `channel-params-over-msg`, the URL, or
    /// `msg-over-channel-params`, the body.
    #[serde(default, skip_serializing_if = "is_default")]
    pub params_pri: ParamsPri,
    /// Which wins if it comes in the path and in the query: `qs-over-path`, the query, or `path-over-qs`, the path.
    #[serde(default, skip_serializing_if = "is_default")]
    pub url_params_pri: UrlParamsPri,
    /// The media types that requests may have; left out: JSON ones on a `json` channel, any on a raw one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub request_types: Vec<String>,
    /// The media type of answers, unless the service says it; left out: `application/json` on a `json` channel,
    /// `text/plain` on a raw one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content_type: Option<String>,
    /// Headers put on every answer.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub response_headers: BTreeMap<String, String>,
    /// How answers of a `json` channel are wrapped: `flat` (not at all) or `response` (`{"response": ...}`).
    #[serde(default, skip_serializing_if = "is_default")]
    pub envelope: Envelope,
    /// How errors are written: `default`, `zato_env` or `problem` (RFC 9457).
    #[serde(default, skip_serializing_if = "is_default")]
    pub errors: Shape,
    /// Which web pages of other origins may use the channel; left out: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cors: Option<Cors>,
    /// The longest body that is accepted; 16MB if left out.
    #[serde(default = "body_limit", skip_serializing_if = "is_body_limit")]
    pub body_limit: Size,
    /// How many requests may be under way at once, on each node; left out: no limit of the channel's own. One more is
    /// answered 503.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub concurrency: Option<NonZeroU32>,
    /// How long a request may take; 30s if left out.
    #[serde(default = "deadline", skip_serializing_if = "is_deadline")]
    pub deadline: Span,
    /// Whether answers are compressed (br, gzip) for callers who accept that; true if left out.
    #[serde(default = "yes", skip_serializing_if = "Clone::clone")]
    pub compression: bool,
}

/// What the bodies of a channel are.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum DataFormat {
    /// Bytes, handed on as they are.
    #[default]
    Raw,
    /// JSON; anything else is refused.
    Json,
}

/// How answers are wrapped.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Envelope {
    /// Not at all.
    #[default]
    Flat,
    /// `{"response": ...}`.
    Response,
}

/// The engine's own services have a second name.
fn service<'de, D: serde::Deserializer<'de>>(d: D) -> Result<Name, D::Error> {
    let name = Name::deserialize(d)?;
    crate::service::canonical(name.as_str()).parse().map_err(serde::de::Error::custom)
}

fn body_limit() -> Size {
    BODY_LIMIT
}

fn deadline() -> Span {
    Span::secs(30)
}

fn yes() -> bool {
    true
}

fn is_raw(format: &DataFormat) -> bool {
    *format == DataFormat::Raw
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

fn is_body_limit(limit: &Size) -> bool {
    *limit == BODY_LIMIT
}

fn is_deadline(span: &Span) -> bool {
    *span == deadline()
}

/// A typical channel.
pub(super) fn example() -> Params {
    let text = r#"{"path": "/customer/{cust_id}", "method": "GET", "service": "get-customer", "security": "clerk",
                   "data_format": "json"}"#;
    match serde_json::from_str(text) {
        Ok(params) => params,
        // The contract test reads every kind's example, so this cannot ship.
        Err(error) => panic!("{error}"),
    }
}

impl Params {
    /// Where the channel is mounted.
    pub(super) fn mount(&self) -> Result<Mount, Fault> {
        let method = match &self.method {
            Some(text) => Some(verb(text)?),
            None => None,
        };
        let accept = match &self.accept {
            Some(text) => {
                Some(text.parse().map_err(|_| Fault::new("accept", format!("{text:?} is no media type")))?)
            }
            None => None,
        };
        Mount::parse(self.host.as_deref(), method, &self.path, accept)
    }

    /// What it says about who may come in.
    pub(super) fn admission(&self) -> Wanted<'_> {
        Wanted { allow_from: &self.allow_from, require: &self.require, rate: self.rate.as_ref() }
    }

    /// What the types alone do not show.
    pub(super) fn check(&self) -> Vec<Fault> {
        let mut faults: Vec<Fault> = self.mount().err().into_iter().collect();
        faults.extend(self.admission().check());
        if self.security.is_none() && !self.require.is_empty() {
            faults.push(
                Fault::new("require", "without a security definition nobody has a role")
                    .hint("name one with `security`"),
            );
        }
        faults.extend(self.cors.iter().flat_map(Cors::check));
        for (name, value) in &self.response_headers {
            if HeaderName::try_from(name).is_err() || HeaderValue::from_str(value).is_err() {
                faults.push(Fault::new(format!("response_headers.{name}"), "this cannot be a header"));
            }
        }
        let types = self.request_types.iter().map(|t| ("request_types", t));
        for (at, text) in types.chain(self.content_type.iter().map(|t| ("content_type", t))) {
            if text.parse::<mime::Mime>().is_err() {
                faults.push(
                    Fault::new(at, format!("{text:?} is no media type")).hint("such as application/json"),
                );
            }
        }
        if self.deadline.get().is_zero() {
            faults.push(Fault::new("deadline", "no request can be answered in no time").hint("such as 30s"));
        }
        let host = |h: &&String| h.is_empty() || h.contains(['/', ':', ' ']);
        if let Some(host) = self.host.as_ref().filter(host) {
            let fault = Fault::new("host", format!("{host:?} is no host name"));
            faults.push(fault.hint("without scheme and port, such as api.example.com"));
        }
        faults
    }
}

/// The verbs that channels may have.
const VERBS: [&str; 7] = ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"];

fn verb(text: &str) -> Result<Method, Fault> {
    let found = VERBS.iter().find(|verb| **verb == text);
    let unknown = || {
        let fault = Fault::new("method", format!("{text:?} is not a verb that channels may have"));
        fault.maybe_hint(config::fault::suggest(text, VERBS.into_iter()))
    };
    found.and_then(|verb| verb.parse().ok()).ok_or_else(unknown)
}
