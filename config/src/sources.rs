//! The files of a package on somebody's disk: which there are, and what is in them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::definition::Draft;
use crate::fault::Fault;
use crate::name::Family;

/// How many files a package may have.
pub const MAX_FILES: usize = 1_000;
/// How long all of its files together may be, in bytes.
pub const MAX_TOTAL: usize = 4 << 20;
/// How deep folders may be nested.
const DEEPEST: usize = 16;

/// The files of a package: path within it to content.
pub type Files = BTreeMap<String, String>;

/// Whether a file or folder of this name is left out of packages: hidden ones, what editors write for a moment, and what
/// Python writes by itself.
pub fn is_left_out(name: &str) -> bool {
    name.starts_with(['.', '#'])
        || name.ends_with(['~', '#'])
        || [".swp", ".swx", ".swo", ".pyc", ".pyo", ".tmp", ".bak", ".orig"]
            .iter()
            .any(|end| name.ends_with(end))
        || ["__pycache__", "4913", "node_modules"].contains(&name)
}

/// Reads what is at a path: a file, by its name, or all that is in a folder, by its path from there.
///
/// # Errors
/// Everything that cannot be read, and what is too much.
pub fn read(path: &Path) -> Result<Files, Vec<Fault>> {
    let mut reading = Reading::default();
    match name_of(path) {
        _ if path.is_dir() => reading.folder(path, "", 0),
        Some(name) => reading.file(path, name),
        None => reading.faults.push(Fault::new(path.display().to_string(), "there is no file of this name")),
    }
    reading.done()
}

/// Reads each of these files and folders; what is in a folder keeps the folder's name before its own.
///
/// # Errors
/// Everything that cannot be read, and what is too much.
pub fn read_all(paths: &[PathBuf]) -> Result<Files, Vec<Fault>> {
    let mut reading = Reading::default();
    for path in paths {
        match name_of(path) {
            Some(name) if path.is_dir() => reading.folder(path, &format!("{name}/"), 0),
            None if path.is_dir() => reading.folder(path, "", 0),
            Some(name) => reading.file(path, name),
            None => {
                reading.faults.push(Fault::new(path.display().to_string(), "there is no file of this name"));
            }
        }
    }
    reading.done()
}

/// Puts the content of files in the place of their paths, in every package of a bundle that was read from this machine's
/// disk. Paths begin at the folder of the bundle's file. What cannot be read becomes a fault.
pub(crate) fn fill(drafts: &mut [Draft], faults: &mut Vec<Fault>) {
    for draft in drafts.iter_mut().filter(|draft| draft.id.family == Family::Package) {
        let base = draft.place.source.as_ref().and_then(|source| Path::new(source).parent());
        let base = base.unwrap_or(Path::new("")).to_path_buf();
        let read = match draft.params.0.get("files") {
            Some(Value::String(one)) => read(&base.join(one)),
            Some(Value::Array(several)) => {
                let paths: Option<Vec<_>> = several.iter().map(Value::as_str).collect();
                match paths {
                    Some(paths) => read_all(&paths.iter().map(|path| base.join(path)).collect::<Vec<_>>()),
                    None => continue, // the check says what is wrong with it
                }
            }
            _ => continue,
        };
        match read {
            Ok(files) => {
                let files = files.into_iter().map(|(path, text)| (path, Value::String(text)));
                draft.params.0.insert("files".into(), Value::Object(files.collect()));
            }
            Err(more) => {
                let at = format!("{}.files", draft.at());
                faults.extend(more.into_iter().map(|fault| Fault {
                    message: format!("{}: {}", fault.at, fault.message),
                    at: at.clone(),
                    hint: fault.hint,
                }));
                // A draft without its files would only have more faults, which say nothing new.
                draft.params.0.insert(
                    "files".into(),
                    Value::Object([(UNREAD.into(), "".into())].into_iter().collect()),
                );
            }
        }
    }
}

/// What stands for files that could not be read, so that nothing more is said of them.
const UNREAD: &str = "unread.py";

/// The name of a package that is deployed from this path: that of the file without `.py`, or that of the folder.
pub fn package_name(path: &Path) -> Option<String> {
    let path = std::path::absolute(path).ok()?;
    let name = if path.is_dir() { path.file_name() } else { path.file_stem() };
    Some(name?.to_str()?.to_owned())
}

fn name_of(path: &Path) -> Option<&str> {
    path.file_name().and_then(|name| name.to_str())
}

#[derive(Default)]
struct Reading {
    files: Files,
    total: usize,
    faults: Vec<Fault>,
}

impl Reading {
    fn folder(&mut self, folder: &Path, prefix: &str, depth: usize) {
        let entries = std::fs::read_dir(folder)
            .and_then(|entries| entries.map(|entry| Ok(entry?.path())).collect::<std::io::Result<Vec<_>>>());
        let mut entries = match entries {
            Ok(entries) => entries,
            Err(error) => return self.unreadable(folder, &error),
        };
        entries.sort();
        for path in entries {
            let Some(name) = path.file_name().and_then(|name| name.to_str()) else { continue };
            // A link to a folder is not followed: it could lead round in a circle.
            if is_left_out(name) || self.is_full() {
                continue;
            } else if path.is_dir() && !path.is_symlink() {
                if depth < DEEPEST {
                    self.folder(&path, &format!("{prefix}{name}/"), depth + 1);
                }
            } else if path.is_file() {
                self.file(&path, &format!("{prefix}{name}"));
            }
        }
    }

    fn file(&mut self, path: &Path, name: &str) {
        match std::fs::read_to_string(path) {
            Ok(text) => {
                self.total += text.len();
                self.files.insert(name.to_owned(), text);
            }
            Err(error) => self.unreadable(path, &error),
        }
    }

    fn unreadable(&mut self, path: &Path, error: &std::io::Error) {
        let hint = match error.kind() {
            std::io::ErrorKind::NotFound => "check the path",
            std::io::ErrorKind::InvalidData => {
                "the files of a package are UTF-8 text: name the ones that are wanted"
            }
            _ => "check that it can be read",
        };
        self.faults
            .push(Fault::new(path.display().to_string(), format!("cannot be read: {error}")).hint(hint));
    }

    fn is_full(&self) -> bool {
        self.files.len() > MAX_FILES || self.total > MAX_TOTAL
    }

    fn done(mut self) -> Result<Files, Vec<Fault>> {
        if self.is_full() {
            let message = format!(
                "it has more than {MAX_FILES} files, or they are longer than {} MiB",
                MAX_TOTAL >> 20
            );
            self.faults
                .push(Fault::new("files", message).hint("deploy only the folder that the services are in"));
        }
        if self.faults.is_empty() { Ok(self.files) } else { Err(self.faults) }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::bundle::read_paths;

    fn folder() -> tempfile::TempDir {
        let folder = tempfile::tempdir().expect("a folder");
        for (name, text) in [
            ("bundle.yaml", "packages:\n- {name: p, type: python, files: [a.py, lib]}"),
            ("a.py", "A = '${NOT} a variable'"),
            ("lib/b.py", "B"),
            ("lib/deep/c.json", "{}"),
            ("lib/.b.py.swp", "x"),
            ("lib/b.py~", "x"),
            ("lib/4913", ""),
            ("lib/__pycache__/b.pyc", "x"),
        ] {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().expect("a parent")).expect("made");
            fs::write(path, text).expect("written");
        }
        folder
    }

    #[test]
    fn a_folder_gives_its_files_without_what_editors_and_python_leave() {
        let folder = folder();
        let files = read(&folder.path().join("lib")).expect("readable");
        assert_eq!(files.keys().collect::<Vec<_>>(), ["b.py", "deep/c.json"]);
        assert_eq!(read(&folder.path().join("a.py")).expect("readable").keys().collect::<Vec<_>>(), ["a.py"]);
        assert_eq!(package_name(&folder.path().join("lib")).as_deref(), Some("lib"));
        assert_eq!(package_name(&folder.path().join("a.py")).as_deref(), Some("a"));
    }

    #[test]
    fn a_bundle_names_files_beside_it_and_their_content_holds_no_variables() {
        let folder = folder();
        let bundle = read_paths(&[folder.path().join("bundle.yaml")]).filled(&|_| None).with_sources();
        let drafts = bundle.sound().expect("no faults");
        let files = drafts[0].params.0["files"].as_object().expect("a map");
        assert_eq!(files.keys().collect::<Vec<_>>(), ["a.py", "lib/b.py", "lib/deep/c.json"]);
        assert_eq!(files["a.py"], "A = '${NOT} a variable'");
    }

    #[test]
    fn what_cannot_be_read_is_a_fault_at_the_package() {
        let folder = folder();
        fs::write(folder.path().join("lib/d.bin"), [0xff, 0xfe]).expect("written");
        let text = "packages: [{name: p, type: python, files: [gone.py, lib]}]";
        fs::write(folder.path().join("bundle.yaml"), text).expect("written");
        let faults =
            read_paths(&[folder.path().join("bundle.yaml")]).with_sources().sound().expect_err("faults");
        let text = faults.to_string();
        assert_eq!(faults.0.len(), 2, "{text}");
        assert!(
            text.contains("package/p.files: ") && text.contains("gone.py") && text.contains("UTF-8"),
            "{text}"
        );
    }
}
