//! `zeugma audit`: who did what, and who was refused.

use chrono::{DateTime, Utc};
use clap::Args;

use super::admin::{Ask, Remote};
use super::exit::{Exit, Stop};
use super::history::sign;
use super::output::Output;
use crate::definitions::Audited;

/// How many changes of definitions a row names.
const SHOWN: usize = 3;

/// See the module.
#[derive(Debug, Args)]
pub(super) struct Audit {
    /// How many entries, at most 500
    #[arg(short = 'n', long, default_value_t = 20)]
    limit: usize,
    /// Only what is older than this time, such as 2026-12-01T09:00:00Z
    #[arg(long, value_name = "TIME")]
    before: Option<DateTime<Utc>>,
    /// Only what somebody did whose token, name or address this is part of
    #[arg(long)]
    who: Option<String>,
    /// Only entries with this text anywhere in them
    #[arg(long)]
    text: Option<String>,
    #[command(flatten)]
    remote: Remote,
    #[command(flatten)]
    output: Output,
}

impl Audit {
    pub(super) async fn run(self) -> Result<Exit, Stop> {
        let ask = Ask::get(&["audit"])
            .query("limit", Some(self.limit))
            .query("before", self.before.map(|before| before.to_rfc3339()))
            .query("who", self.who)
            .query("text", self.text);
        let entries: Vec<Audited> = self.remote.ask(ask).await?;
        self.output.show(&entries, &["at", "token", "address", "author", "what", "answer", "about"], || {
            entries.iter().map(row)
        })
    }
}

fn row(entry: &Audited) -> Vec<String> {
    let token = entry.by.as_ref().map(|by| by.token.clone());
    let answer = match (&entry.request, entry.revision) {
        (Some(asked), _) => asked.status.to_string(),
        (None, Some(revision)) => format!("revision {revision}"),
        (None, None) => String::new(),
    };
    let shown =
        entry.changes.iter().take(SHOWN).map(|change| format!("{}{}", sign(change.change), change.id));
    let mut about: Vec<String> = entry.request.iter().map(|asked| asked.line.clone()).chain(shown).collect();
    match entry.changes.len().saturating_sub(SHOWN) {
        0 => {}
        more => about.push(format!("and {more} more")),
    }
    about.extend(entry.reason.iter().map(|reason| format!("({reason})")));
    vec![
        entry.at.format("%Y-%m-%d %H:%M:%S UTC").to_string(),
        token.unwrap_or_default(),
        entry.address.clone().unwrap_or_default(),
        entry.author.clone().unwrap_or_default(),
        entry.what.clone(),
        answer,
        about.join(" "),
    ]
}
