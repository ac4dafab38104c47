//! `zeugma check`: everything that is wrong with a bundle, without a node.

use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use config::store::memory::Memory;
use config::{Clock, Faults, Keyring, Note};
use sdk::{Error, Service};

use super::bundle::Files;
use super::exit::{Exit, Stop};
use super::output::print;
use crate::definitions::{Definitions, Options, Refused};
use crate::management::Management;

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
        let registry = registry.map_err(|fault| Stop::failed(fault.to_string()))?;
        // The bundle is applied to a catalog of its own, so that it is checked by the very code that a node runs.
        let definitions = Definitions {
            store: Arc::new(Memory::new(Clock::System)),
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
