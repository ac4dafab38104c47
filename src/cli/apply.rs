//! `zeugma apply` and `zeugma diff`: from files to what is wanted.

use clap::Args;
use config::Faults;
use config::bundle::Bundle;
use reqwest::Method;

use super::admin::{Ask, Remote};
use super::bundle::{self, Files};
use super::change::Changing;
use super::exit::{Exit, Stop};
use super::output::Output;
use crate::definitions::Outcome;

/// See the module.
#[derive(Debug, Args)]
pub(super) struct Apply {
    #[command(flatten)]
    files: Files,
    /// Delete every definition that the bundle does not hold
    #[arg(long)]
    prune: bool,
    #[command(flatten)]
    changing: Changing,
    #[command(flatten)]
    remote: Remote,
    #[command(flatten)]
    output: Output,
}

impl Apply {
    pub(super) async fn run(self) -> Result<Exit, Stop> {
        let Bundle { drafts, faults } = self.files.read()?;
        let ask = Ask::new(Method::POST, &["apply"]).flag("prune", self.prune);
        if !faults.is_empty() {
            // Nothing will be changed. The node is asked what it finds in the rest, so that all is told at once.
            let ask = Changing::nothing().put_into(ask).body(bundle::written(&drafts));
            let asked: Result<Outcome, Stop> = self.remote.ask(ask).await;
            let more = asked.err().map(|stop| bundle::placed(stop, &drafts).faults);
            return Err(Faults(faults.into_iter().chain(more.into_iter().flatten()).collect()).into());
        }
        let ask = self.changing.put_into(ask).body(bundle::written(&drafts));
        let outcome: Outcome = self.remote.ask(ask).await.map_err(|stop| bundle::placed(stop, &drafts))?;
        self.changing.tell(&outcome, &self.output)
    }
}

/// See the module.
#[derive(Debug, Args)]
pub(super) struct Diff {
    #[command(flatten)]
    files: Files,
    /// Show also what a pruning apply would delete
    #[arg(long)]
    prune: bool,
    #[command(flatten)]
    remote: Remote,
    #[command(flatten)]
    output: Output,
}

impl Diff {
    pub(super) async fn run(self) -> Result<Exit, Stop> {
        let Self { files, prune, remote, output } = self;
        let changing = Changing::nothing();
        Apply { files, prune, changing, remote, output }.run().await
    }
}
