//! Bundles spread over files and folders.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::Bundle;
use crate::fault::Fault;

/// Reads files, and every `*.yaml`, `*.yml` and `*.json` of folders and the folders in them, in the order of their
/// names. Hidden files and folders are left out.
pub fn read_paths(paths: &[PathBuf]) -> Bundle {
    let mut bundle = Bundle::default();
    let mut files: Vec<PathBuf> = Vec::new();
    for path in paths {
        let found = if path.is_dir() { bundles_in(path) } else { Ok(vec![path.clone()]) };
        match found {
            // A file given twice, or together with its folder, is one file.
            Ok(found) => found.into_iter().for_each(|file| {
                if !files.contains(&file) {
                    files.push(file);
                }
            }),
            Err(fault) => bundle.faults.push(fault),
        }
    }
    for file in files {
        let shown = file.display().to_string();
        match std::fs::read_to_string(&file) {
            Ok(text) => bundle = bundle.and(Bundle::read(&text, Some(&shown))),
            Err(error) => bundle.faults.push(unreadable(&file, &error)),
        }
    }
    bundle
}

/// Which files a bundle is made of, and when each was changed last: as long as this is the same, so is the bundle.
///
/// # Errors
/// If a folder or a file cannot be looked at.
pub fn stamp(paths: &[PathBuf]) -> Result<Stamp, Fault> {
    let mut stamp = Stamp::new();
    for path in paths {
        let files = if path.is_dir() { bundles_in(path)? } else { vec![path.clone()] };
        for file in files {
            let seen = file.metadata().and_then(|of| Ok((of.modified()?, of.len())));
            let seen = seen.map_err(|error| unreadable(&file, &error))?;
            stamp.insert(file, seen);
        }
    }
    Ok(stamp)
}

/// Files, when each was changed last, and how long each is.
pub type Stamp = BTreeMap<PathBuf, (SystemTime, u64)>;

fn bundles_in(folder: &Path) -> Result<Vec<PathBuf>, Fault> {
    let mut entries = std::fs::read_dir(folder)
        .and_then(|entries| entries.map(|entry| Ok(entry?.path())).collect::<std::io::Result<Vec<_>>>())
        .map_err(|error| unreadable(folder, &error))?;
    entries.sort();
    let mut files = Vec::new();
    for path in entries {
        let hidden = path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.'));
        // A link to a folder is not followed: it could lead round in a circle.
        if hidden {
            continue;
        } else if path.is_dir() && !path.is_symlink() {
            files.extend(bundles_in(&path)?);
        } else if path.is_file()
            && path.extension().is_some_and(|e| ["yaml", "yml", "json"].iter().any(|x| e == *x))
        {
            files.push(path);
        }
    }
    Ok(files)
}

fn unreadable(path: &Path, error: &std::io::Error) -> Fault {
    let hint = match error.kind() {
        std::io::ErrorKind::NotFound => "check the path; it is looked up from the current folder",
        std::io::ErrorKind::InvalidData => "a bundle is UTF-8 text",
        _ => "check that it can be read",
    };
    Fault::new(path.display().to_string(), format!("cannot be read: {error}")).hint(hint)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_folder_gives_all_its_bundles_in_order_and_leaves_hidden_ones_out() {
        let folder = tempfile::tempdir().expect("a folder");
        let write = |name: &str, text: &str| {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().expect("a parent")).expect("made");
            fs::write(path, text).expect("written");
        };
        write("b.yaml", "jobs: [{name: b, type: t}]");
        write("a/z.yml", "jobs: [{name: a, type: t}]");
        write("c.json", r#"{"jobs": [{"name": "c", "type": "t"}]}"#);
        write(".hidden.yaml", "jobs: 1");
        write(".git/x.yaml", "jobs: 1");
        write("notes.txt", "jobs: 1");
        let paths = [folder.path().into(), folder.path().join("b.yaml")];
        let drafts = read_paths(&paths).sound().expect("no faults");
        assert_eq!(drafts.iter().map(|d| d.id.name.as_str()).collect::<Vec<_>>(), ["a", "b", "c"]);
    }

    #[test]
    fn the_faults_of_all_files_come_together() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = |name: &str| folder.path().join(name);
        fs::write(path("a.yaml"), "jobs: [{name: x, type: t}]").expect("written");
        fs::write(path("b.yaml"), "jobs:\n- {name: x, type: t}").expect("written");
        fs::write(path("c.yaml"), "jobs: [{name: y}]").expect("written");
        fs::write(path("d.yaml"), [0xff, 0xfe, 0x41]).expect("written");
        let faults = read_paths(&[folder.path().into(), path("missing.yaml")]).sound().expect_err("faults");
        let text = faults.to_string();
        assert_eq!(faults.0.len(), 4, "{text}");
        for part in
            ["b.yaml:2:3 job/x: job/x is already defined at", "a.yaml:1:8 job/x", "c.yaml:1:8 job/y", "UTF-8"]
        {
            assert!(text.contains(part), "{part} in {text}");
        }
        assert!(text.contains("missing.yaml: cannot be read"), "{text}");
    }
}
