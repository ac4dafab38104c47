//! What runs for a definition, behind one small trait for each family.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use chrono::{DateTime, Utc};
use config::{Name, Role};
use http::Response;
use sdk::connection::http::HttpCall;
use sdk::{ChannelInfo, Cid, HttpHead, Issuer, Request, Result, Security, Service};
use tokio::time::Instant;

use crate::admission::Admission;
use crate::authority::Authority;
use crate::references::Secrets;
use crate::routes::Mount;
use crate::scheduler::job::Plan;

/// What runs for a definition.
#[derive(Clone)]
pub enum Part {
    /// A channel that answers HTTP requests.
    HttpChannel(Arc<dyn HttpChannel>),
    /// A way to the outside.
    Connection(Arc<dyn Connection>),
    /// A security definition.
    Security(Guard),
    /// A service.
    Service(Arc<dyn Service>),
    /// A job: the scheduler fires it.
    Job(Arc<Plan>),
    /// Files that services are in.
    Package(Arc<dyn Package>),
}

/// A package that runs: what its services run in.
#[async_trait]
pub trait Package: Send + Sync + 'static {
    /// The names of its services.
    fn services(&self) -> Vec<String>;

    /// One of them.
    fn service(&self, name: &str) -> Option<Arc<dyn Service>>;

    /// The roles that callers of all of them must have.
    fn requires(&self) -> &[String];

    /// What is known of one of them beyond what every service says of itself: where it is written, and what it uses.
    fn details(&self, name: &str) -> Option<serde_json::Value>;

    /// What an operator wants to know, such as the state of each worker.
    fn stats(&self) -> serde_json::Value;

    /// Ends it: no call is running any more.
    async fn close(&self);
}

/// What a security definition can do: its guard has the part `incoming`.
pub const CHECK_CALLERS: &str = "check callers";
/// What a security definition can do: its guard has the part `outgoing`.
pub const LOG_IN: &str = "log in elsewhere";

/// What a connection can do: it has an authority.
pub const KNOW_PEOPLE: &str = "know people";
/// What a connection can do: it has secrets.
pub const KEEP_SECRETS: &str = "keep secrets";

/// A security definition, in both directions. A kind offers those that make sense for it.
#[derive(Clone, Default)]
pub struct Guard {
    /// Lets somebody into the admin listener.
    pub admin: Option<AdminToken>,
    /// Checks who calls us.
    pub incoming: Option<Arc<dyn Security>>,
    /// Says who we are.
    pub outgoing: Option<Arc<dyn Credentials>>,
    /// Whether it looks at client certificates, so that connections must ask for them.
    pub certificates: bool,
    /// Makes tokens.
    pub issuer: Option<Arc<dyn Issuer>>,
}

/// An admin token, by its hash.
#[derive(Clone, Copy, Debug)]
pub struct AdminToken {
    /// What it allows.
    pub role: Role,
    /// Its SHA-256.
    pub hash: [u8; 32],
    /// When it ends, if it does.
    pub expires: Option<DateTime<Utc>>,
}

/// Says who we are, in requests to others.
#[async_trait]
pub trait Credentials: Send + Sync + 'static {
    /// Puts the credentials into a request.
    async fn apply(&self, call: &mut HttpCall) -> Result<()>;
}

/// A connection that runs.
#[async_trait]
pub trait Connection: Send + Sync + 'static {
    /// What the typed handle of services wraps: a `Handle::Client`.
    fn client(&self) -> Arc<dyn std::any::Any + Send + Sync>;

    /// Asks the other side whether it is there, and keeps idle connections alive.
    async fn ping(&self, deadline: Instant) -> Result<()>;

    /// How long to wait between two probes while all is well; none: the other side is not asked before a call has
    /// met a failure.
    fn probe_every(&self) -> Option<Duration>;

    /// What an operator wants to know, such as the state of the pool.
    fn stats(&self) -> serde_json::Value {
        serde_json::Value::Null
    }

    /// Its secrets, if it is a place where definitions may keep theirs.
    fn secrets(&self) -> Option<Arc<dyn Secrets>> {
        None
    }

    /// What knows people by their credentials, if the other side does.
    fn authority(&self) -> Option<Arc<dyn Authority>> {
        None
    }

    /// Ends it: no call is running any more.
    async fn close(&self) {}
}

/// How much a channel accepts.
#[derive(Clone, Debug)]
pub struct Limits {
    /// The longest body, in bytes.
    pub body: usize,
    /// How long a request may take.
    pub deadline: Duration,
    /// How many requests at once; none: no limit of the channel's own.
    pub concurrency: Option<Arc<tokio::sync::Semaphore>>,
}

/// A channel that answers HTTP requests: its place, its limits, and the way from bytes to a request and back.
pub trait HttpChannel: Send + Sync + 'static {
    /// Where it is mounted.
    fn mount(&self) -> &Mount;

    /// The service that does the work.
    fn service(&self) -> &Name;

    /// The security definition that callers must satisfy; none: anyone.
    fn security(&self) -> Option<&Name>;

    /// Who may come in, if it does not answer everybody.
    fn admission(&self) -> Option<&Admission> {
        None
    }

    /// How much it accepts.
    fn limits(&self) -> &Limits;

    /// What services are told about where a request came in.
    fn info(&self) -> &ChannelInfo;

    /// The answer to a cross-origin preflight, if it is one and this channel answers them.
    fn preflight(&self, head: &HttpHead, allow: &str) -> Option<Response<Bytes>>;

    /// Whether answers may be compressed.
    fn compresses(&self) -> bool;

    /// Refuses what the head alone shows to be wrong, before the body is read.
    ///
    /// # Errors
    /// Unsupported media, mostly.
    fn accept(&self, head: &HttpHead) -> Result<()>;

    /// From the body to a request. With `read_on` the service will read all of the body, as JSON: a channel of that
    /// format need not look through it.
    ///
    /// # Errors
    /// Invalid, if the body is not what the channel expects.
    fn decode(&self, head: Arc<HttpHead>, body: Bytes, read_on: bool) -> Result<Request>;

    /// From the outcome to the bytes that the caller understands, error or not.
    fn encode(&self, head: &HttpHead, cid: Cid, outcome: Result<sdk::Response>) -> Response<Bytes>;
}

impl std::fmt::Debug for Part {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::HttpChannel(_) => "HttpChannel",
            Self::Connection(_) => "Connection",
            Self::Security(_) => "Security",
            Self::Service(_) => "Service",
            Self::Job(_) => "Job",
            Self::Package(_) => "Package",
        })
    }
}
