//! What is kept of jobs beside their definitions: which slots have been decided, by whom, and how they ended.
//!
//! A slot is the moment at which a job is to fire. Each is claimed in one atomic step, under the fence of a lease and
//! for the plan that is wanted at that very moment, before anything is run. So it is run at most once, whatever
//! nodes crash, stall, part or restart.

pub(crate) mod ledger;
mod memory;
mod record;

#[cfg(test)]
pub(crate) mod contract;

use async_trait::async_trait;

pub use self::memory::{Kept, Memory};
pub use self::record::{Outcome, Record};

use crate::lease::{Fence, Held};
use crate::name::{Name, Revision};
use crate::store::StoreError;

/// Jobs are leased by the bucket: so many leases, however many jobs. Part of what stores hold: it never changes.
pub const BUCKETS: u16 = 64;
/// How many records the history of one job keeps.
pub const HISTORY: usize = 100;
/// How early a slot may be claimed, in microseconds: nodes know the store's time only nearly.
pub const EARLY: i64 = 50_000;
/// How many claims or records one call carries.
pub const BATCH: usize = 500;

/// Microseconds since 1970, by the clock of the store.
pub type Micros = i64;

/// The bucket of a job.
pub fn bucket_of(name: &Name) -> u16 {
    // FNV-1a: the same on every node and in every version.
    let hash = name
        .as_str()
        .bytes()
        .fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
    // The low bits of a short name are nearly those of its last letter.
    u16::try_from((hash ^ (hash >> 15)) % u32::from(BUCKETS)).unwrap_or_default()
}

/// The name of a bucket's lease.
pub fn lease_of(bucket: u16) -> String {
    format!("jobs/{bucket}")
}

/// What a store keeps of one job.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct JobState {
    /// The revision of the definition that it belongs to.
    pub plan: Revision,
    /// Counts how often the job was made active again without a change of its definition.
    pub turn: u64,
    /// When the plan was first seen; slots before it are not its own. A start that is left out is this moment.
    pub anchor: Micros,
    /// The last slot that is decided.
    pub last: Micros,
    /// Whether there is no further slot: the job is inactive until it gets another plan or another turn.
    pub spent: bool,
}

/// A job whose state a node wants to have.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Wanted {
    /// Which.
    pub name: Name,
    /// The revision of the definition, as far as the node knows.
    pub plan: Revision,
    /// What the node remembers, should the store have lost it.
    pub known: Option<JobState>,
}

/// A decision about a slot, or about several that follow each other.
#[derive(Clone, PartialEq, Debug)]
pub struct Claim {
    /// Of which job.
    pub name: Name,
    /// The fence of the lease of its bucket.
    pub fence: Fence,
    /// By which plan.
    pub plan: Revision,
    /// In which turn.
    pub turn: u64,
    /// Counted from when.
    pub anchor: Micros,
    /// The slot; the first one, if there are several.
    pub slot: Micros,
    /// The last one; the same, if it is one.
    pub until: Micros,
    /// Whether no slot follows.
    pub spent: bool,
    /// What is written down: a run begins, or why there is none.
    pub record: Record,
}

/// What became of a claim.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Answer {
    /// It is decided as claimed; also if this very claim had been granted before.
    Granted,
    /// It was decided before.
    Taken,
    /// The definition is another one by now, or gone.
    Retired,
    /// Its time has not come.
    Early,
    /// The lease is not held any more.
    Lost,
}

/// The end of a run.
#[derive(Clone, PartialEq, Debug)]
pub struct Ending {
    /// Of which job.
    pub name: Name,
    /// Of which slot.
    pub slot: Micros,
    /// How it ended.
    pub record: Record,
    /// Only if the run is still taken to be under way; otherwise what is known of its end stays.
    pub presumed: bool,
}

/// A look at the store: its time, and whether something was changed beside the catalog.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Look {
    /// The time.
    pub now: Micros,
    /// Counts the changes that [`Slots::activate`] and [`Slots::rename`] have made.
    pub changes: u64,
    /// Which connection to the store it is: with another one, it may have fallen back to what it was before.
    pub link: u64,
}

/// Where it is kept. Every implementation keeps the contract in `slots/contract.rs`.
#[async_trait]
pub trait Slots: Send + Sync + 'static {
    /// The time.
    async fn look(&self) -> Result<Look, StoreError>;

    /// The states of jobs of one bucket under its lease, made where there is none, and moved to a newer plan; none if
    /// the lease is not held any more.
    async fn take_over(&self, lease: &Held, wanted: &[Wanted]) -> Result<Option<Vec<JobState>>, StoreError>;

    /// The runs of a bucket that have begun and not ended, as far as it is known.
    async fn under_way(&self, bucket: u16) -> Result<Vec<(Name, Record)>, StoreError>;

    /// Decides slots, each in one atomic step; `owner` holds the leases. Claiming the same again does no harm.
    async fn claim(&self, owner: &str, claims: &[Claim]) -> Result<Vec<Answer>, StoreError>;

    /// Writes down that a run begins that belongs to no slot: somebody wants it.
    async fn begin(&self, name: &Name, record: &Record) -> Result<(), StoreError>;

    /// Writes down how runs ended.
    async fn end(&self, endings: &[Ending]) -> Result<(), StoreError>;

    /// What is known of the newest slots of a job, newest first: those under way, too.
    async fn history(&self, name: &Name, limit: usize) -> Result<Vec<Record>, StoreError>;

    /// The states of jobs, if there are any yet.
    async fn states(&self, names: &[Name]) -> Result<Vec<Option<JobState>>, StoreError>;

    /// The numbers by which programs know jobs, given at the first question.
    async fn numbers(&self, names: &[Name]) -> Result<Vec<u64>, StoreError>;

    /// Lets a job begin another turn: its slots from now on are due, though its definition has not changed.
    async fn activate(&self, name: &Name) -> Result<bool, StoreError>;

    /// Gives everything that is kept of one job to another, once the catalog has the other.
    async fn rename(&self, from: &Name, to: &Name) -> Result<(), StoreError>;

    /// Drops what is kept of jobs of a bucket that are not in the catalog, and among these only what `names` has.
    async fn forget(&self, bucket: u16, names: &[Name]) -> Result<(), StoreError>;

    /// The jobs of a bucket of which something is kept.
    async fn known(&self, bucket: u16) -> Result<Vec<Name>, StoreError>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_are_of_like_size() {
        let mut sizes = [0_u32; BUCKETS as usize];
        for at in 0..6_400 {
            sizes[usize::from(bucket_of(&format!("job {at}").parse().expect("a name")))] += 1;
        }
        assert!(sizes.iter().all(|size| (50..200).contains(size)), "{sizes:?}");
    }
}
