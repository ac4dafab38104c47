//! `zeugma history` and `zeugma rollback`: what was, and back to it.

use clap::Args;
use config::{DefId, Revision};
use reqwest::Method;

use super::admin::{Ask, Remote, json};
use super::change::{Changing, one};
use super::exit::{Exit, Stop};
use super::output::{Form, Output, print};
use crate::definitions::{Event, What};
use crate::http::admin::shapes;

/// See the module.
#[derive(Debug, Args)]
pub(super) struct History {
    /// How many revisions
    #[arg(short = 'n', long, default_value_t = 20)]
    limit: usize,
    /// Only revisions before this one
    #[arg(long, value_name = "REV")]
    before: Option<u64>,
    /// Only what changed this definition, written family/name
    #[arg(long, value_name = "ID")]
    only: Option<DefId>,
    /// Show each parameter that was changed
    #[arg(long)]
    changes: bool,
    #[command(flatten)]
    remote: Remote,
    #[command(flatten)]
    output: Output,
}

impl History {
    pub(super) async fn run(self) -> Result<Exit, Stop> {
        let ask = Ask::get(&["history"])
            .query("limit", Some(self.limit))
            .query("before", self.before)
            .query("only", self.only.as_ref());
        let events: Vec<Event> = self.remote.ask(ask).await?;
        if self.changes && self.output.output == Form::Table {
            return print(&events.iter().map(long).collect::<String>());
        }
        show(&events, &self.output)
    }
}

/// The revisions as a table, one a row.
pub(super) fn show(events: &[Event], output: &Output) -> Result<Exit, Stop> {
    output.show(&events, &["revision", "at", "author", "reason", "changes"], || {
        events.iter().map(|event| {
            vec![
                event.revision.to_string(),
                at(event),
                event.author.clone(),
                event.reason.clone().unwrap_or_default(),
                brief(event),
            ]
        })
    })
}

fn at(event: &Event) -> String {
    event.at.format("%Y-%m-%d %H:%M:%S UTC").to_string()
}

fn long(event: &Event) -> String {
    let reason = event.reason.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default();
    let changes: String = event.changes.iter().map(one).collect();
    format!("revision {}, {}, {}{reason}\n{changes}\n", event.revision, at(event), event.author)
}

/// The sign of what became of a definition.
pub(super) fn sign(what: What) -> char {
    match what {
        What::Created => '+',
        What::Changed => '~',
        What::Deleted => '-',
    }
}

/// The first few changes: a bundle of a thousand has its place in `--changes`.
fn brief(event: &Event) -> String {
    const SHOWN: usize = 3;
    let shown = event.changes.iter().take(SHOWN).map(|c| format!("{}{}", sign(c.change), c.id));
    let shown = shown.collect::<Vec<_>>().join(" ");
    match event.changes.len().saturating_sub(SHOWN) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

/// See the module.
#[derive(Debug, Args)]
pub(super) struct Rollback {
    /// The revision whose definitions are wanted again
    revision: u64,
    /// Only this definition, written family/name: the others stay as they are
    #[arg(long, value_name = "ID")]
    only: Option<DefId>,
    #[command(flatten)]
    changing: Changing,
    #[command(flatten)]
    remote: Remote,
    #[command(flatten)]
    output: Output,
}

impl Rollback {
    pub(super) async fn run(self) -> Result<Exit, Stop> {
        let body = json(&shapes::Rollback { revision: Revision(self.revision), only: self.only })?;
        let ask = Ask::new(Method::POST, &["rollback"]).body(body);
        self.changing.make(&self.remote, ask, &self.output).await
    }
}
