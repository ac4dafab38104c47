//! The context of one invocation: who, from where, until when, and the way to everything else.

use std::any::type_name;
use std::fmt;
use std::marker::PhantomData;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use tokio::time::Instant;

use crate::cache::Cache;
use crate::connection::Handle;
use crate::engine::Engine;
use crate::{Background, Caller, Cid, Error, Issuer, Lock, Request, Response, Result, lock};

/// Where a request came in.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ChannelInfo {
    /// The name of the channel; for other origins, a word for them.
    pub name: Arc<str>,
    /// The type, such as `rest`, `invoke`, `invoke-async`, `scheduler`.
    pub r#type: &'static str,
    /// The type of the job, such as `interval`, if it is one that came due.
    pub job: Option<&'static str>,
    /// How it reads bodies: `json` or `raw`; none where that is not said.
    pub data_format: Option<&'static str>,
}

impl ChannelInfo {
    /// From its name and its type.
    pub fn new(name: impl Into<Arc<str>>, r#type: &'static str) -> Self {
        Self { name: name.into(), r#type, job: None, data_format: None }
    }

    /// Of a job that came due: its name and its type.
    pub fn of_job(name: impl Into<Arc<str>>, job: &'static str) -> Self {
        Self { name: name.into(), r#type: "scheduler", job: Some(job), data_format: None }
    }

    /// The same, with how it reads bodies.
    pub fn reading(self, data_format: &'static str) -> Self {
        Self { data_format: Some(data_format), ..self }
    }
}

/// From where a request comes in the end, however many services have handed it on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Origin {
    /// From outside, by a channel; with the address, where there is one.
    Outside(Option<IpAddr>),
    /// From the engine itself, such as a job, or from an operator: they need no roles.
    Within,
}

/// How long to wait before a lock is asked for again: at first, and at most.
const LOCK_PAUSES: (Duration, Duration) = (Duration::from_millis(10), Duration::from_millis(200));

/// How deep services may call each other: deeper is taken for a circle.
pub const MAX_DEPTH: usize = 16;

/// The context of one invocation. A clone is cheap and the same context.
#[derive(Clone)]
pub struct Context(Arc<Inner>);

struct Inner {
    cid: Cid,
    caller: Option<Caller>,
    channel: ChannelInfo,
    deadline: Instant,
    /// The service that runs, and below it those that called it.
    service: Arc<str>,
    parent: Option<Context>,
    depth: usize,
    origin: Origin,
    engine: Arc<dyn Engine>,
}

impl Context {
    /// The context of a request that has just come in.
    pub fn new(
        cid: Cid,
        caller: Option<Caller>,
        channel: ChannelInfo,
        deadline: Instant,
        service: Arc<str>,
        engine: Arc<dyn Engine>,
    ) -> Self {
        let (parent, depth, origin) = (None, 1, Origin::Outside(None));
        Self(Arc::new(Inner { cid, caller, channel, deadline, service, parent, depth, origin, engine }))
    }

    /// The same, from there. A context that says nothing of it is that of a stranger from outside.
    pub fn with_origin(mut self, origin: Origin) -> Self {
        // It was just made, so nobody else has it.
        if let Some(inner) = Arc::get_mut(&mut self.0) {
            inner.origin = origin;
        }
        self
    }

    /// The context in which this one calls `service`: the same request, one level deeper.
    ///
    /// # Errors
    /// If the service is already among the callers, or the calls are nested too deeply.
    pub fn nested(&self, service: Arc<str>, channel: ChannelInfo) -> Result<Self> {
        let mut above = Some(self);
        while let Some(ctx) = above {
            if ctx.0.service == service {
                return Err(Error::internal(format!("service {service:?} would invoke itself ({self})")));
            }
            above = ctx.0.parent.as_ref();
        }
        if self.0.depth >= MAX_DEPTH {
            return Err(Error::internal(format!("invocations nested deeper than {MAX_DEPTH}: {self}")));
        }
        let Inner { cid, ref caller, deadline, ref engine, depth, origin, .. } = *self.0;
        let (caller, engine, parent) = (caller.clone(), engine.clone(), Some(self.clone()));
        Ok(Self(Arc::new(Inner {
            cid,
            caller,
            channel,
            deadline,
            service,
            parent,
            depth: depth + 1,
            origin,
            engine,
        })))
    }

    /// The correlation id.
    pub fn cid(&self) -> Cid {
        self.0.cid
    }

    /// Who calls, if the channel has security.
    pub fn caller(&self) -> Option<&Caller> {
        self.0.caller.as_ref()
    }

    /// From where the request comes in the end.
    pub fn origin(&self) -> Origin {
        self.0.origin
    }

    /// Where the request came in.
    pub fn channel(&self) -> &ChannelInfo {
        &self.0.channel
    }

    /// The name of the service that runs.
    pub fn service(&self) -> &str {
        &self.0.service
    }

    /// When the caller stops waiting.
    pub fn deadline(&self) -> Instant {
        self.0.deadline
    }

    /// The time, by the engine's clock.
    pub fn now(&self) -> DateTime<Utc> {
        self.0.engine.now()
    }

    /// A log whose lines carry the cid and the service.
    pub fn logger(&self) -> Logger<'_> {
        Logger(PhantomData)
    }

    /// A connection, by its name in the configuration.
    ///
    /// ```ignore
    /// ctx.connection::<Ftp>("my.ftp")?.put("/in/a.txt", bytes).await?;
    /// ```
    ///
    /// # Errors
    /// If there is none of this name, it is of another type, or it is paused.
    pub fn connection<H: Handle>(&self, name: &str) -> Result<H> {
        let any = self.0.engine.connection(name)?;
        match any.downcast_ref::<H::Client>() {
            Some(client) => Ok(H::bind(client.clone(), self)),
            None => Err(Error::internal(format!("connection {name:?} is not of type {}", type_name::<H>()))),
        }
    }

    /// The running security definitions that make tokens, in the order of their names.
    pub fn issuers(&self) -> Vec<Arc<dyn Issuer>> {
        self.0.engine.issuers()
    }

    /// A cache of the cluster, by its name; [`crate::cache::DEFAULT`] is the one that most services use.
    ///
    /// # Errors
    /// If there are no caches here.
    pub fn cache(&self, name: &str) -> Result<Cache> {
        Ok(Cache::new(self.0.engine.caching()?, name))
    }

    /// Whether there is a service of this name that runs.
    pub fn has_service(&self, name: &str) -> bool {
        self.0.engine.has_service(name)
    }

    /// Calls another service and waits for its answer, within this deadline.
    ///
    /// # Errors
    /// What that service answers; not found; or the calls are nested too deeply.
    pub async fn invoke(&self, service: &str, request: Request) -> Result<Response> {
        self.0.engine.invoke(self, service, request).await
    }

    /// Starts another service and does not wait; the cid of that invocation is answered.
    ///
    /// # Errors
    /// Not found, or too many are running already.
    pub fn invoke_async(&self, service: &str, request: Request) -> Result<Cid> {
        self.begin(Background::of(service, request))
    }

    /// Begins calls that nobody waits for; their cid is answered.
    ///
    /// # Errors
    /// If one of the services is not there, the delay is too long, or too many are running already.
    pub fn begin(&self, work: Background) -> Result<Cid> {
        self.0.engine.clone().begin(self, work)
    }

    /// Takes a lock of the cluster for `ttl` at most, and waits for it as long as `wait`, within this deadline; none, if it
    /// is not to be had.
    ///
    /// # Errors
    /// If the name or the time is none for a lock; unavailable, if the store is away.
    pub async fn lock(&self, name: &str, ttl: Duration, wait: Duration) -> Result<Option<Lock>> {
        if name.is_empty() || name.len() > lock::MAX_NAME {
            return Err(Error::invalid(format!("the name of a lock has from 1 to {} bytes", lock::MAX_NAME)));
        }
        if ttl.is_zero() || ttl > lock::LONGEST {
            return Err(Error::invalid("a lock is held for longer than nothing and a day at most"));
        }
        let locking = self.0.engine.locking()?;
        let (owner, until) = (self.cid(), (Instant::now() + wait.min(lock::LONGEST)).min(self.deadline()));
        let mut pause = LOCK_PAUSES.0;
        loop {
            if let Some(fence) = locking.take(name, owner.as_str(), ttl).await? {
                return Ok(Some(Lock::new(name, owner.as_str(), fence, locking)));
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(None);
            }
            // Several that wait do not ask in step.
            tokio::time::sleep(pause.mul_f64(0.5 + fastrand::f64()).min(left)).await;
            pause = (pause * 2).min(LOCK_PAUSES.1);
        }
    }
}

impl fmt::Display for Context {
    /// The chain of services, outermost first.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(parent) = &self.0.parent {
            write!(f, "{parent} > ")?;
        }
        f.write_str(&self.0.service)
    }
}

impl fmt::Debug for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Context({}, {self})", self.0.cid)
    }
}

/// A log whose lines carry the cid and the service: those of the [`Call`](crate::call::Call) it runs in.
#[derive(Clone, Copy, Debug)]
pub struct Logger<'a>(PhantomData<&'a Context>);

macro_rules! levels {
    ($($(#[$doc:meta])* $level:ident;)*) => {$(
        $(#[$doc])*
        pub fn $level(&self, message: impl fmt::Display) {
            tracing::$level!(target: "service", "{message}");
        }
    )*};
}

impl Logger<'_> {
    levels! {
        /// Something that a developer looks for.
        debug;
        /// Something that happened.
        info;
        /// Something that should not happen often.
        warn;
        /// Something that failed.
        error;
    }
}
