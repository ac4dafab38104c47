//! Deeds: what is done beside changes of definitions. However one ends, the audit log tells of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use config::Journal;
use config::journal::{Deed, Log};
use http::StatusCode;
use sdk::task::Tasks;
use tokio::sync::oneshot;

/// How long an answer waits until it is written down what was done.
const PATIENCE: Duration = Duration::from_secs(1);
/// What is noted if whoever asked did not wait for the answer.
const LET_GO: u16 = 499;

/// Something that is being done. However it ends, it is noted: also if whoever asked does not wait for the answer, and
/// if it panics.
pub(crate) struct Doing {
    journal: Arc<dyn Journal>,
    tasks: Tasks,
    in_history: Arc<AtomicBool>,
    deed: Option<Deed>,
}

impl Doing {
    /// It begins. When `in_history` turns true, the history of definitions tells of it, and the journal need not.
    pub(crate) fn begin(
        journal: Arc<dyn Journal>,
        tasks: Tasks,
        in_history: Arc<AtomicBool>,
        deed: Deed,
    ) -> Self {
        Self { journal, tasks, in_history, deed: Some(deed) }
    }

    /// It was answered. Returns when that is noted, or after a while: what was done is not undone because the store is
    /// away.
    pub(crate) async fn end(mut self, status: StatusCode) {
        if let Some(deed) = self.deed.take()
            && !self.in_history.load(Ordering::Relaxed)
        {
            let deed = Deed { status: status.as_u16(), ..deed };
            let noted = note(self.journal.clone(), &self.tasks, Log::Done, deed);
            drop(tokio::time::timeout(PATIENCE, noted).await);
        }
    }
}

impl Drop for Doing {
    fn drop(&mut self) {
        if let Some(mut deed) = self.deed.take() {
            deed.status = match std::thread::panicking() {
                true => StatusCode::INTERNAL_SERVER_ERROR.as_u16(),
                false => LET_GO,
            };
            drop(note(self.journal.clone(), &self.tasks, Log::Done, deed));
        }
    }
}

/// Notes it in the background; the receiver hears of the end.
pub(crate) fn note(journal: Arc<dyn Journal>, tasks: &Tasks, log: Log, deed: Deed) -> oneshot::Receiver<()> {
    let (done, end) = oneshot::channel();
    tasks.spawn("journal", async move {
        let (what, request, status) = (deed.what.clone(), deed.request.clone(), deed.status);
        let (cid, by) = (deed.cid.clone(), deed.by.as_ref().map(|by| by.token.clone()));
        if let Err(error) = journal.note(log, deed).await {
            tracing::warn!(%error, what, request, status, cid, by, "the audit log could not be written; this belongs into it");
        }
        let _ = done.send(()); // nobody may be waiting
    });
    end
}
