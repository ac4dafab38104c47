//! What the core is told, and what it wants done.

use std::sync::Arc;

use config::lease::Held;
use config::slots::{Answer, Claim, Ending, JobState, Micros, Outcome, Record, Wanted};
use config::{Fence, Name, Revision};

use super::super::job::Job;

/// A moment: by the node's own steady clock, and by that of the store, as far as the node knows it. In microseconds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Moment {
    /// Never goes back. Leases are measured by it.
    pub steady: Micros,
    /// The time. Slots are measured by it.
    pub now: Micros,
}

/// A number that the core gives to what it asks for.
pub type Number = u64;

/// What has happened.
pub enum Event {
    /// Some time has passed.
    Tick,
    /// Jobs are wanted, anew or as others than before, and others are not wanted any more.
    Jobs {
        /// Those that are.
        put: Vec<Job>,
        /// Those that are not.
        gone: Vec<Name>,
    },
    /// These nodes are there, this one among them.
    Nodes(Vec<Name>),
    /// States were changed in the store beside the catalog, or it may have fallen back to earlier ones.
    Changed,
    /// An answer to [`Action::Lease`]: what was asked for at this moment is held, is not free, or nobody knows.
    Leased {
        /// The bucket.
        bucket: u16,
        /// By the steady clock, before it was asked for.
        asked: Micros,
        /// The lease; an error if there was no answer.
        held: Result<Option<Held>, ()>,
    },
    /// An answer to [`Action::Renew`].
    Renewed {
        /// By the steady clock, before it was asked for.
        asked: Micros,
        /// Whether each was still held; an error if there was no answer.
        answers: Result<Vec<(u16, Fence, bool)>, ()>,
    },
    /// An answer to [`Action::TakeOver`].
    TakenOver {
        /// Under which lease.
        fence: Fence,
        /// Of which bucket.
        bucket: u16,
        /// What was asked for.
        wanted: Vec<(Name, Revision)>,
        /// The states; none if the lease was not held; an error if there was no answer.
        states: Result<Option<Vec<JobState>>, ()>,
    },
    /// An answer to [`Action::Inspect`].
    UnderWay {
        /// Under which lease; 0 if under none.
        fence: Fence,
        /// Of which bucket.
        bucket: u16,
        /// The runs, each with whether its node is there; an error if there was no answer.
        runs: Result<Vec<(Name, Record, bool)>, ()>,
    },
    /// An answer to [`Action::List`].
    Known {
        /// Of which bucket.
        bucket: u16,
        /// The jobs of which something is kept; an error if there was no answer.
        names: Result<Vec<Name>, ()>,
    },
    /// An answer to [`Action::Claim`].
    Claimed {
        /// Of this number.
        number: Number,
        /// What became of each; an error if there was no answer.
        answers: Result<Vec<Answer>, ()>,
    },
    /// A run has ended.
    Ended {
        /// Of this number.
        run: Number,
        /// How.
        outcome: Outcome,
        /// Why, if it did not go well.
        why: Option<String>,
        /// How often the service was called.
        attempts: u32,
    },
    /// An answer to [`Action::End`].
    Written {
        /// Of this number.
        number: Number,
        /// Whether it was answered.
        done: bool,
    },
    /// The node stops.
    Stop,
}

/// A run that is to begin.
#[derive(Clone)]
pub struct Launch {
    /// The number by which its end is told.
    pub run: Number,
    /// The job.
    pub job: Job,
    /// The slot.
    pub slot: Micros,
    /// When it was to be fired.
    pub due: Micros,
    /// What was written down of it.
    pub record: Record,
}

/// What is to be done. Each of them is answered by one event, but those that say otherwise.
#[derive(Clone)]
pub enum Action {
    /// Take the lease of a bucket.
    Lease {
        /// The bucket.
        bucket: u16,
    },
    /// Prolong leases.
    Renew(Vec<(u16, Held)>),
    /// Give a lease back. Not answered.
    Release(Held),
    /// Get the states of jobs.
    TakeOver {
        /// The bucket.
        bucket: u16,
        /// Its lease.
        held: Held,
        /// The jobs.
        wanted: Vec<Wanted>,
    },
    /// See which runs of a bucket are under way.
    Inspect {
        /// The bucket.
        bucket: u16,
        /// Its fence; 0 if it is not held.
        fence: Fence,
    },
    /// List the jobs of a bucket of which something is kept.
    List {
        /// The bucket.
        bucket: u16,
    },
    /// Decide slots.
    Claim {
        /// The number of this.
        number: Number,
        /// The claims.
        claims: Arc<Vec<Claim>>,
    },
    /// Begin a run. Answered when it has ended.
    Run(Launch),
    /// End a run. Its end is told as any other.
    Cancel {
        /// Which.
        run: Number,
    },
    /// Write down how runs ended.
    End {
        /// The number of this.
        number: Number,
        /// The endings.
        endings: Arc<Vec<Ending>>,
    },
    /// Drop what is kept of jobs that are gone. Not answered.
    Forget {
        /// Of which bucket.
        bucket: u16,
        /// Which.
        names: Vec<Name>,
    },
}
