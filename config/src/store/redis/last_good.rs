//! The last catalog that this node has seen, on its own disk: what it starts from when Redis is away.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::lineage::{Lineage, Position};
use super::replica::Held;
use crate::definition::Definition;
use crate::name::{Name, Revision};
use crate::store::StoreError;

/// The file's name within the data folder.
pub(super) const FILE: &str = "last-good.json";
/// The version of [`Written`]; a file of another version is not used.
const FORMAT: u32 = 1;

/// What is written. Secrets are sealed in it, as everywhere at rest.
#[derive(Serialize)]
struct Written<'a> {
    format: u32,
    cluster: &'a Name,
    lineage: &'a str,
    revision: Revision,
    definitions: Vec<&'a Definition>,
}

/// The same, read: each definition by itself, so that one that cannot be read does not spoil the others.
#[derive(Deserialize)]
struct Read {
    format: u32,
    cluster: Name,
    lineage: String,
    revision: Revision,
    definitions: Vec<Box<RawValue>>,
}

/// The file of one cluster in one data folder.
#[derive(Clone, Debug)]
pub(super) struct LastGood {
    path: PathBuf,
    cluster: Name,
}

impl LastGood {
    /// Makes the folder, for its owner only, unless it is there.
    pub(super) fn new(folder: &Path, cluster: &Name) -> Result<Self, StoreError> {
        let path = folder.join(FILE);
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(folder)
            .map_err(|error| StoreError::Unavailable(format!("{}: {error}", folder.display())))?;
        Ok(Self { path, cluster: cluster.clone() })
    }

    /// What was written last; none if nothing ever was. A file that is damaged is put aside, for people to look at.
    pub(super) fn read(&self) -> Result<Option<Held>, StoreError> {
        let text = match std::fs::read(&self.path) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(StoreError::Unavailable(format!("{}: {error}", self.path.display()))),
        };
        let read: Read = match serde_json::from_slice(&text) {
            Ok(read @ Read { format: FORMAT, .. }) => read,
            Ok(_) | Err(_) => {
                let aside = self.keep_a_copy("damaged")?;
                tracing::error!(file = %aside.display(), "the last-good catalog cannot be read; it is put aside");
                return Ok(None);
            }
        };
        if read.cluster != self.cluster {
            return Err(StoreError::Corrupt(format!(
                "{} is the catalog of cluster {}, and this node is to join {}; give it another data folder",
                self.path.display(),
                read.cluster,
                self.cluster
            )));
        }
        let definitions = read.definitions.into_iter().enumerate().map(|(number, json)| {
            let id =
                serde_json::from_str::<Definition>(json.get()).map(|definition| definition.id.to_string());
            (id.unwrap_or_else(|_| format!("number {number} of {FILE}")), json.get().as_bytes().to_vec())
        });
        let lineage = Lineage::parse(&read.lineage);
        let position = Position { lineage, revision: read.revision, count: 0, damaged: false };
        Ok(Some(Held::parse(&position, definitions.collect())))
    }

    /// Writes it: whole or not at all, and to stay.
    pub(super) fn write(&self, held: &Held) -> std::io::Result<()> {
        let written = Written {
            format: FORMAT,
            cluster: &self.cluster,
            lineage: held.lineage.as_str(),
            revision: held.catalog.revision,
            definitions: held.catalog.definitions.values().map(|definition| &**definition).collect(),
        };
        let fresh = self.path.with_extension("json.new");
        let mut file = OpenOptions::new().create(true).truncate(true).write(true).mode(0o600).open(&fresh)?;
        file.write_all(&serde_json::to_vec(&written)?)?;
        file.sync_all()?;
        std::fs::rename(&fresh, &self.path)?;
        // The new name is on disk only once its folder is.
        self.path.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all())
    }

    /// Keeps what is written under another name, before it is replaced by something that may hold less.
    pub(super) fn keep_a_copy(&self, why: &str) -> Result<PathBuf, StoreError> {
        let copy = self.path.with_file_name(format!("last-good.{why}.json"));
        match std::fs::copy(&self.path, &copy) {
            Ok(_) => Ok(copy),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(copy),
            Err(error) => Err(StoreError::Unavailable(format!("{}: {error}", copy.display()))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::Catalog;
    use crate::store::contract;

    fn held() -> Held {
        let catalog = contract::put([("a", 1), ("b", 2)]).applied_to(&Catalog::default());
        Held { lineage: Lineage::begin(), catalog: catalog.into(), ..Held::default() }
    }

    #[test]
    fn what_was_written_is_read_again_by_its_own_cluster_only() {
        let folder = tempfile::tempdir().expect("a folder");
        let name = |text: &str| text.parse().expect("a name");
        let file = LastGood::new(folder.path(), &name("one")).expect("ok");
        assert!(file.read().expect("reads").is_none());
        let held = held();
        file.write(&held).expect("writes");
        let read = file.read().expect("reads").expect("there");
        assert_eq!((&read.catalog, &read.lineage), (&held.catalog, &held.lineage));
        let error = LastGood::new(folder.path(), &name("two")).expect("ok").read().expect_err("another's");
        assert!(error.to_string().contains("cluster one"), "{error}");
    }

    #[test]
    fn a_damaged_file_is_put_aside_and_a_damaged_definition_left_out() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = LastGood::new(folder.path(), &"one".parse().expect("a name")).expect("ok");
        file.write(&held()).expect("writes");
        let path = folder.path().join(FILE);
        let text = std::fs::read_to_string(&path).expect("there");
        std::fs::write(&path, text.replacen("job/a", "no id", 1)).expect("writes");
        let read = file.read().expect("reads").expect("there");
        assert_eq!((read.catalog.definitions.len(), read.unreadable.len()), (1, 1));
        for damaged in ["{", "{\"format\":7}", "[]", &text[..text.len() / 2]] {
            std::fs::write(&path, damaged).expect("writes");
            assert!(file.read().expect("reads").is_none(), "{damaged}");
            assert!(folder.path().join("last-good.damaged.json").exists());
        }
    }
}
