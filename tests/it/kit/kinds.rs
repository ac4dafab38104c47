//! Kinds compiled into test nodes: they fail when they are told to.

use std::io::Write as _;
use std::sync::Arc;
use std::time::Duration;

use actors::part::Connection;
use actors::scheduler::job::{Plan, Policy, Tally, Timetable};
use actors::{AnyKind, Kind, Part, Start};
use async_trait::async_trait;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;
use zeugma::{Error, Result};

/// All of them.
pub static ALL: &[&dyn AnyKind] = &[&Moody, &MoodyJob];

/// A connection whose moods are files.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Params {
    /// While this file is there, starting fails.
    refuses_if: String,
    /// While this file is there, starting takes as long as it may, and a file beside it, `.seen`, has a line for each time;
    /// left out: never.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    hangs_if: String,
    /// While this file is there, the other side is away.
    away_if: String,
    /// While this file is there, a probe panics.
    panics_if: String,
}

/// See the module.
pub struct Moody;

#[async_trait]
impl Kind for Moody {
    const TAG: &'static str = "connection.moody";
    type Params = Params;

    fn example() -> Params {
        Params {
            refuses_if: "/a".into(),
            hangs_if: "/h".into(),
            away_if: "/b".into(),
            panics_if: "/c".into(),
        }
    }

    async fn start(params: Params, _: Start) -> Result<Part> {
        if exists(&params.refuses_if) {
            return Err(Error::internal("it is in the mood not to start"));
        }
        if exists(&params.hangs_if) {
            let seen = format!("{}.seen", params.hangs_if);
            writeln!(std::fs::OpenOptions::new().create(true).append(true).open(seen)?, "hangs")?;
        }
        while exists(&params.hangs_if) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        Ok(Part::Connection(Arc::new(params)))
    }
}

fn exists(path: &str) -> bool {
    std::path::Path::new(path).exists()
}

#[async_trait]
impl Connection for Params {
    fn client(&self) -> Arc<dyn std::any::Any + Send + Sync> {
        Arc::new(())
    }

    async fn ping(&self, _: Instant) -> Result<()> {
        assert!(!exists(&self.panics_if), "it is in the mood to panic");
        if exists(&self.away_if) { Err(Error::upstream("nobody is there")) } else { Ok(()) }
    }

    fn probe_every(&self) -> Option<Duration> {
        Some(Duration::from_millis(20))
    }
}

/// A job whose moods are files.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct JobParams {
    /// While this file is there, computing its times panics.
    panics_if: String,
    /// While this file is there, computing its times does not end.
    stands_if: String,
}

/// See the module.
pub struct MoodyJob;

#[async_trait]
impl Kind for MoodyJob {
    const TAG: &'static str = "job.moody";
    const LIGHT: bool = true;
    type Params = JobParams;

    fn example() -> JobParams {
        JobParams { panics_if: "/a".into(), stands_if: "/b".into() }
    }

    async fn start(params: JobParams, _: Start) -> Result<Part> {
        Ok(Part::Job(Arc::new(Plan {
            times: Arc::new(params),
            policy: Policy::default(),
            service: "notes".parse()?,
            extra: "by a moody job".into(),
            on_success: None,
            on_failure: None,
            r#type: "moody",
            tally: Tally::default(),
        })))
    }
}

impl Timetable for JobParams {
    fn next(&self, after: i64, _: i64) -> Option<i64> {
        assert!(!exists(&self.panics_if), "it is in the mood to panic");
        while exists(&self.stands_if) {
            std::thread::sleep(Duration::from_millis(50));
        }
        Some(after + 200_000)
    }
}
