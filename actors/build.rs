//! Puts the Python package that workers run into the program: each file of `python/zeugma` with its path.

use std::path::{Path, PathBuf};
use std::{env, fs, io};

fn main() -> io::Result<()> {
    // Cargo runs this in the package's folder. Where that was when this was compiled does not count: clones may share a
    // target folder.
    let root = Path::new("../python").canonicalize()?;
    println!("cargo::rerun-if-changed={}", root.join("zeugma").display());
    let mut files = Vec::new();
    gather(&root.join("zeugma"), &mut files)?;
    files.sort();
    let mut list = String::from("&[\n");
    for file in files {
        let name = file.strip_prefix(&root).map_err(io::Error::other)?;
        list += &format!("    ({:?}, include_str!({:?})),\n", name.display().to_string(), file);
    }
    list.push(']');
    #[allow(clippy::disallowed_methods, reason = "cargo tells a build script in no other way")]
    let out = env::var_os("OUT_DIR").ok_or_else(|| io::Error::other("cargo says where to write"))?;
    fs::write(Path::new(&out).join("python_package.rs"), list)
}

fn gather(folder: &Path, files: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            gather(&path, files)?;
        } else if path.extension().is_some_and(|extension| extension == "py") {
            files.push(path);
        }
    }
    Ok(())
}
