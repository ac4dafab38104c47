//! Files on disk for the interpreter: the package that comes with the engine, and the packages of users.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use sha2::{Digest as _, Sha256};

use super::declared::Source;

/// The files of the package that workers run: path to text.
const FILES: &[(&str, &str)] = include!(concat!(env!("OUT_DIR"), "/python_package.rs"));

/// Makes the folders of one process unlike each other.
static COUNTER: AtomicU64 = AtomicU64::new(0);

/// Where things are, below the folder of the node's data.
#[derive(Clone, Debug)]
pub(super) struct Folders {
    root: PathBuf,
}

impl Folders {
    /// Below this folder, from which nothing of an earlier run is left.
    pub(super) fn below(data: &Path) -> io::Result<Self> {
        let root = std::path::absolute(data)?.join("python");
        match fs::remove_dir_all(root.join("packages")) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        Ok(Self { root })
    }

    /// Writes the engine's package, unless it is there just so. Answers where the zygote is.
    pub(super) fn runtime(&self) -> io::Result<PathBuf> {
        let mut hash = Sha256::new();
        for (path, text) in FILES {
            for part in [path, text] {
                hash.update((part.len() as u64).to_be_bytes());
                hash.update(part.as_bytes());
            }
        }
        let digest: String = hash.finalize().iter().take(8).map(|byte| format!("{byte:02x}")).collect();
        let folder = self.root.join(format!("runtime-{digest}"));
        let same = |(path, text): &(&str, &str)| {
            fs::read(folder.join(path)).is_ok_and(|there| there == text.as_bytes())
        };
        if !FILES.iter().all(same) {
            drop(fs::remove_dir_all(&folder)); // it is not what it should be, or not there
            let fresh = self.fresh("runtime", "new")?;
            fill(&fresh, FILES.iter().copied())?;
            match fs::rename(&fresh, &folder) {
                // Another node of the same folder was faster.
                Err(_) if FILES.iter().all(same) => fs::remove_dir_all(&fresh)?,
                renamed => renamed?,
            }
        }
        Ok(folder.join("zeugma/zygote.py"))
    }

    /// Writes a user's package.
    pub(super) fn package(&self, source: &Source) -> io::Result<Unpacked> {
        let folder = self.fresh("packages", &source.version)?;
        let unpacked = Unpacked(folder);
        fill(&unpacked.0, source.files.iter().map(|(path, text)| (path.as_str(), &**text)))?;
        Ok(unpacked)
    }

    fn fresh(&self, kind: &str, name: &str) -> io::Result<PathBuf> {
        let number = COUNTER.fetch_add(1, Ordering::Relaxed);
        let folder = self.root.join(kind).join(format!("{name}-{}-{number}", std::process::id()));
        fs::create_dir_all(&folder)?;
        Ok(folder)
    }
}

fn fill<'a>(folder: &Path, files: impl Iterator<Item = (&'a str, &'a str)>) -> io::Result<()> {
    for (path, text) in files {
        let path = folder.join(path);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent)?;
        }
        fs::write(path, text)?;
    }
    Ok(())
}

/// The folder of a package; it goes away with this.
#[derive(Debug)]
pub(super) struct Unpacked(pub(super) PathBuf);

impl Drop for Unpacked {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.0) {
            tracing::debug!(folder = %self.0.display(), %error, "the folder of a package stays");
        }
    }
}
