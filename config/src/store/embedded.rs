//! The embedded store: one database file in the node's data folder. The truth of a node that is not in a cluster.

mod file;
mod journal;
mod sessions;
mod slots;

#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use arc_swap::ArcSwap;
use async_trait::async_trait;
use tokio::sync::watch;

use self::file::{Batch, Contents, File};
use self::journal::FileJournal;
use self::sessions::FileSessions;
use super::{Change, CommitError, Entry, Health, Note, Store, StoreError};
use crate::catalog::Catalog;
use crate::clock::Clock;
use crate::journal::Journal;
use crate::lease;
use crate::name::Revision;
use crate::sessions::Sessions;

/// A store in a file. One process at a time holds it.
#[derive(Debug)]
pub struct Embedded(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    folder: PathBuf,
    clock: Clock,
    sessions: FileSessions,
    journal: FileJournal,
    /// What the file holds, so that readers never wait for the disk.
    current: ArcSwap<Catalog>,
    nudge: watch::Sender<Revision>,
    /// One writer at a time; held from the comparison of the revision to the answer of the disk.
    writer: Arc<tokio::sync::Mutex<()>>,
    /// None after the disk has failed, until it can be opened again: the database trusts nothing it has in memory
    /// once a write has failed.
    file: RwLock<Option<File>>,
    unreadable: Mutex<BTreeSet<String>>,
    /// Of the one node: they end with it.
    leases: lease::Memory,
}

impl Embedded {
    /// Opens the store in this data folder; makes the folder, for its owner only, and an empty store if there is none.
    ///
    /// # Errors
    /// If another process holds it, the disk refuses, or another version of the program wrote it.
    pub fn open(folder: &Path, clock: Clock) -> Result<Self, StoreError> {
        let (file, contents) = File::open(folder)?;
        let revision = contents.catalog.revision;
        let sessions = FileSessions::open(folder, clock.clone())?;
        let journal = FileJournal::open(folder, clock.clone())?;
        Ok(Self(Arc::new(Inner {
            folder: folder.into(),
            leases: lease::Memory::new(clock.clone()),
            clock,
            sessions,
            journal,
            current: ArcSwap::from_pointee(contents.catalog),
            nudge: watch::Sender::new(revision),
            writer: Arc::default(),
            file: RwLock::new(Some(file)),
            unreadable: Mutex::new(contents.unreadable),
        })))
    }

    /// The ids of definitions in the file that cannot be read. They are left out of the catalog, so that the rest
    /// runs; writing or deleting one makes it whole.
    pub fn unreadable(&self) -> Vec<String> {
        self.0.unreadable.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }
}

impl Inner {
    /// One commit, on a thread that may wait for the disk.
    fn commit(&self, expect: Revision, change: &Change, note: Note) -> Result<Arc<Catalog>, CommitError> {
        let lost = self.file.read().unwrap_or_else(PoisonError::into_inner).is_none();
        if lost {
            self.reopen()?;
        }
        let before = self.current.load_full();
        if before.revision != expect {
            return Err(CommitError::Conflict { expected: expect, current: before.revision });
        }
        let after = Arc::new(change.applied_to(&before));
        let ops = change.ops(&before, &after);
        let entry = Entry { revision: after.revision, at: self.clock.now(), note, ops };
        let batch = Batch::new(&entry)?;
        let written = match self.file.read().unwrap_or_else(PoisonError::into_inner).as_ref() {
            Some(file) => file.write(&batch),
            None => Err(StoreError::Unavailable("the store is closed".into())),
        };
        if let Err(error) = written {
            tracing::warn!(%error, "a commit failed; opening the store again");
            // The failure may have come after the write had reached the disk: only the file can tell.
            self.reopen().map_err(|_| error.clone())?;
            let found = self.current.load_full();
            return if found.revision == after.revision { Ok(found) } else { Err(error.into()) };
        }
        let mut unreadable = self.unreadable.lock().unwrap_or_else(PoisonError::into_inner);
        unreadable.retain(|id| !batch.touches(id));
        drop(unreadable);
        self.publish(after.clone());
        Ok(after)
    }

    /// Works on the file; opens it anew first if the disk has failed, and forgets it if it fails now.
    fn with_file<T>(&self, work: impl FnOnce(&File) -> Result<T, StoreError>) -> Result<T, StoreError> {
        let lost = self.file.read().unwrap_or_else(PoisonError::into_inner).is_none();
        if lost {
            self.reopen()?;
        }
        let outcome = match self.file.read().unwrap_or_else(PoisonError::into_inner).as_ref() {
            Some(file) => work(file),
            None => Err(StoreError::Unavailable("the store is closed".into())),
        };
        if let Err(error) = &outcome {
            tracing::warn!(%error, "what is kept of jobs cannot be written; opening the store again");
            self.reopen()?;
        }
        outcome
    }

    /// Opens the file anew and takes over what it holds.
    fn reopen(&self) -> Result<(), StoreError> {
        let mut slot = self.file.write().unwrap_or_else(PoisonError::into_inner);
        // The lock on the file goes with the old database.
        *slot = None;
        let (file, contents) = File::open(&self.folder)?;
        *slot = Some(file);
        drop(slot);
        let Contents { catalog, unreadable } = contents;
        *self.unreadable.lock().unwrap_or_else(PoisonError::into_inner) = unreadable;
        if catalog.revision != self.current.load().revision {
            self.publish(Arc::new(catalog));
        }
        Ok(())
    }

    fn publish(&self, catalog: Arc<Catalog>) {
        let revision = catalog.revision;
        self.current.store(catalog);
        self.nudge.send_replace(revision);
    }
}

/// Runs `work` on a thread that may wait for the disk.
async fn blocking<T: Send + 'static, E: From<StoreError> + Send + 'static>(
    work: impl FnOnce() -> Result<T, E> + Send + 'static,
) -> Result<T, E> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) => Err(StoreError::Unavailable(format!("the store's thread ended: {error}")).into()),
    }
}

#[async_trait]
impl Store for Embedded {
    async fn load(&self) -> Result<Arc<Catalog>, StoreError> {
        Ok(self.0.current.load_full())
    }

    async fn commit(
        &self,
        expect: Revision,
        change: Change,
        note: Note,
    ) -> Result<Arc<Catalog>, CommitError> {
        let turn = self.0.writer.clone().lock_owned().await;
        let inner = self.0.clone();
        // The turn goes along: a caller that gives up waiting does not let the next writer in half-way.
        blocking(move || {
            let result = inner.commit(expect, &change, note);
            drop(turn);
            result
        })
        .await
    }

    async fn history(&self, before: Option<Revision>, limit: usize) -> Result<Vec<Entry>, StoreError> {
        let inner = self.0.clone();
        blocking(move || match inner.file.read().unwrap_or_else(PoisonError::into_inner).as_ref() {
            Some(file) => file.history(before, limit),
            None => Err(StoreError::Unavailable(
                "the disk has failed; the next change opens the store again".into(),
            )),
        })
        .await
    }

    fn nudges(&self) -> watch::Receiver<Revision> {
        self.0.nudge.subscribe()
    }

    fn describe(&self) -> String {
        format!("embedded ({})", self.0.folder.display())
    }

    fn sessions(&self) -> Arc<dyn Sessions> {
        Arc::new(self.0.sessions.clone())
    }

    fn journal(&self) -> Arc<dyn Journal> {
        Arc::new(self.0.journal.clone())
    }

    fn health(&self) -> Health {
        Health { unreadable: self.unreadable(), ..Health::at_hand(self.0.current.load().revision) }
    }
}
