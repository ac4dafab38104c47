//! A part that runs, as snapshots hold it: requests share it, and its actor ends when the last one lets go.

use std::sync::Arc;

use config::{ById, DefId, Definition, Revision};
use ractor::{ActorId, ActorRef};

use crate::gate::Gate;
use crate::health::Health;
use crate::meter::Meter;
use crate::part::Part;
use crate::worker::WorkerMsg;

/// All parts that run, by id.
pub type Parts = ById<Arc<Running>>;

/// A part that runs.
#[derive(Debug)]
pub struct Running {
    /// Its definition.
    pub definition: Arc<Definition>,
    /// The version it was built from.
    pub version: Revision,
    /// What does the work.
    pub part: Part,
    /// Lets calls in.
    pub gate: Arc<Gate>,
    /// Counts them.
    pub meter: Arc<Meter>,
    /// Whether the other side answers.
    pub health: Health,
    /// Its actor; none, if its kind is a light one.
    pub worker: Option<ActorRef<WorkerMsg>>,
}

impl Running {
    /// The definition's id.
    pub fn id(&self) -> &DefId {
        &self.definition.id
    }

    /// Whether this actor is its own.
    pub(crate) fn is_run_by(&self, actor: ActorId) -> bool {
        self.worker.as_ref().is_some_and(|worker| worker.get_id() == actor)
    }
}

/// A part is the same as itself alone: one that was started anew is another.
impl PartialEq for Running {
    fn eq(&self, other: &Self) -> bool {
        std::ptr::eq(self, other)
    }
}

impl Eq for Running {}

impl Drop for Running {
    /// No snapshot, and so no request, refers to this part any more: its actor closes it and ends.
    fn drop(&mut self) {
        // It fails only if the actor has ended already.
        if let Some(worker) = &self.worker {
            drop(worker.cast(WorkerMsg::Retire));
        }
    }
}
