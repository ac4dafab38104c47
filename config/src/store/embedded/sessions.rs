//! Sessions of a single node, in a file of their own, so that a restart logs nobody out.
//!
//! What is opened and ended is on the disk before it is answered. How long a session was prolonged is written together
//! with others, at most once a second, and when the node stops: a crash may shorten sessions by that, never revive one.

use std::collections::HashSet;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use chrono::DateTime;
use redb::{Database, ReadableDatabase as _, ReadableTable as _, TableDefinition, TableError};
use tokio::sync::broadcast;
use tokio::time::Instant;

use crate::clock::Clock;
use crate::sessions::{Memory, Sessions};
use crate::store::StoreError;

/// The file's name within the data folder.
const FILE: &str = "sessions.redb";
/// An id, and the end in milliseconds since 1970.
const SESSIONS: TableDefinition<'_, &str, i64> = TableDefinition::new("sessions");
/// How often prolonged sessions are written.
const WRITE_EVERY: Duration = Duration::from_secs(1);
/// The sessions are in memory anyway.
const CACHE: usize = 1 << 20;

/// See the module. Clones share the file.
#[derive(Clone)]
pub(super) struct FileSessions(Arc<Inner>);

struct Inner {
    memory: Memory,
    database: Database,
    late: Mutex<Late>,
}

/// What is not on the disk yet.
struct Late {
    prolonged: HashSet<String>,
    written: Instant,
}

impl std::fmt::Debug for FileSessions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("FileSessions")
    }
}

impl FileSessions {
    /// Opens the file in this data folder, or makes it.
    ///
    /// # Errors
    /// If the disk refuses, or it is not such a file.
    pub(super) fn open(folder: &Path, clock: Clock) -> Result<Self, StoreError> {
        let path = folder.join(FILE);
        let told = |error: redb::Error| StoreError::Unavailable(format!("{}: {error}", path.display()));
        std::fs::OpenOptions::new()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .mode(0o600)
            .open(&path)
            .map_err(|error| told(error.into()))?;
        let database = Database::builder().set_cache_size(CACHE).create(&path);
        let database = database.map_err(|error| told(error.into()))?;
        let read = || -> Result<Vec<(String, i64)>, redb::Error> {
            let tx = database.begin_read()?;
            let table = match tx.open_table(SESSIONS) {
                Ok(table) => table,
                Err(TableError::TableDoesNotExist(_)) => return Ok(Vec::new()),
                Err(error) => return Err(error.into()),
            };
            let rows = table.iter()?.map(|row| row.map(|(id, end)| (id.value().to_owned(), end.value())));
            Ok(rows.collect::<Result<_, _>>()?)
        };
        let rows = read().map_err(told)?;
        let ends =
            rows.iter().filter_map(|(id, end)| Some((id.clone(), DateTime::from_timestamp_millis(*end)?)));
        let memory = Memory::with(clock, ends);
        let sessions = Self(Arc::new(Inner {
            memory,
            database,
            late: Mutex::new(Late { prolonged: HashSet::new(), written: Instant::now() }),
        }));
        // Those that have ended meanwhile.
        sessions.0.write(rows.into_iter().map(|(id, _)| id))?;
        Ok(sessions)
    }

    async fn written(&self, ids: Vec<String>) -> Result<(), StoreError> {
        let inner = self.0.clone();
        super::blocking(move || inner.write(ids)).await
    }
}

impl Inner {
    /// Writes what is known of these sessions.
    fn write(&self, ids: impl IntoIterator<Item = String>) -> Result<(), StoreError> {
        let write = || -> Result<(), redb::Error> {
            let tx = self.database.begin_write()?;
            {
                let mut table = tx.open_table(SESSIONS)?;
                for id in ids {
                    match self.memory.end(&id) {
                        Some(end) => table.insert(&*id, end.timestamp_millis())?,
                        None => table.remove(&*id)?,
                    };
                }
            }
            tx.commit()?;
            Ok(())
        };
        write().map_err(|error| StoreError::Unavailable(format!("{FILE}: {error}")))
    }

    /// What is to be written now, if it is time.
    fn due(&self, id: &str) -> Option<Vec<String>> {
        let mut late = self.late.lock().unwrap_or_else(PoisonError::into_inner);
        late.prolonged.insert(id.into());
        if late.written.elapsed() < WRITE_EVERY {
            return None;
        }
        late.written = Instant::now();
        Some(late.prolonged.drain().collect())
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        let late = self.late.get_mut().unwrap_or_else(PoisonError::into_inner);
        let ids: Vec<String> = late.prolonged.drain().collect();
        if let Err(error) = self.write(ids) {
            tracing::warn!(%error, "how long sessions were prolonged is not written");
        }
    }
}

#[async_trait]
impl Sessions for FileSessions {
    async fn open(&self, id: &str, ttl: Duration) -> Result<(), StoreError> {
        self.0.memory.open(id, ttl).await?;
        let written = self.written(vec![id.into()]).await;
        if written.is_err() {
            drop(self.0.memory.close(id).await); // it would not survive
        }
        written
    }

    async fn touch(&self, id: &str, ttl: Duration) -> Result<bool, StoreError> {
        let there = self.0.memory.touch(id, ttl).await?;
        if there && let Some(due) = self.0.due(id) {
            // The session counts all the same if the disk refuses.
            if let Err(error) = self.written(due).await {
                tracing::warn!(%error, "how long sessions were prolonged is not written");
            }
        }
        Ok(there)
    }

    async fn close(&self, id: &str) -> Result<bool, StoreError> {
        let there = self.0.memory.close(id).await?;
        self.written(vec![id.into()]).await?;
        Ok(there)
    }

    fn closed(&self) -> broadcast::Receiver<Arc<str>> {
        self.0.memory.closed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sessions::contract;

    const LONG: Duration = Duration::from_secs(20);

    #[tokio::test]
    async fn it_keeps_the_contract() {
        let folder = tempfile::tempdir().expect("a folder");
        let sessions = FileSessions::open(folder.path(), Clock::System).expect("opens");
        contract::keeps(&sessions, &sessions.clone()).await;
    }

    #[tokio::test]
    async fn a_restart_logs_nobody_out_and_nobody_in() {
        let folder = tempfile::tempdir().expect("a folder");
        let clock = Clock::manual(DateTime::UNIX_EPOCH);
        let open = || FileSessions::open(folder.path(), clock.clone()).expect("opens");
        let sessions = open();
        for id in ["kept", "ended", "prolonged"] {
            sessions.open(id, LONG).await.expect("opens");
        }
        assert!(sessions.close("ended").await.expect("answers"));
        assert!(sessions.touch("prolonged", LONG * 3).await.expect("answers"));
        drop(sessions);
        clock.advance(chrono::TimeDelta::seconds(10));
        let sessions = open();
        assert!(sessions.touch("kept", LONG).await.expect("answers"));
        assert!(!sessions.touch("ended", LONG).await.expect("answers"));
        drop(sessions);
        clock.advance(chrono::TimeDelta::seconds(25));
        let sessions = open();
        assert!(!sessions.touch("kept", LONG).await.expect("answers"), "it has ended meanwhile");
        assert!(sessions.touch("prolonged", LONG).await.expect("answers"), "it was prolonged");
        let mode = std::os::unix::fs::MetadataExt::mode(
            &std::fs::metadata(folder.path().join(FILE)).expect("is there"),
        );
        assert_eq!(mode & 0o777, 0o600);
    }
}
