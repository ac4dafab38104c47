//! The journals of a single node, in a file of their own.

use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use redb::{Database, ReadableDatabase as _, ReadableTable as _, ReadableTableMetadata as _};
use redb::{TableDefinition, TableError};

use crate::clock::Clock;
use crate::journal::{Deed, Journal, Log, next};
use crate::store::StoreError;

/// The file's name within the data folder.
const FILE: &str = "journal.redb";
/// It is written seldom, and read seldom.
const CACHE: usize = 1 << 20;

/// The time in microseconds since 1970, and the deed.
fn table(log: Log) -> TableDefinition<'static, i64, &'static [u8]> {
    TableDefinition::new(log.as_str())
}

/// See the module. Clones share the file.
#[derive(Clone)]
pub(super) struct FileJournal {
    clock: Clock,
    database: Arc<Database>,
}

impl std::fmt::Debug for FileJournal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("FileJournal")
    }
}

fn told(error: impl std::fmt::Display) -> StoreError {
    StoreError::Unavailable(format!("{FILE}: {error}"))
}

impl FileJournal {
    /// Opens the file in this data folder, or makes it.
    ///
    /// # Errors
    /// If the disk refuses, or it is not such a file.
    pub(super) fn open(folder: &Path, clock: Clock) -> Result<Self, StoreError> {
        let path = folder.join(FILE);
        let mut options = std::fs::OpenOptions::new();
        options.create(true).truncate(false).read(true).write(true).mode(0o600).open(&path).map_err(told)?;
        let database = Database::builder().set_cache_size(CACHE).create(&path).map_err(told)?;
        Ok(Self { clock, database: Arc::new(database) })
    }

    fn write(&self, log: Log, deed: Deed) -> Result<(), redb::Error> {
        let tx = self.database.begin_write()?;
        {
            let mut table = tx.open_table(table(log))?;
            let last = table.last()?.and_then(|(at, _)| DateTime::from_timestamp_micros(at.value()));
            let at = next(last, self.clock.now());
            let text = serde_json::to_vec(&Deed { at, ..deed });
            let text = text.map_err(|error| redb::Error::Io(std::io::Error::other(error)))?;
            table.insert(at.timestamp_micros(), text.as_slice())?;
            while table.len()? > log.keeps() as u64 {
                table.pop_first()?;
            }
        }
        tx.commit()?;
        Ok(())
    }

    fn newest(
        &self,
        log: Log,
        before: Option<DateTime<Utc>>,
        limit: usize,
    ) -> Result<Vec<Deed>, redb::Error> {
        let tx = self.database.begin_read()?;
        let table = match tx.open_table(table(log)) {
            Ok(table) => table,
            Err(TableError::TableDoesNotExist(_)) => return Ok(Vec::new()),
            Err(error) => return Err(error.into()),
        };
        let end = before.map_or(i64::MAX, |before| before.timestamp_micros());
        let mut deeds = Vec::new();
        for row in table.range(..end)?.rev().take(limit) {
            match serde_json::from_slice(row?.1.value()) {
                Ok(deed) => deeds.push(deed),
                Err(error) => tracing::warn!(%error, "an entry of the journal cannot be read"),
            }
        }
        Ok(deeds)
    }
}

#[async_trait]
impl Journal for FileJournal {
    async fn note(&self, log: Log, deed: Deed) -> Result<(), StoreError> {
        let this = self.clone();
        super::blocking(move || this.write(log, deed).map_err(told)).await
    }

    async fn read(
        &self,
        log: Log,
        before: Option<DateTime<Utc>>,
        limit: usize,
    ) -> Result<Vec<Deed>, StoreError> {
        let this = self.clone();
        super::blocking(move || this.newest(log, before, limit).map_err(told)).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::contract;

    #[tokio::test]
    async fn it_keeps_the_contract_and_survives() {
        let folder = tempfile::tempdir().expect("a folder");
        let journal = FileJournal::open(folder.path(), Clock::System).expect("opens");
        contract::keeps(&journal).await;
        drop(journal);
        let journal = FileJournal::open(folder.path(), Clock::System).expect("opens");
        assert_eq!(journal.read(Log::Done, None, 100).await.expect("answers").len(), 50);
    }
}
