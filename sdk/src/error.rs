//! One error for everything: what went wrong, for whom, and whether to try again.

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use http::StatusCode;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The result of anything a service does.
pub type Result<T, E = Error> = std::result::Result<T, E>;

type Source = Box<dyn std::error::Error + Send + Sync>;

/// What went wrong, as far as a caller needs to know. The list is closed and short on purpose; each has one HTTP
/// status, given in one place.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ErrorKind {
    /// The caller sent something that cannot be right.
    Invalid,
    /// The caller did not say who they are, or not truthfully.
    Unauthenticated,
    /// The caller may not do this.
    Forbidden,
    /// There is no such thing.
    NotFound,
    /// The thing is there, the verb is not.
    MethodNotAllowed,
    /// Somebody else changed it meanwhile.
    Conflict,
    /// More bytes than allowed.
    TooLarge,
    /// The request itself came too slowly.
    SlowRequest,
    /// A media type that is not understood here.
    UnsupportedMedia,
    /// No form of the answer suits the caller.
    NotAcceptable,
    /// The caller, or all of them, ask too much right now.
    TooMany,
    /// Our own fault. The caller gets the cid, the log has the rest.
    Internal,
    /// A system behind us failed.
    Upstream,
    /// Switched off, paused or overloaded for now.
    Unavailable,
    /// It took too long.
    Timeout,
}

impl ErrorKind {
    /// Whether the same request may succeed a little later.
    pub fn is_retryable(self) -> bool {
        matches!(self, Self::TooMany | Self::Unavailable | Self::Timeout | Self::Upstream)
    }

    /// The HTTP status. This is the only place that says so.
    pub fn status(self) -> StatusCode {
        match self {
            Self::Invalid => StatusCode::BAD_REQUEST,
            Self::Unauthenticated => StatusCode::UNAUTHORIZED,
            Self::Forbidden => StatusCode::FORBIDDEN,
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::NotAcceptable => StatusCode::NOT_ACCEPTABLE,
            Self::Conflict => StatusCode::CONFLICT,
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::SlowRequest => StatusCode::REQUEST_TIMEOUT,
            Self::UnsupportedMedia => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::TooMany => StatusCode::TOO_MANY_REQUESTS,
            Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
            Self::Upstream => StatusCode::BAD_GATEWAY,
            Self::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
            Self::Timeout => StatusCode::GATEWAY_TIMEOUT,
        }
    }

    /// The word used in error bodies.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Invalid => "invalid",
            Self::Unauthenticated => "unauthenticated",
            Self::Forbidden => "forbidden",
            Self::NotFound => "not-found",
            Self::MethodNotAllowed => "method-not-allowed",
            Self::Conflict => "conflict",
            Self::TooLarge => "too-large",
            Self::SlowRequest => "slow-request",
            Self::UnsupportedMedia => "unsupported-media",
            Self::NotAcceptable => "not-acceptable",
            Self::TooMany => "too-many",
            Self::Internal => "internal",
            Self::Upstream => "upstream",
            Self::Unavailable => "unavailable",
            Self::Timeout => "timeout",
        }
    }
}

/// One detail of an error: where in the input, and what.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Detail {
    /// The element, such as `/phones/0/type`, if there is one.
    #[serde(skip_serializing_if = "String::is_empty", default)]
    pub at: String,
    /// What is wrong with it.
    pub message: String,
}

/// What went wrong. The message is for the caller, the source is for the log only.
#[derive(Debug)]
pub struct Error(Box<Inner>);

#[derive(Debug)]
struct Inner {
    kind: ErrorKind,
    message: Cow<'static, str>,
    details: Vec<Detail>,
    retry_after: Option<Duration>,
    /// A header that the answer must carry, such as `WWW-Authenticate` or `Allow`.
    header: Option<(http::HeaderName, http::HeaderValue)>,
    source: Option<Source>,
}

macro_rules! shorthands {
    ($($(#[$doc:meta])* $name:ident => $kind:ident;)*) => {$(
        $(#[$doc])*
        pub fn $name(message: impl Into<Cow<'static, str>>) -> Self {
            Self::new(ErrorKind::$kind, message)
        }
    )*};
}

impl Error {
    /// An error of this kind with a message for the caller.
    pub fn new(kind: ErrorKind, message: impl Into<Cow<'static, str>>) -> Self {
        Self(Box::new(Inner {
            kind,
            message: message.into(),
            details: Vec::new(),
            retry_after: None,
            header: None,
            source: None,
        }))
    }

    shorthands! {
        /// The caller sent something that cannot be right.
        invalid => Invalid;
        /// There is no such thing.
        not_found => NotFound;
        /// The caller may not do this.
        forbidden => Forbidden;
        /// The caller is not known.
        unauthenticated => Unauthenticated;
        /// Somebody else changed it meanwhile.
        conflict => Conflict;
        /// Our own fault: the caller is told only that, the message goes to the log.
        internal => Internal;
        /// A system behind us failed.
        upstream => Upstream;
        /// Switched off, paused or overloaded for now.
        unavailable => Unavailable;
        /// It took too long.
        timeout => Timeout;
    }

    /// The same, caused by `source`, which only the log shows.
    pub fn because(mut self, source: impl Into<Source>) -> Self {
        self.0.source = Some(source.into());
        self
    }

    /// The same with one more detail.
    pub fn detail(mut self, at: impl Into<String>, message: impl Into<String>) -> Self {
        self.0.details.push(Detail { at: at.into(), message: message.into() });
        self
    }

    /// The same, telling the caller when to try again.
    pub fn retry_after(mut self, wait: Duration) -> Self {
        self.0.retry_after = Some(wait);
        self
    }

    /// The same with a header that the answer must carry.
    pub fn header(mut self, name: http::HeaderName, value: http::HeaderValue) -> Self {
        self.0.header = Some((name, value));
        self
    }

    /// What went wrong.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// The message for the caller. An internal error tells them nothing but that it is ours.
    pub fn message(&self) -> &str {
        match self.0.kind {
            ErrorKind::Internal => "an internal error; the log has more under this cid",
            _ => &self.0.message,
        }
    }

    /// The details for the caller.
    pub fn details(&self) -> &[Detail] {
        match self.0.kind {
            ErrorKind::Internal => &[],
            _ => &self.0.details,
        }
    }

    /// When to try again, if that is known.
    pub fn wait(&self) -> Option<Duration> {
        self.0.retry_after
    }

    /// The header that the answer must carry.
    pub fn answer_header(&self) -> Option<&(http::HeaderName, http::HeaderValue)> {
        self.0.header.as_ref()
    }
}

impl fmt::Display for Error {
    /// The whole story, for the log: the message and each cause.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0.message)?;
        for detail in &self.0.details {
            write!(f, "; {}: {}", detail.at, detail.message)?;
        }
        let mut cause: Option<&dyn std::error::Error> = self.0.source.as_deref().map(|s| s as _);
        while let Some(error) = cause {
            write!(f, ": {error}")?;
            cause = error.source();
        }
        Ok(())
    }
}

/// An error that a service did not foresee is our own fault.
impl<E: std::error::Error + Send + Sync + 'static> From<E> for Error {
    fn from(error: E) -> Self {
        Self::internal("unexpected").because(error)
    }
}
