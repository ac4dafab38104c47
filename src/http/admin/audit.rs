//! What the audit log says: what was done through the admin API, and whom it refused.

use std::sync::atomic::{AtomicU64, Ordering};

use chrono::{DateTime, Utc};
use config::Principal;
use config::journal::{Deed, Log};
use sdk::{Cid, Error};

use super::Head;
use super::answer::Failure;
use super::call::Call;
use super::endpoint::Found;
use crate::app::App;
use crate::definitions::{Audited, Doing, Search, note};

/// How many entries a page holds unless the caller says otherwise, and at most.
const PAGE: (usize, usize) = (50, 500);
/// How many refusals a node notes within a second: a flood of them costs no more.
const REFUSALS: u64 = 5;
/// The longest path that is noted of a request that was refused.
const LONGEST_PATH: usize = 200;

/// Searches the log, newest first.
pub(super) async fn search(call: Call) -> Result<Vec<Audited>, Failure> {
    let limit = call.query::<usize>("limit")?.unwrap_or(PAGE.0).clamp(1, PAGE.1);
    let before = call.query::<DateTime<Utc>>("before")?;
    let (who, text) = (call.query("who")?, call.query("text")?);
    Ok(call.app.definitions.audit(&Search { before, limit, who, text }).await?)
}

/// The request begins to do something.
///
/// # Errors
/// If the reason is not text.
pub(super) fn begin(call: &Call, request: String) -> Result<Doing, Error> {
    let note = call.note()?;
    let deed = Deed {
        at: DateTime::UNIX_EPOCH,
        node: call.app.settings.node.clone(),
        what: call.operation().into(),
        request,
        status: 0,
        address: call.by.as_ref().and_then(|by| by.address.clone()),
        by: note.by,
        author: Some(note.author),
        reason: note.reason,
        cid: call.cid.to_string(),
    };
    let journal = call.app.definitions.store.journal();
    Ok(Doing::begin(journal, call.app.tasks.clone(), call.in_history.clone(), deed))
}

/// Counts what is noted of refusals.
#[derive(Debug, Default)]
pub(super) struct Refusals {
    second: AtomicU64,
    noted: AtomicU64,
}

impl Refusals {
    /// Notes that somebody was refused, unless too many were within this second.
    pub(super) fn note(&self, app: &App, cid: Cid, head: &Head, found: &Found<'_>, refused: &Refusal) {
        let second = app.started.elapsed().as_secs();
        if self.second.swap(second, Ordering::Relaxed) != second {
            self.noted.store(0, Ordering::Relaxed);
        }
        if self.noted.fetch_add(1, Ordering::Relaxed) >= REFUSALS {
            return;
        }
        let what = match found {
            Found::Here(endpoint, _) => endpoint.operation,
            Found::OtherVerbs(_) | Found::Nothing => "",
        };
        let path: String = head.path.chars().take(LONGEST_PATH).collect();
        let deed = Deed {
            at: DateTime::UNIX_EPOCH,
            node: app.settings.node.clone(),
            what: what.into(),
            request: format!("{} {path}", head.method),
            status: refused.error.kind().status().as_u16(),
            by: refused.by.clone(),
            address: head.peer.map(|peer| peer.ip().to_string()),
            author: None,
            reason: None,
            cid: cid.to_string(),
        };
        drop(note(app.definitions.store.journal(), &app.tasks, Log::Refused, deed));
    }
}

/// Somebody was refused.
pub(super) struct Refusal {
    /// What they are told.
    pub(super) error: Error,
    /// Who they are, if their token is known but does not allow it.
    pub(super) by: Option<Principal>,
}
