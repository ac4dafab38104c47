//! What all commands have in common that change something: their flags, and what they say when it is done.

use std::time::Duration;

use clap::Args;
use cluster::NodeReceipt;
use config::{DefId, Span};

use super::admin::{Ask, Remote};
use super::exit::{Exit, Stop};
use super::output::{Colour, Form, Output, coloured, print};
use crate::definitions::{Changed, Field, Outcome, What};

/// How a change is made.
#[derive(Debug, Args)]
#[command(next_help_heading = "Change")]
pub(super) struct Changing {
    /// Change nothing if the revision is another by now
    #[arg(long, value_name = "REV")]
    expect: Option<u64>,
    /// How long to wait until every node serves the change
    #[arg(long, value_name = "TIME", default_value = "10s")]
    wait: Span,
    /// Do not wait until the nodes serve the change
    #[arg(long, conflicts_with = "wait")]
    no_wait: bool,
    /// Show what would change, and change nothing
    #[arg(long)]
    dry_run: bool,
    /// Why, for the history
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
}

impl Changing {
    /// Nothing is changed: the change is only shown.
    pub(super) fn nothing() -> Self {
        Self { expect: None, wait: Span::secs(0), no_wait: true, dry_run: true, reason: None }
    }

    /// The same, unless somebody was faster than `revision`.
    pub(super) fn expecting(mut self, revision: config::Revision) -> Self {
        self.expect = self.expect.or(Some(revision.0));
        self
    }

    /// Asks for a change and says what came of it.
    pub(super) async fn make(&self, remote: &Remote, ask: Ask, output: &Output) -> Result<Exit, Stop> {
        let outcome: Outcome = remote.ask(self.put_into(ask)).await?;
        self.tell(&outcome, output)
    }

    /// The request for the change.
    pub(super) fn put_into(&self, ask: Ask) -> Ask {
        let wait = if self.no_wait { Duration::ZERO } else { self.wait.get() };
        ask.query("expect", self.expect)
            .query("wait", Some(format!("{}ms", wait.as_millis())))
            .query("reason", self.reason.as_ref())
            .flag("dry_run", self.dry_run)
            .waiting(wait)
    }

    /// Says what came of a change.
    pub(super) fn tell(&self, outcome: &Outcome, output: &Output) -> Result<Exit, Stop> {
        match output.output {
            Form::Table => {
                print(&format!("{}{}{}", difference(outcome), left(outcome), self.summary(outcome)))?
            }
            _ => output.value(outcome)?,
        };
        Ok(self.exit(outcome))
    }

    /// Says what is wrong on the nodes, and whether the change has reached them.
    pub(super) fn exit(&self, outcome: &Outcome) -> Exit {
        if outcome.dry_run {
            return Exit::Done;
        }
        for node in &outcome.receipt.nodes {
            for fault in &node.faults {
                eprintln!("warning: on node {}: {fault}", node.node);
            }
        }
        if outcome.receipt.settled || self.no_wait { Exit::Done } else { Exit::NotSettled }
    }

    /// How far a change has come: ` on 3/3 nodes in 18 ms`; nothing, if nobody waits for that. A node on which `id` does
    /// not run counts as not reached.
    pub(super) fn reach(&self, outcome: &Outcome, id: Option<&DefId>) -> String {
        if self.no_wait {
            return String::new();
        }
        let (mut serving, all, slowest) = reached(outcome);
        if let Some(id) = id {
            serving -= outcome.receipt.nodes.iter().filter(|n| n.ms.is_some() && is_broken(n, id)).count();
        }
        format!(" on {serving}/{all} nodes in {slowest:.0} ms")
    }

    fn summary(&self, outcome: &Outcome) -> String {
        let revision = outcome.revision;
        let unchanged = match outcome.unchanged {
            0 => String::new(),
            n => format!(", {n} unchanged"),
        };
        if outcome.dry_run {
            return format!("{} would change{unchanged}; nothing was done", outcome.changes.len());
        }
        let (serving, all, slowest) = reached(outcome);
        if outcome.changes.is_empty() {
            return format!(
                "nothing to change{unchanged}; revision {revision} is served by {serving}/{all} nodes"
            );
        }
        if self.no_wait {
            return format!("revision {revision} committed{unchanged}");
        }
        format!("revision {revision} applied on {serving}/{all} nodes in {slowest:.0} ms{unchanged}")
    }
}

/// Whether a definition does not run on a node.
pub(super) fn is_broken(node: &NodeReceipt, id: &DefId) -> bool {
    node.faults.iter().any(|fault| fault.at == id.to_string())
}

/// How many nodes serve it, how many there are, and how long the slowest took in milliseconds.
fn reached(outcome: &Outcome) -> (usize, usize, f64) {
    let nodes = &outcome.receipt.nodes;
    let times: Vec<f64> = nodes.iter().filter_map(|node| node.ms).collect();
    (times.len(), nodes.len(), times.into_iter().fold(0.0, f64::max))
}

/// What is different, a line for each definition and each parameter.
fn difference(outcome: &Outcome) -> String {
    outcome.changes.iter().map(one).collect()
}

/// What a rollback has not touched.
fn left(outcome: &Outcome) -> String {
    let line = |id: &DefId| format!("  {id} stays as it is: only `--only {id}` takes it back\n");
    outcome.left.iter().map(line).collect()
}

/// What is different about one definition.
pub(super) fn one(changed: &Changed) -> String {
    let (sign, colour) = match changed.change {
        What::Created => ('+', Colour::Green),
        What::Changed => ('~', Colour::Yellow),
        What::Deleted => ('-', Colour::Red),
    };
    let mut text = coloured(colour, &format!("{sign} {}", changed.id));
    text.push('\n');
    if changed.change != What::Deleted {
        changed.fields.iter().for_each(|field| text.push_str(&parameter(field)));
    }
    text
}

fn parameter(field: &Field) -> String {
    let Field { at, before, after } = field;
    match (before, after) {
        (Some(before), Some(after)) if before == after => format!("    {at}: {after} -> another\n"),
        (Some(before), Some(after)) => format!("    {at}: {before} -> {after}\n"),
        (None, Some(after)) => format!("    {at}: {after}\n"),
        (Some(before), None) => format!("    {at}: {before} -> (left out)\n"),
        (None, None) => String::new(),
    }
}
