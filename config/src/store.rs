//! The store: where the truth lives, under one revision. The trait every store keeps, and what its answers mean.

pub mod embedded;
mod health;
pub mod memory;
pub mod redis;

#[cfg(test)]
pub(crate) mod contract;

use std::sync::Arc;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use crate::catalog::{ById, Catalog};
use crate::definition::Definition;
use crate::journal::Journal;
use crate::name::{DefId, Revision};
use crate::rights::Principal;
use crate::sessions::Sessions;

pub use self::health::{Health, State};

/// How many revisions the history keeps; older ones are dropped.
pub const HISTORY_LIMIT: u64 = 10_000;

/// What one commit changes.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Change {
    /// Definitions to write. The store sets their `changed_at`.
    pub put: Vec<Definition>,
    /// Definitions to delete.
    pub delete: Vec<DefId>,
}

impl Change {
    /// Whether it changes nothing.
    pub fn is_empty(&self) -> bool {
        self.put.is_empty() && self.delete.is_empty()
    }

    /// The catalog after this change, at the next revision.
    pub fn applied_to(&self, before: &Catalog) -> Catalog {
        let mut after = Catalog { revision: before.revision.next(), definitions: before.definitions.clone() };
        for definition in &self.put {
            let definition = Definition { changed_at: after.revision, ..definition.clone() };
            after.definitions.insert(definition.id.clone(), Arc::new(definition));
        }
        for id in &self.delete {
            after.definitions.remove(id);
        }
        after
    }

    /// What the history records of this change.
    pub fn ops(&self, before: &Catalog, after: &Catalog) -> Vec<Op> {
        let ids = self.put.iter().map(|d| &d.id).chain(&self.delete);
        let get = |catalog: &Catalog, id| catalog.get(id).map(|d| Definition::clone(d));
        ids.map(|id| Op { id: id.clone(), before: get(before, id), after: get(after, id) }).collect()
    }
}

/// Who changes something, and why.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Note {
    /// Who, by their own words: what proves it is in `by`.
    pub author: String,
    /// Who showed an admin token, if the change came that way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<Principal>,
    /// From which address, if the change came through a channel.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// Why, if they said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// One definition's change within a revision.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Op {
    /// Which definition.
    pub id: DefId,
    /// What it was, if it was there.
    pub before: Option<Definition>,
    /// What it became, if it is still there.
    pub after: Option<Definition>,
}

/// One revision in the history.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Entry {
    /// Which.
    pub revision: Revision,
    /// When, by the store's clock.
    pub at: DateTime<Utc>,
    /// Who and why.
    pub note: Note,
    /// What it changed.
    pub ops: Vec<Op>,
}

/// Why a store could not answer.
#[derive(Clone, Debug, thiserror::Error)]
pub enum StoreError {
    /// It cannot be reached, or the disk refuses; nothing was half written. Worth trying again.
    #[error("the store is not available: {0}")]
    Unavailable(String),
    /// It holds something that cannot be read.
    #[error("the store holds something that cannot be read: {0}")]
    Corrupt(String),
    /// The history does not reach back that far.
    #[error("the history keeps nothing of revision {0}; the oldest it can return to is {1}")]
    TooOld(Revision, Revision),
    /// That revision has not happened.
    #[error("there is no revision {0}; the newest is {1}")]
    NotYet(Revision, Revision),
}

/// Why a commit did not happen.
#[derive(Clone, Debug, thiserror::Error)]
pub enum CommitError {
    /// Somebody was faster.
    #[error(
        "the catalog is at revision {current} by now, not at {expected}; read it again and repeat the change"
    )]
    Conflict {
        /// What the writer had seen.
        expected: Revision,
        /// What it is.
        current: Revision,
    },
    /// The store could not take it.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Where the truth lives. Every store keeps the same contract: `store/contract.rs` is run on each.
#[async_trait]
pub trait Store: Send + Sync + 'static {
    /// Everything wanted, at the newest revision. Cheap: a store keeps it at hand.
    async fn load(&self) -> Result<Arc<Catalog>, StoreError>;

    /// Applies `change` in one atomic step if the store is still at `expect`, and returns the new catalog. Once this
    /// answers, the change survives a crash.
    async fn commit(&self, expect: Revision, change: Change, note: Note)
    -> Result<Arc<Catalog>, CommitError>;

    /// The newest `limit` revisions before `before` (or of all), newest first.
    async fn history(&self, before: Option<Revision>, limit: usize) -> Result<Vec<Entry>, StoreError>;

    /// Wakes when a newer revision may exist. A hint only: it may be late, doubled or lost.
    fn nudges(&self) -> watch::Receiver<Revision>;

    /// A word for people: what kind of store, and where.
    fn describe(&self) -> String;

    /// The sessions of those who have logged in, which are kept beside the truth.
    fn sessions(&self) -> Arc<dyn Sessions>;

    /// What was done and who was refused, kept beside the truth.
    fn journal(&self) -> Arc<dyn Journal>;

    /// How it is.
    fn health(&self) -> Health;

    /// The catalog as it was at `revision`, by undoing the history from the newest on.
    async fn load_at(&self, revision: Revision) -> Result<Catalog, StoreError> {
        let now = self.load().await?;
        if revision > now.revision {
            return Err(StoreError::NotYet(revision, now.revision));
        }
        let mut definitions = now.definitions.clone();
        let mut at = now.revision;
        while at > revision {
            let page = self.history(Some(at.next()), 100).await?;
            let Some(first) = page.first().filter(|entry| entry.revision == at) else {
                return Err(StoreError::TooOld(revision, at));
            };
            debug_assert_eq!(first.revision, at);
            for entry in page.into_iter().take_while(|entry| entry.revision > revision) {
                if entry.revision != at {
                    return Err(StoreError::TooOld(revision, at));
                }
                undo(&mut definitions, entry.ops);
                at = Revision(at.0 - 1);
            }
        }
        Ok(Catalog { revision, definitions })
    }
}

fn undo(definitions: &mut ById<Arc<Definition>>, ops: Vec<Op>) {
    for op in ops.into_iter().rev() {
        match op.before {
            Some(before) => definitions.insert(op.id, Arc::new(before)),
            None => definitions.remove(&op.id),
        };
    }
}
