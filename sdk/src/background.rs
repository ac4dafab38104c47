//! Calls that nobody waits for: which, when, how often they are tried, and who is told of what came of them.

use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::Value;

use crate::{Cid, Request};

/// How long a call may be put off. What is to come later than that is a job of the scheduler, which outlives the node.
pub const LONGEST_DELAY: Duration = Duration::from_secs(60 * 60);
/// How many services one order may call.
pub const MAX_CALLS: usize = 1_000;

/// One call, or several at once, that nobody waits for.
///
/// ```ignore
/// ctx.begin(Background::of("audit", request).after(Duration::from_secs(5)).then("audited"))?;
/// ```
#[derive(Clone, Debug, Default)]
pub struct Background {
    /// The services, each with what it is called with.
    pub calls: Vec<(String, Request)>,
    /// How long to wait before. It is not kept anywhere: a node that stops lets it go, and says so in its log.
    pub delay: Duration,
    /// How often a call that fails is made again, and how long to wait before; what the caller did wrong is not.
    pub retry: Option<(u32, Duration)>,
    /// The correlation id of all of them; a new one, if there is none.
    pub cid: Option<Cid>,
    /// Services that are called with the answer of each call that did not fail.
    pub then: Vec<String>,
    /// Services that are called with an [`Outcome`] after each call.
    pub each: Vec<String>,
    /// Services that are called with [`Outcomes`] once all calls have ended.
    pub last: Vec<String>,
    /// What the services in `each` are given along; only those of them see it.
    pub context: Option<Value>,
}

impl Background {
    /// One call.
    pub fn of(service: impl Into<String>, request: Request) -> Self {
        Self { calls: vec![(service.into(), request)], ..Self::default() }
    }

    /// The same after a while, [`LONGEST_DELAY`] at most.
    pub fn after(self, delay: Duration) -> Self {
        Self { delay, ..self }
    }

    /// The same, and its answer goes to this service as well.
    pub fn then(mut self, service: impl Into<String>) -> Self {
        self.then.push(service.into());
        self
    }
}

/// What came of one call.
#[derive(Clone, Debug, Serialize)]
pub struct Outcome {
    /// The correlation id of the call.
    pub cid: String,
    /// When it began.
    pub req_ts_utc: DateTime<Utc>,
    /// When it ended.
    pub resp_ts_utc: DateTime<Utc>,
    /// The answer, as JSON if it is that, else as text; null if there is none.
    pub response: Value,
    /// What went wrong, if it failed.
    pub exception: Option<String>,
    /// Whether it did not fail.
    pub ok: bool,
    /// The service that asked for it.
    pub source: String,
    /// The service that was called.
    pub target: String,
    /// What the one who asked wanted to be given along.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub context: Option<Value>,
}

/// What came of several.
#[derive(Clone, Debug, Serialize)]
pub struct Outcomes {
    /// The correlation id of the calls.
    pub cid: String,
    /// The service that asked for them.
    pub source: String,
    /// When it did.
    pub req_ts_utc: DateTime<Utc>,
    /// Who was told of each.
    pub on_target: Vec<String>,
    /// Who is told of all.
    pub on_final: Vec<String>,
    /// The outcome of each, by the service.
    pub data: std::collections::BTreeMap<String, Outcome>,
}
