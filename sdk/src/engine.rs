//! What a context asks of the engine around it: the seam between services and what runs them.

use std::any::Any;
use std::sync::Arc;

use async_trait::async_trait;
use chrono::{DateTime, Utc};

use crate::background::Background;
use crate::cache::Caching;
use crate::lock::Locking;
use crate::{Cid, Context, Error, Issuer, Request, Response, Result};

/// The engine, as a running request sees it: one revision, from start to end.
#[async_trait]
pub trait Engine: Send + Sync + 'static {
    /// The handle of a running connection; what it really is, its handle type knows.
    ///
    /// # Errors
    /// If there is none of this name, or it is paused.
    fn connection(&self, name: &str) -> Result<Arc<dyn Any + Send + Sync>>;

    /// The running security definitions that make tokens, in the order of their names.
    fn issuers(&self) -> Vec<Arc<dyn Issuer>> {
        Vec::new()
    }

    /// What keeps the caches.
    ///
    /// # Errors
    /// If this engine has none.
    fn caching(&self) -> Result<Arc<dyn Caching>> {
        Err(Error::unavailable("there are no caches here"))
    }

    /// What keeps the locks.
    ///
    /// # Errors
    /// If this engine has none.
    fn locking(&self) -> Result<Arc<dyn Locking>> {
        Err(Error::unavailable("there are no locks here"))
    }

    /// The time, by the engine's clock.
    fn now(&self) -> DateTime<Utc>;

    /// Whether there is a service of this name that runs.
    fn has_service(&self, name: &str) -> bool;

    /// Calls another service, within the caller's deadline.
    ///
    /// # Errors
    /// What that service answers; not found; or the calls are nested too deeply.
    async fn invoke(&self, caller: &Context, service: &str, request: Request) -> Result<Response>;

    /// Begins calls that nobody waits for. Their cid is answered.
    ///
    /// # Errors
    /// If one of the services is not there, or too many are running already.
    fn begin(self: Arc<Self>, caller: &Context, work: Background) -> Result<Cid>;
}
