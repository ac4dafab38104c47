//! The audit log: the history of definitions and the journals of the store as one, for readers.

use std::collections::VecDeque;

use chrono::{DateTime, Utc};
use config::journal::{Deed, Log};
use config::{Name, Principal, Revision};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Changed, Definitions, Event, Refused};

/// How many entries are read at once of each place.
const PAGE: usize = 64;
/// What a change of definitions is called.
const CHANGE: &str = "change";

/// Something that was done to the cluster, or was refused.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Audited {
    /// When, by the clock of the store.
    pub at: DateTime<Utc>,
    /// What: `change` of definitions, the operation as the description of the admin API names it, or the service of
    /// the engine that a channel called.
    pub what: String,
    /// Who, by their own words; left out if they said nothing, or it proves nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub author: Option<String>,
    /// Who showed an admin token; left out if it was none that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<Principal>,
    /// From which address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// Why, if they said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Whether it was refused because of who asked.
    pub refused: bool,
    /// The request, unless it was a change of definitions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request: Option<Asked>,
    /// The revision that a change made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<Revision>,
    /// What a change changed: old and new, with `(sealed)` in place of each secret.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub changes: Vec<Changed>,
}

/// A request of the admin API, or a call of one of the engine's own services.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Asked {
    /// Verb and path; of a call, what it was about.
    pub line: String,
    /// What was answered.
    pub status: u16,
    /// By which node.
    pub node: Name,
    /// The correlation id.
    pub cid: String,
}

/// What is looked for.
#[derive(Clone, Debug)]
pub struct Search {
    /// Only what is older.
    pub before: Option<DateTime<Utc>>,
    /// How many entries.
    pub limit: usize,
    /// Only what somebody did whose token, name or address this is part of.
    pub who: Option<String>,
    /// Only entries with this text anywhere in them, in whichever case.
    pub text: Option<String>,
}

impl Audited {
    fn of_event(event: Event) -> Self {
        let Event { revision, at, author, by, address, reason, changes } = event;
        let address = by.as_ref().and_then(|by| by.address.clone()).or(address);
        Self {
            at,
            what: CHANGE.into(),
            author: Some(author),
            by,
            address,
            reason,
            refused: false,
            request: None,
            revision: Some(revision),
            changes,
        }
    }

    fn of_deed(log: Log, deed: Deed) -> Self {
        let Deed { at, node, what, request, status, by, address, author, reason, cid } = deed;
        Self {
            at,
            what,
            author,
            by,
            address,
            reason,
            refused: log == Log::Refused,
            request: Some(Asked { line: request, status, node, cid }),
            revision: None,
            changes: Vec::new(),
        }
    }
}

impl Search {
    fn finds(&self, entry: &Audited) -> bool {
        let who = |who: &String| {
            let token = entry.by.as_ref().map(|by| by.token.as_str());
            let names = [token, entry.author.as_deref(), entry.address.as_deref()];
            names.into_iter().flatten().any(|name| name.to_lowercase().contains(&who.to_lowercase()))
        };
        let text = |text: &String| {
            let written = serde_json::to_string(entry).unwrap_or_default();
            written.to_lowercase().contains(&text.to_lowercase())
        };
        self.before.is_none_or(|before| entry.at < before)
            && self.who.as_ref().is_none_or(who)
            && self.text.as_ref().is_none_or(text)
    }
}

/// One of the places that entries come from.
struct Source {
    place: Place,
    read: VecDeque<Audited>,
    ended: bool,
}

/// Where to read on.
enum Place {
    History(Option<Revision>),
    Journal(Log, Option<DateTime<Utc>>),
}

impl Definitions {
    /// What was done and what was refused, newest first.
    ///
    /// # Errors
    /// If the store does not answer.
    pub async fn audit(&self, search: &Search) -> Result<Vec<Audited>, Refused> {
        let places = [
            Place::History(None),
            Place::Journal(Log::Done, search.before),
            Place::Journal(Log::Refused, search.before),
        ];
        let mut sources =
            places.map(|place| Source { place, read: VecDeque::with_capacity(PAGE), ended: false });
        let mut found = Vec::new();
        while found.len() < search.limit {
            for source in &mut sources {
                self.read_on(source).await?;
            }
            let newest = sources.iter_mut().max_by_key(|source| source.read.front().map(|entry| entry.at));
            let Some(entry) = newest.and_then(|source| source.read.pop_front()) else { break };
            if search.finds(&entry) {
                found.push(entry);
            }
        }
        Ok(found)
    }

    async fn read_on(&self, source: &mut Source) -> Result<(), Refused> {
        if source.ended || !source.read.is_empty() {
            return Ok(());
        }
        match &mut source.place {
            Place::History(before) => {
                let page = self.history(*before, PAGE).await?;
                *before = page.last().map(|event| event.revision);
                source.read.extend(page.into_iter().map(Audited::of_event));
            }
            Place::Journal(log, before) => {
                let page = self.store.journal().read(*log, *before, PAGE).await?;
                *before = page.last().map(|deed| deed.at);
                source.read.extend(page.into_iter().map(|deed| Audited::of_deed(*log, deed)));
            }
        }
        source.ended = source.read.is_empty();
        Ok(())
    }
}
