//! `zeugma check`: everything that is wrong with a bundle, without a node.

use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use actors::python::{Runtime, RuntimeSettings};
use clap::Args;
use config::settings::Passed;
use config::store::memory::Memory;
use config::{Clock, Family, Faults, Keyring, Name, Note};
use sdk::task::Tasks;
use sdk::{Error, Service};
use tokio::process::Command;

use super::bundle::Files;
use super::exit::{Exit, Stop};
use super::output::print;
use crate::definitions::{Definitions, Options, Refused};
use crate::management::Management;

/// The Python that looks into packages.
const PYTHON: &str = "python3";

/// See the module.
#[derive(Debug, Args)]
pub(super) struct Check {
    #[command(flatten)]
    files: Files,
}

impl Check {
    pub(super) async fn run(self, services: &'static [&'static dyn Service]) -> Result<Exit, Stop> {
        let bundle = self.files.read().map_err(only_checked)?;
        let registry = Management::default().registry(&[], services);
        let mut registry = registry.map_err(|fault| Stop::failed(fault.to_string()))?;
        // What is in the files of packages, Python has to say. Where there is none, they are taken on trust.
        let folder = tempfile::tempdir()?;
        if bundle.drafts.iter().any(|draft| draft.id.family == Family::Package) && has_python().await {
            registry = registry.with_python(python(folder.path())?);
        }
        // The bundle is applied to a catalog of its own, so that it is checked by the very code that a node runs.
        let definitions = Definitions {
            store: Arc::new(Memory::new(Clock::System)),
            slots: None,
            registry: Arc::new(registry),
            keyring: Keyring::generate(),
            board: Arc::default(),
        };
        let options = Options { dry_run: true, wait: Duration::ZERO, ..Options::default() };
        match definitions.apply(bundle, options, Note::default()).await {
            Ok(outcome) => {
                let many = outcome.changes.len();
                print(&format!("{many} definition{} checked: no fault", if many == 1 { "" } else { "s" }))
            }
            Err(Refused::Faults(faults)) => Err(found(faults)),
            Err(refused) => Err(Stop::failed(Error::from(refused).to_string())),
        }
    }
}

async fn has_python() -> bool {
    let version = Command::new(PYTHON).arg("--version").stdin(Stdio::null()).output();
    let answer = tokio::time::timeout(Duration::from_secs(5), version).await;
    answer.is_ok_and(|answer| answer.is_ok_and(|answer| answer.status.success()))
}

fn python(folder: &Path) -> Result<Arc<Runtime>, Stop> {
    let name: Name = "check".parse().map_err(Faults::from)?;
    Ok(Runtime::new(RuntimeSettings {
        python: PYTHON.into(),
        environment: config::settings::passed_on(&Passed::default()),
        data: folder.to_owned(),
        workers: 1,
        threads: 1,
        memory: 1 << 30,
        node: name.clone(),
        cluster: name,
        tasks: Tasks::default(),
    }))
}

fn found(faults: Faults) -> Stop {
    only_checked(faults.into())
}

/// A check changes nothing in any case, so it does not say that it did not.
fn only_checked(stop: Stop) -> Stop {
    match stop.faults.len() {
        0 => stop,
        1 => Stop { message: "there is 1 fault".into(), ..stop },
        n => Stop { message: format!("there are {n} faults"), ..stop },
    }
}
