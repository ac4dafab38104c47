//! The skeleton of a kind that CONTRIBUTING.md shows, so that it compiles; there, `actors::` is `crate::`.

use std::any::Any;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use config::Fault;
use schemars::JsonSchema;
use sdk::{Error, Result};
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use actors::kind::{Kind, Start};
use actors::part::{Connection, Part};

/// A folder of this machine.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Params {
    /// Where it is.
    path: PathBuf,
}

/// See the module.
pub struct FolderKind;

#[async_trait]
impl Kind for FolderKind {
    const TAG: &'static str = "connection.folder";
    type Params = Params;

    fn example() -> Params {
        Params { path: "/srv/files".into() }
    }

    fn check(params: &Params) -> Vec<Fault> {
        let absolute = params.path.is_absolute();
        let fault = || Fault::new("path", "it is not absolute").hint("such as /srv/files");
        if absolute { Vec::new() } else { vec![fault()] }
    }

    async fn start(params: Params, _: Start) -> Result<Part> {
        Ok(Part::Connection(Arc::new(Folder(params.path))))
    }
}

struct Folder(PathBuf);

#[async_trait]
impl Connection for Folder {
    fn client(&self) -> Arc<dyn Any + Send + Sync> {
        Arc::new(self.0.clone())
    }

    async fn ping(&self, _: Instant) -> Result<()> {
        let there = tokio::fs::metadata(&self.0).await;
        there.map(drop).map_err(|e| Error::upstream("the folder cannot be read").because(e))
    }

    fn probe_every(&self) -> Option<Duration> {
        Some(Duration::from_secs(30))
    }
}
