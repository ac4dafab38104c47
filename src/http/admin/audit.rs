//! What the audit log says: what was done through the admin API, and whom it refused.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use chrono::{DateTime, Utc};
use config::Principal;
use config::journal::{Deed, Log};
use http::StatusCode;
use sdk::{Cid, Error};
use tokio::sync::oneshot;

use super::Head;
use super::answer::Failure;
use super::call::Call;
use super::endpoint::Found;
use crate::app::App;
use crate::definitions::{Audited, Search};

/// How many entries a page holds unless the caller says otherwise, and at most.
const PAGE: (usize, usize) = (50, 500);
/// How long an answer waits until it is written down what was done.
const PATIENCE: Duration = Duration::from_secs(1);
/// How many refusals a node notes within a second: a flood of them costs no more.
const REFUSALS: u64 = 5;
/// The longest path that is noted of a request that was refused.
const LONGEST_PATH: usize = 200;
/// What is noted if whoever asked did not wait for the answer.
const LET_GO: u16 = 499;

/// Searches the log, newest first.
pub(super) async fn search(call: Call) -> Result<Vec<Audited>, Failure> {
    let limit = call.query::<usize>("limit")?.unwrap_or(PAGE.0).clamp(1, PAGE.1);
    let before = call.query::<DateTime<Utc>>("before")?;
    let (who, text) = (call.query("who")?, call.query("text")?);
    Ok(call.app.definitions.audit(&Search { before, limit, who, text }).await?)
}

/// Something that is being done. However it ends, it is noted: also if whoever asked does not wait for the answer, and
/// if it panics.
pub(super) struct Doing {
    app: App,
    in_history: Arc<AtomicBool>,
    deed: Option<Deed>,
}

impl Doing {
    /// It begins.
    ///
    /// # Errors
    /// If the reason is not text.
    pub(super) fn begin(call: &Call, request: String) -> Result<Self, Error> {
        let note = call.note()?;
        let deed = Deed {
            at: DateTime::UNIX_EPOCH,
            node: call.app.settings.node.clone(),
            what: call.operation().into(),
            request,
            status: LET_GO,
            address: call.by.as_ref().and_then(|by| by.address.clone()),
            by: note.by,
            author: Some(note.author),
            reason: note.reason,
            cid: call.cid.to_string(),
        };
        Ok(Self { app: call.app.clone(), in_history: call.in_history.clone(), deed: Some(deed) })
    }

    /// It was answered. Returns when that is noted, or after a while: what was done is not undone because the store is
    /// away.
    pub(super) async fn end(mut self, status: StatusCode) {
        if let Some(deed) = self.deed.take()
            && !self.in_history.load(Ordering::Relaxed)
        {
            let noted = note(&self.app, Log::Done, Deed { status: status.as_u16(), ..deed });
            drop(tokio::time::timeout(PATIENCE, noted).await);
        }
    }
}

impl Drop for Doing {
    fn drop(&mut self) {
        if let Some(mut deed) = self.deed.take() {
            if std::thread::panicking() {
                deed.status = StatusCode::INTERNAL_SERVER_ERROR.as_u16();
            }
            drop(note(&self.app, Log::Done, deed));
        }
    }
}

/// Notes it in the background; the receiver hears of the end.
fn note(app: &App, log: Log, deed: Deed) -> oneshot::Receiver<()> {
    let (done, end) = oneshot::channel();
    let journal = app.definitions.store.journal();
    app.tasks.spawn("journal", async move {
        let (what, request, status) = (deed.what.clone(), deed.request.clone(), deed.status);
        let (cid, by) = (deed.cid.clone(), deed.by.as_ref().map(|by| by.token.clone()));
        if let Err(error) = journal.note(log, deed).await {
            tracing::warn!(%error, what, request, status, cid, by, "the audit log could not be written; this belongs into it");
        }
        let _ = done.send(()); // nobody may be waiting
    });
    end
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
        drop(note(app, Log::Refused, deed));
    }
}

/// Somebody was refused.
pub(super) struct Refusal {
    /// What they are told.
    pub(super) error: Error,
    /// Who they are, if their token is known but does not allow it.
    pub(super) by: Option<Principal>,
}
