//! A kind of connection compiled into test nodes: it fails when it is told to.

use std::sync::Arc;
use std::time::Duration;

use actors::part::Connection;
use actors::{AnyKind, Kind, Part, Start};
use async_trait::async_trait;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;
use zeugma::{Error, Result};

/// All of them.
pub static ALL: &[&dyn AnyKind] = &[&Moody];

/// A connection whose moods are files.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Params {
    /// While this file is there, starting fails.
    refuses_if: String,
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
        Params { refuses_if: "/a".into(), away_if: "/b".into(), panics_if: "/c".into() }
    }

    async fn start(params: Params, _: Start) -> Result<Part> {
        if exists(&params.refuses_if) {
            return Err(Error::internal("it is in the mood not to start"));
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
