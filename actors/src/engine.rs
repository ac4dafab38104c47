//! Calling services: the guard around each call, and what a context may ask of the snapshot it runs in.

use std::any::Any;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use config::Family;
use futures_util::FutureExt as _;
use sdk::cache::Caching;
use sdk::call::Call;
use sdk::engine::Engine;
use sdk::lock::Locking;
use sdk::{
    Background, ChannelInfo, Cid, Context, Error, Issuer, Origin, Request, Response, Result, Security,
    Service,
};
use tokio::time::Instant;

use crate::admission::permitted;
use crate::background;
use crate::part::{HttpChannel, Part};
use crate::running::Running;
use crate::snapshot::Snapshot;

/// How long a service that nobody waits for may run.
pub const ASYNC_DEADLINE: Duration = Duration::from_secs(60);

/// A service that runs, ready to be called.
#[derive(Clone)]
pub struct Bound {
    /// The part.
    pub running: Arc<Running>,
    /// Its name, as contexts carry it.
    pub name: Arc<str>,
    /// See [`Service::reads_json`].
    pub reads_json: bool,
    service: Arc<dyn Service>,
}

impl Bound {
    /// From a running service part.
    pub fn new(running: &Arc<Running>) -> Option<Self> {
        match &running.part {
            Part::Service(service) => Some(Self {
                running: running.clone(),
                name: running.id().name.as_str().into(),
                reads_json: service.reads_json(),
                service: service.clone(),
            }),
            _ => None,
        }
    }

    /// Calls it: within the context's deadline, counted, and with a panic turned into an error. When the deadline is
    /// over, or the caller lets go, the service is dropped where it waits.
    ///
    /// # Errors
    /// Forbidden without the roles; what the service answers; unavailable while it is paused; timeout; internal after a panic.
    pub async fn call(&self, ctx: &Context, request: Request) -> Result<Response> {
        let begun = Instant::now();
        let roles = self.service.requires();
        if !roles.is_empty() && ctx.origin() != Origin::Within {
            permitted(ctx.caller(), roles)?;
        }
        let _pass = self.running.gate.enter(self.running.id())?;
        let counted = self.running.meter.begin(begun);
        let call = Call { cid: ctx.cid(), service: self.name.clone() };
        let guarded = AssertUnwindSafe(call.scope(self.service.call(ctx, request))).catch_unwind();
        let outcome = match tokio::time::timeout_at(ctx.deadline(), guarded).await {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(panic)) => {
                self.running.meter.panicked();
                Err(Error::internal(format!("service {} panicked: {}", self.name, panic_text(&*panic))))
            }
            Err(_) => Err(Error::timeout(format!("service {} took too long", self.name))),
        };
        counted.end(&outcome);
        outcome
    }
}

/// What a panic said.
pub(crate) fn panic_text(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("(no message)")
}

/// A channel that answers HTTP requests, with all that it refers to already found.
pub struct Route {
    /// The channel's part.
    pub running: Arc<Running>,
    /// The channel itself.
    pub channel: Arc<dyn HttpChannel>,
    /// Who checks callers, if somebody does; the reason, if that definition does not run.
    pub security: Result<Option<Arc<dyn Security>>, String>,
    /// The service; the reason, if it does not run.
    pub service: Result<Bound, String>,
}

#[async_trait]
impl Engine for Snapshot {
    fn connection(&self, name: &str) -> Result<Arc<dyn Any + Send + Sync>> {
        match self.part(Family::Connection, name).map(|running| &running.part) {
            Some(Part::Connection(connection)) => Ok(connection.client()),
            _ => match self.why_not(Family::Connection, name) {
                Some(reason) => {
                    Err(Error::unavailable(format!("connection {name:?} does not run: {reason}")))
                }
                // As one that does not run: an operator deleted it, or has not defined it yet.
                None => Err(Error::unavailable(format!("there is no connection {name:?}"))),
            },
        }
    }

    fn issuers(&self) -> Vec<Arc<dyn Issuer>> {
        let issuer = |running: &Arc<Running>| match &running.part {
            Part::Security(guard) => guard.issuer.clone(),
            _ => None,
        };
        let mut issuers: Vec<_> = self.parts.values().filter_map(issuer).collect();
        issuers.sort_by(|a, b| a.name().cmp(b.name()));
        issuers
    }

    fn caching(&self) -> Result<Arc<dyn Caching>> {
        Ok(self.around.caching.clone())
    }

    fn locking(&self) -> Result<Arc<dyn Locking>> {
        Ok(self.around.locking.clone())
    }

    fn now(&self) -> DateTime<Utc> {
        self.around.clock.now()
    }

    fn has_service(&self, name: &str) -> bool {
        self.service(name).is_ok()
    }

    async fn invoke(&self, caller: &Context, service: &str, request: Request) -> Result<Response> {
        let bound = self.service(service)?;
        let ctx = caller.nested(bound.name.clone(), ChannelInfo::new("invoke", "invoke"))?;
        bound.call(&ctx, request).await
    }

    fn begin(self: Arc<Self>, caller: &Context, work: Background) -> Result<Cid> {
        background::begin(self, caller, work)
    }
}
