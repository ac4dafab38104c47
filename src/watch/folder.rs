//! What is in a watched folder: bundles, and packages of services.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use config::sources::is_left_out;
use config::{Draft, Family, Fault};
use serde_json::Value;

/// Files as they looked: when each was changed last, how long each is, and which it is.
pub(super) type Stamp = BTreeMap<PathBuf, (i64, i64, u64, u64)>;

/// How deep folders may be nested.
const DEEPEST: usize = 16;

/// What is in a folder, without what is in the files.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Seen {
    /// The files of bundles.
    pub(super) bundles: Stamp,
    /// Each file of Python, and each folder that has one: the path, and the files of it.
    pub(super) packages: BTreeMap<PathBuf, Stamp>,
}

/// Looks at a folder.
///
/// # Errors
/// If something cannot be looked at; files come and go, so that is nothing to worry about yet.
pub(super) fn look(folder: &Path) -> Result<Seen, Fault> {
    let mut seen = Seen::default();
    for path in entries(folder)? {
        if is_folder(&path) {
            let inside = entries(&path)?;
            if inside.iter().any(|path| is_python(path)) {
                let mut stamp = Stamp::new();
                every(&path, 0, &mut |file| note(file, &mut stamp))?;
                seen.packages.insert(path, stamp);
            } else {
                every(&path, 0, &mut |file| {
                    if is_bundle(file) { note(file, &mut seen.bundles) } else { Ok(()) }
                })?;
            }
        } else if is_python(&path) {
            let mut stamp = Stamp::new();
            note(&path, &mut stamp)?;
            seen.packages.insert(path, stamp);
        } else if is_bundle(&path) {
            note(&path, &mut seen.bundles)?;
        }
    }
    Ok(seen)
}

/// The files and folders that the packages of bundles are made of: they are no packages of their own.
pub(super) fn named(drafts: &[Draft]) -> Vec<PathBuf> {
    let mut named = Vec::new();
    for draft in drafts.iter().filter(|draft| draft.id.family == Family::Package) {
        let base = draft.place.source.as_ref().and_then(|source| Path::new(source).parent());
        let base = base.unwrap_or(Path::new(""));
        let texts: Vec<&str> = match draft.params.0.get("files") {
            Some(Value::String(one)) => vec![one],
            Some(Value::Array(several)) => several.iter().filter_map(Value::as_str).collect(),
            _ => continue,
        };
        named.extend(texts.into_iter().filter_map(|text| base.join(text).canonicalize().ok()));
    }
    named
}

/// Whether a path is one of these, or in one, or has one in it.
pub(super) fn is_named(path: &Path, named: &[PathBuf]) -> bool {
    let Ok(path) = path.canonicalize() else { return false };
    named.iter().any(|other| path.starts_with(other) || other.starts_with(&path))
}

fn entries(folder: &Path) -> Result<Vec<PathBuf>, Fault> {
    let read = std::fs::read_dir(folder)
        .and_then(|entries| entries.map(|entry| Ok(entry?.path())).collect::<std::io::Result<Vec<_>>>());
    let mut paths = read.map_err(|error| unreadable(folder, &error))?;
    paths.retain(|path| {
        path.file_name().and_then(|name| name.to_str()).is_some_and(|name| !is_left_out(name))
    });
    paths.sort();
    Ok(paths)
}

fn every(
    folder: &Path,
    depth: usize,
    visit: &mut impl FnMut(&Path) -> Result<(), Fault>,
) -> Result<(), Fault> {
    for path in entries(folder)? {
        if is_folder(&path) {
            if depth < DEEPEST {
                every(&path, depth + 1, visit)?;
            }
        } else if path.is_file() {
            visit(&path)?;
        }
    }
    Ok(())
}

fn note(file: &Path, stamp: &mut Stamp) -> Result<(), Fault> {
    let of = file.metadata().map_err(|error| unreadable(file, &error))?;
    stamp.insert(file.to_owned(), (of.mtime(), of.mtime_nsec(), of.len(), of.ino()));
    Ok(())
}

/// A link to a folder is not followed: it could lead round in a circle.
fn is_folder(path: &Path) -> bool {
    path.is_dir() && !path.is_symlink()
}

fn has_end(path: &Path, ends: &[&str]) -> bool {
    path.is_file() && path.extension().is_some_and(|end| ends.iter().any(|other| end == *other))
}

fn is_python(path: &Path) -> bool {
    has_end(path, &["py"])
}

fn is_bundle(path: &Path) -> bool {
    has_end(path, &["yaml", "yml", "json"])
}

fn unreadable(path: &Path, error: &std::io::Error) -> Fault {
    Fault::new(path.display().to_string(), format!("cannot be read: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_holds_bundles_and_packages_and_what_editors_leave_is_neither() {
        let folder = tempfile::tempdir().expect("a folder");
        for file in [
            "app.yaml",
            "more/jobs.yml",
            "more/notes.txt",
            "billing.py",
            "billing.py~",
            ".billing.py.swp",
            ".#billing.py",
            "4913",
            "crm/services.py",
            "crm/lib/rates.py",
            "crm/rates.json",
            "crm/__pycache__/services.cpython-311.pyc",
            "__pycache__/billing.pyc",
        ] {
            let path = folder.path().join(file);
            std::fs::create_dir_all(path.parent().expect("a parent")).expect("made");
            std::fs::write(path, "").expect("written");
        }
        let seen = look(folder.path()).expect("looked");
        let names = |paths: Vec<&PathBuf>| -> Vec<String> {
            let short =
                |path: &&PathBuf| path.strip_prefix(folder.path()).expect("inside").display().to_string();
            paths.iter().map(short).collect()
        };
        assert_eq!(names(seen.bundles.keys().collect()), ["app.yaml", "more/jobs.yml"]);
        assert_eq!(names(seen.packages.keys().collect()), ["billing.py", "crm"]);
        let crm = &seen.packages[&folder.path().join("crm")];
        assert_eq!(names(crm.keys().collect()), ["crm/lib/rates.py", "crm/rates.json", "crm/services.py"]);

        // An editor that writes a new file and renames it leaves another file, whatever its length and time.
        std::fs::write(folder.path().join(".new"), "").expect("written");
        std::fs::rename(folder.path().join(".new"), folder.path().join("billing.py")).expect("renamed");
        assert_ne!(look(folder.path()).expect("looked"), seen);

        let billing = folder.path().join("billing.py").canonicalize().expect("there");
        assert!(is_named(&folder.path().join("billing.py"), std::slice::from_ref(&billing)));
        assert!(!is_named(&folder.path().join("crm"), &[billing]));
    }
}
