//! The database file of the embedded store: what is in it, and what its errors mean.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{DirBuilder, OpenOptions};
use std::io::ErrorKind;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use redb::{
    Database, ReadableDatabase as _, ReadableTable as _, ReadableTableMetadata as _, TableDefinition,
    TableError,
};

use crate::catalog::Catalog;
use crate::definition::Definition;
use crate::name::{DefId, Revision};
use crate::store::{Entry, HISTORY_LIMIT, StoreError};

/// The file's name within the data folder.
pub(super) const FILE: &str = "definitions.redb";
/// The version of what is below; a file of another version is not touched.
const FORMAT: u64 = 1;

/// A definition's id and its JSON.
const DEFINITIONS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("definitions");
/// A revision and the JSON of its entry.
const HISTORY: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("history");
/// The two numbers below.
const META: TableDefinition<'_, &str, u64> = TableDefinition::new("meta");
const META_FORMAT: &str = "format";
const META_REVISION: &str = "revision";

/// Enough for the catalog of a large node; the catalog itself is in memory anyway.
const CACHE: usize = 16 << 20;

/// What a file holds.
#[derive(Debug, Default)]
pub(super) struct Contents {
    /// What is wanted.
    pub(super) catalog: Catalog,
    /// Ids whose definitions cannot be read.
    pub(super) unreadable: BTreeSet<String>,
}

/// What one commit writes.
#[derive(Debug)]
pub(super) struct Batch {
    revision: u64,
    entry: Vec<u8>,
    definitions: BTreeMap<String, Option<Vec<u8>>>,
}

impl Batch {
    /// The rows that this entry of the history stands for.
    pub(super) fn new(entry: &Entry) -> Result<Self, StoreError> {
        let failed =
            |error: serde_json::Error| StoreError::Unavailable(format!("cannot be written as JSON: {error}"));
        let row = |op: &super::super::Op| {
            let json = op.after.as_ref().map(serde_json::to_vec).transpose().map_err(failed)?;
            Ok((op.id.to_string(), json))
        };
        Ok(Self {
            revision: entry.revision.0,
            entry: serde_json::to_vec(entry).map_err(failed)?,
            definitions: entry.ops.iter().map(row).collect::<Result<_, StoreError>>()?,
        })
    }

    /// Whether it writes or deletes the definition of this id.
    pub(super) fn touches(&self, id: &str) -> bool {
        self.definitions.contains_key(id)
    }
}

/// The open file. The operating system's lock on it goes when it is dropped.
#[derive(Debug)]
pub(super) struct File {
    path: PathBuf,
    database: Database,
}

impl File {
    /// Opens or makes the file in this folder, and reads it.
    pub(super) fn open(folder: &Path) -> Result<(Self, Contents), StoreError> {
        let path = folder.join(FILE);
        let refused = |error: std::io::Error| explain(&path, error.into());
        DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(refused)?;
        OpenOptions::new()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .mode(0o600)
            .open(&path)
            .map_err(refused)?;
        let database = Database::builder()
            .set_cache_size(CACHE)
            .create(&path)
            .map_err(|error| explain(&path, error.into()))?;
        let file = Self { path, database };
        let contents = file.prepare()?;
        Ok((file, contents))
    }

    /// Checks the format, or sets it in a new file, and reads everything.
    fn prepare(&self) -> Result<Contents, StoreError> {
        let tx = self.told(self.database.begin_read())?;
        let meta = match tx.open_table(META) {
            Ok(meta) => meta,
            Err(TableError::TableDoesNotExist(_)) => return self.found().map(|()| Contents::default()),
            Err(error) => return Err(self.explain(error.into())),
        };
        let number = |key| self.told(meta.get(key)).map(|found| found.map_or(0, |guard| guard.value()));
        let format = number(META_FORMAT)?;
        if format != FORMAT {
            return Err(StoreError::Corrupt(format!(
                "{} has format {format}, and this program reads format {FORMAT}; run the version of zeugma that wrote \
                 it, export there, and apply the export to a new data folder",
                self.path.display()
            )));
        }
        let mut contents = Contents::default();
        contents.catalog.revision = Revision(number(META_REVISION)?);
        let definitions = self.told(tx.open_table(DEFINITIONS))?;
        for row in self.told(definitions.iter())? {
            let (key, json) = self.told(row)?;
            match read_definition(key.value(), json.value()) {
                Ok(definition) => {
                    contents.catalog.definitions.insert(definition.id.clone(), Arc::new(definition));
                }
                // The reason names a place in the text, never the text: it may hold a secret.
                Err(reason) => {
                    tracing::error!(id = key.value(), %reason, "a stored definition cannot be read and is left out");
                    contents.unreadable.insert(key.value().to_owned());
                }
            }
        }
        Ok(contents)
    }

    /// Makes the tables of a new file.
    fn found(&self) -> Result<(), StoreError> {
        let make = || -> Result<(), redb::Error> {
            let tx = self.database.begin_write()?;
            tx.open_table(META)?.insert(META_FORMAT, FORMAT)?;
            tx.open_table(DEFINITIONS)?;
            tx.open_table(HISTORY)?;
            tx.commit()?;
            Ok(())
        };
        self.told(make())
    }

    /// Writes a batch, all of it or nothing. It is on the disk when this returns.
    pub(super) fn write(&self, batch: &Batch) -> Result<(), StoreError> {
        let write = || -> Result<(), redb::Error> {
            let tx = self.database.begin_write()?;
            {
                let mut definitions = tx.open_table(DEFINITIONS)?;
                for (id, json) in &batch.definitions {
                    match json {
                        Some(json) => definitions.insert(id.as_str(), json.as_slice())?,
                        None => definitions.remove(id.as_str())?,
                    };
                }
                let mut history = tx.open_table(HISTORY)?;
                history.insert(batch.revision, batch.entry.as_slice())?;
                while history.len()? > HISTORY_LIMIT {
                    history.pop_first()?;
                }
                tx.open_table(META)?.insert(META_REVISION, batch.revision)?;
            }
            tx.commit()?;
            Ok(())
        };
        self.told(write())
    }

    /// The newest entries before a revision, newest first.
    pub(super) fn history(&self, before: Option<Revision>, limit: usize) -> Result<Vec<Entry>, StoreError> {
        let tx = self.told(self.database.begin_read())?;
        let history = self.told(tx.open_table(HISTORY))?;
        let rows = self.told(history.range(..before.map_or(u64::MAX, |b| b.0)))?;
        let entry = |row| {
            let (revision, json): (redb::AccessGuard<'_, u64>, redb::AccessGuard<'_, &[u8]>) =
                self.told(row)?;
            serde_json::from_slice(json.value()).map_err(|error| {
                StoreError::Corrupt(format!(
                    "revision {} of the history: {}",
                    revision.value(),
                    describe(&error)
                ))
            })
        };
        rows.rev().take(limit).map(entry).collect()
    }

    /// The database in it.
    pub(super) fn database(&self) -> &Database {
        &self.database
    }

    pub(super) fn told<T, E: Into<redb::Error>>(&self, result: Result<T, E>) -> Result<T, StoreError> {
        result.map_err(|error| self.explain(error.into()))
    }

    fn explain(&self, error: redb::Error) -> StoreError {
        explain(&self.path, error)
    }
}

fn read_definition(key: &str, json: &[u8]) -> Result<Definition, String> {
    let id: DefId = key.parse().map_err(|_| "its id is not family/name".to_owned())?;
    let definition: Definition = serde_json::from_slice(json).map_err(|error| describe(&error))?;
    if definition.id == id { Ok(definition) } else { Err("it is stored under the id of another".into()) }
}

/// What kind of error it is and where, without the text that serde may quote.
fn describe(error: &serde_json::Error) -> String {
    format!("{:?} error at line {} column {}", error.classify(), error.line(), error.column()).to_lowercase()
}

/// What the database's error means for a person, and what to do.
fn explain(path: &Path, error: redb::Error) -> StoreError {
    let shown = path.display();
    match error {
        redb::Error::DatabaseAlreadyOpen => {
            let folder = path.parent().unwrap_or(path).display();
            StoreError::Unavailable(format!(
                "another node runs on this data folder ({folder}); stop it, or give this one another folder with --data"
            ))
        }
        redb::Error::Corrupted(what) => damaged(path, &what),
        redb::Error::Io(error) if error.kind() == ErrorKind::InvalidData => damaged(path, &error.to_string()),
        redb::Error::UpgradeRequired(version) => StoreError::Corrupt(format!(
            "{shown} is in the database's old file format {version}; export with the version of zeugma that wrote it, \
             and apply the export to a new data folder"
        )),
        redb::Error::Io(error) => {
            let advice = match error.kind() {
                ErrorKind::StorageFull | ErrorKind::FileTooLarge | ErrorKind::QuotaExceeded => {
                    "nothing was changed; free space on the disk and try again"
                }
                ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => {
                    "let the user who runs the node write to the folder"
                }
                _ => "nothing was changed; check the disk and try again",
            };
            StoreError::Unavailable(format!("{shown}: {error}; {advice}"))
        }
        other => StoreError::Unavailable(format!("{shown}: {other}; check the disk and try again")),
    }
}

fn damaged(path: &Path, what: &str) -> StoreError {
    StoreError::Corrupt(format!(
        "{} is damaged or not a store of definitions: {what}; bring it back from a backup, or move it away and apply an \
         export",
        path.display()
    ))
}
