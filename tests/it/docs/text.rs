//! The pages as text: their blocks of code, their links, their headings.

use std::path::{Path, PathBuf};

/// The root of the repository.
pub(super) const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// One page.
pub(super) struct Page {
    /// From the root of the repository.
    pub(super) path: String,
    /// All of it.
    pub(super) text: String,
}

/// A block of code in a page.
pub(super) struct Block {
    /// Where: page and line.
    pub(super) at: String,
    /// The words after the fence.
    pub(super) info: String,
    /// What is in it, without the indentation of its fence.
    pub(super) text: String,
}

/// Every page at the root and in `docs/`.
pub(super) fn pages() -> Vec<Page> {
    let mut found = Vec::new();
    for folder in ["", "docs"] {
        let entries = std::fs::read_dir(Path::new(ROOT).join(folder)).expect("a folder");
        let mut paths: Vec<PathBuf> = entries.map(|entry| entry.expect("an entry").path()).collect();
        paths.retain(|path| path.extension().is_some_and(|extension| extension == "md"));
        paths.sort();
        for path in paths {
            let text = std::fs::read_to_string(&path).expect("a text");
            let path = path.strip_prefix(ROOT).expect("below the root").to_string_lossy().into_owned();
            found.push(Page { path, text });
        }
    }
    assert!(found.len() > 10, "the pages are not found");
    found
}

/// The page of this path.
pub(super) fn page(path: &str) -> Page {
    pages().into_iter().find(|page| page.path == path).unwrap_or_else(|| panic!("there is no {path}"))
}

impl Page {
    /// Its blocks of code.
    pub(super) fn blocks(&self) -> Vec<Block> {
        let mut blocks = Vec::new();
        let mut lines = self.text.lines().enumerate();
        while let Some((index, line)) = lines.next() {
            let Some(info) = line.trim_start().strip_prefix("```") else { continue };
            let indent = line.len() - line.trim_start().len();
            let inside =
                lines.by_ref().map(|(_, line)| line).take_while(|line| !line.trim().starts_with("```"));
            let text = inside.map(|line| format!("{}\n", line.get(indent..).unwrap_or_default())).collect();
            let at = format!("{}:{}", self.path, index + 1);
            blocks.push(Block { at, info: info.trim().into(), text });
        }
        blocks
    }

    /// The same page without its blocks of code.
    pub(super) fn prose(&self) -> String {
        let mut inside = false;
        let mut prose = String::new();
        for line in self.text.lines() {
            let fence = line.trim_start().starts_with("```");
            inside ^= fence;
            if !inside && !fence {
                prose.push_str(line);
                prose.push('\n');
            }
        }
        prose
    }

    /// What its links lead to.
    pub(super) fn links(&self) -> Vec<String> {
        let prose = self.prose();
        let starts = prose.match_indices("](").map(|(at, _)| &prose[at + 2..]);
        starts.filter_map(|rest| Some(rest.split_once(')')?.0.to_owned())).collect()
    }

    /// The anchors of its headings, as repositories on the web make them.
    pub(super) fn anchors(&self) -> Vec<String> {
        let prose = self.prose();
        let headings = prose.lines().filter(|line| line.starts_with('#'));
        headings.map(|heading| anchor(heading.trim_start_matches('#').trim())).collect()
    }
}

/// The anchor of a heading.
pub(super) fn anchor(heading: &str) -> String {
    let kept = heading.to_lowercase().replace(' ', "-");
    kept.chars().filter(|c| c.is_alphanumeric() || "-_".contains(*c)).collect()
}

/// All faults at once.
pub(super) fn none(faults: Vec<String>) {
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
}
