//! Files with a secret that a node made for itself: there whole or not at all, and readable by their owner only.

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Result, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

/// Makes a file with this line in it. A crash or a full disk in between leaves none, so that the next start makes another.
///
/// # Errors
/// `AlreadyExists` if there is one, which stays as it is; what the system says otherwise.
pub fn make(path: &Path, line: &str) -> Result<()> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.new", std::process::id()));
    let unfinished = path.with_file_name(name);
    let made = write(&unfinished, line).and_then(|()| place(&unfinished, path));
    drop(std::fs::remove_file(&unfinished)); // it has its name by now, or is of no use
    made?;
    match path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        Some(folder) => File::open(folder)?.sync_all(),
        None => Ok(()),
    }
}

fn write(path: &Path, line: &str) -> Result<()> {
    drop(std::fs::remove_file(path)); // of a process that had this number
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(format!("{line}\n").as_bytes())?;
    file.sync_all()
}

/// Gives it its name, unless there is something of that name.
fn place(unfinished: &Path, path: &Path) -> Result<()> {
    match std::fs::hard_link(unfinished, path) {
        // Some file systems have no links.
        Err(error) if error.kind() != ErrorKind::AlreadyExists && !path.exists() => {
            std::fs::rename(unfinished, path)
        }
        placed => placed,
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn it_is_whole_and_its_owners_and_never_written_over() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("secret.key");
        make(&path, "one").expect("it is made");
        assert_eq!(std::fs::read_to_string(&path).expect("it is there"), "one\n");
        assert_eq!(std::fs::metadata(&path).expect("it is there").permissions().mode() & 0o777, 0o600);
        assert_eq!(make(&path, "two").expect_err("it is there").kind(), ErrorKind::AlreadyExists);
        assert_eq!(std::fs::read_to_string(&path).expect("it is there"), "one\n");
        let names = std::fs::read_dir(folder.path()).expect("a folder").flatten().map(|e| e.file_name());
        assert_eq!(names.collect::<Vec<_>>(), ["secret.key"], "nothing else is left");
    }
}
