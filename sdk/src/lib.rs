//! What the author of a service sees: the service attribute, Context, Request, Response, Error and connections.

#![cfg_attr(test, allow(clippy::disallowed_methods))] // a test may spawn, and look at the clock

pub mod background;
pub mod cache;
pub mod call;
pub mod cid;
pub mod connection;
pub mod context;
pub mod engine;
pub mod error;
pub mod input;
pub mod lock;
pub mod precedence;
pub mod request;
pub mod response;
pub mod security;
pub mod service;
pub mod task;

pub use background::Background;
pub use cid::Cid;
pub use connection::ftp::Ftp;
pub use connection::http::Http;
pub use connection::vault::Vault;
pub use context::{ChannelInfo, Context, Logger, Origin};
pub use error::{Error, ErrorKind, Result};
pub use lock::Lock;
pub use request::{HttpHead, Request, Said};
pub use response::Response;
pub use security::{Admitted, Caller, Issuer, Security, Verdict, Visit};
pub use service::{Service, ServiceInfo};
pub use zeugma_macros::service;

pub use bytes::Bytes;
/// A JSON value.
pub use serde_json::Value;

/// What the code written by the `service` attribute refers to; not for people.
#[doc(hidden)]
pub mod private {
    pub use crate::input::Decoder;
    pub use async_trait::async_trait;
    pub use schemars;
    pub use std::sync::OnceLock;
}
