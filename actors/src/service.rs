//! Services: the kinds that run compiled-in ones and those of packages, and those that come with the engine.

pub mod billing;
pub mod echo;
pub mod ftp_handler;
pub mod input_logger;
pub mod jwt;
pub mod native;
pub mod ping;
pub mod python;
pub mod raw_request_logger;

use std::borrow::Cow;
use std::pin::Pin;
use std::sync::Arc;

use sdk::{Context, Request, Response, Result, Service, ServiceInfo};

/// The prefix of the engine's own services in programs written for the system that many users come from.
const ALIAS: &str = "zato.";
/// The prefix of the engine's own services.
const OWN: &str = "zeugma.";

/// The name that a service really has: `zato.ping` is `zeugma.ping`.
pub fn canonical(name: &str) -> Cow<'_, str> {
    match name.strip_prefix(ALIAS) {
        Some(rest) => Cow::Owned(format!("{OWN}{rest}")),
        None => Cow::Borrowed(name),
    }
}

/// The service, for callers with these roles only.
pub(crate) fn requiring(service: Arc<dyn Service>, roles: &[String]) -> Arc<dyn Service> {
    if roles.is_empty() {
        return service;
    }
    Arc::new(Requiring { service, roles: roles.to_vec() })
}

/// A service that wants roles. Whether a caller has them is looked at where services are called.
struct Requiring {
    service: Arc<dyn Service>,
    roles: Vec<String>,
}

impl Service for Requiring {
    fn info(&self) -> ServiceInfo {
        self.service.info()
    }

    fn reads_json(&self) -> bool {
        self.service.reads_json()
    }

    fn requires(&self) -> &[String] {
        &self.roles
    }

    /// Written out, so that the future of the service is handed on as it is, without another one around it.
    fn call<'s, 'c, 'f>(
        &'s self,
        ctx: &'c Context,
        request: Request,
    ) -> Pin<Box<dyn Future<Output = Result<Response>> + Send + 'f>>
    where
        's: 'f,
        'c: 'f,
        Self: 'f,
    {
        self.service.call(ctx, request)
    }
}
