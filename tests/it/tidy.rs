//! The rules of the code that no compiler knows: sizes, first lines, arrows between crates, where frameworks may be.

use std::path::{Path, PathBuf};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

struct Source {
    /// From the root of the repository.
    path: String,
    text: String,
}

fn files(extension: &str) -> Vec<Source> {
    let mut found = Vec::new();
    let mut folders = vec![PathBuf::from(ROOT)];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).expect("a folder").flatten() {
            let path = entry.path();
            let name = entry.file_name().to_string_lossy().into_owned();
            if path.is_dir() && !name.starts_with('.') && name != "target" && name != "zeugma-data" {
                folders.push(path);
            } else if path.extension().is_some_and(|e| e == extension) {
                let text = std::fs::read_to_string(&path).expect("a text");
                let path = path.strip_prefix(ROOT).expect("below the root").to_string_lossy().into_owned();
                found.push(Source { path, text });
            }
        }
    }
    assert!(!found.is_empty(), "no *.{extension} was found");
    found
}

/// All faults at once, not just the first.
fn none(faults: Vec<String>) {
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
}

#[test]
fn files_are_short_and_say_what_they_are() {
    let mut faults = Vec::new();
    for source in files("rs") {
        let lines = source.text.lines().count();
        if lines > 400 {
            faults.push(format!("{}: {lines} lines: split it (400 at most)", source.path));
        }
        if !source.text.starts_with("//! ") {
            faults.push(format!("{}: the first line is to say, after `//! `, what the file is", source.path));
        }
    }
    none(faults);
}

#[test]
fn no_file_is_named_after_nothing() {
    let vague = ["util", "utils", "common", "helper", "helpers", "manager", "misc"];
    let is_vague = |s: &Source| {
        Path::new(&s.path).components().any(|c| {
            let name = c.as_os_str().to_string_lossy();
            vague.contains(&name.trim_end_matches(".rs"))
        })
    };
    none(
        files("rs")
            .iter()
            .filter(|s| is_vague(s))
            .map(|s| format!("{}: name what is in it", s.path))
            .collect(),
    );
}

/// src -> actors -> {sdk, cluster -> config}, and never back.
#[test]
fn arrows_point_down() {
    let allowed: [(&str, &[&str]); 5] = [
        ("config", &[]),
        ("cluster", &["config"]),
        ("sdk", &["zeugma-macros"]),
        ("sdk/macros", &[]),
        ("actors", &["config", "cluster", "sdk"]),
    ];
    let ours = ["config", "cluster", "sdk", "actors", "zeugma", "zeugma-macros"];
    let mut faults = Vec::new();
    for (folder, allowed) in allowed {
        let manifest = std::fs::read_to_string(format!("{ROOT}/{folder}/Cargo.toml")).expect("a manifest");
        let names = manifest.lines().filter_map(|line| line.split(['.', ' ', '=']).next());
        for name in names.filter(|name| ours.contains(name) && !allowed.contains(name)) {
            faults.push(format!("{folder}/Cargo.toml: must not depend on {name}"));
        }
    }
    none(faults);
}

/// A framework is known where it has its place, and nowhere else.
#[test]
fn frameworks_stay_home() {
    let homes: [(&str, &[&str]); 13] = [
        ("warp::", &["src/http/", "src/app.rs"]),
        ("hyper::", &["src/http/"]),
        (
            "ractor::",
            &[
                "actors/src/worker.rs",
                "actors/src/keeper.rs",
                "actors/src/reconcile.rs",
                "actors/src/reconcile/starting.rs",
                "actors/src/supervisor.rs",
                "actors/src/running.rs",
                "cluster/src/",
                "src/app.rs",
            ],
        ),
        ("redb::", &["config/src/store/embedded"]),
        ("redis::", &["config/src/store/redis", "config/benches/redis.rs"]),
        ("fernet::", &["config/src/secret", "config/src/settings/tests.rs", "actors/src/security/jwt/"]),
        ("jsonwebtoken::", &["actors/src/security/jwt/", "actors/src/security/bearer/"]),
        ("x509_parser::", &["actors/src/security/mtls/"]),
        ("suppaftp::", &["actors/src/connection/ftp"]),
        ("vaultrs::", &["actors/src/connection/vault"]),
        ("rustify::", &["actors/src/connection/vault"]),
        ("libunftp::", &["src/demo.rs"]),
        ("Caller::vouch", &["actors/src/security/", "sdk/src/security.rs"]),
    ];
    let mut faults = Vec::new();
    let others = ["tests/", "benches/", "fuzz/"];
    for source in files("rs").iter().filter(|s| !others.iter().any(|other| s.path.starts_with(other))) {
        for (what, homes) in &homes {
            let used = shipped(&source.text).lines().any(|line| {
                let code = line.split("//").next().unwrap_or_default();
                code.match_indices(what).any(|(at, _)| {
                    !code[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == ':')
                })
            });
            if used && !homes.iter().any(|home| source.path.starts_with(home)) {
                faults.push(format!("{}: {what} belongs to {}", source.path, homes.join(", ")));
            }
        }
    }
    none(faults);
}

/// No kind imports another, and no list of kinds exists outside the registry.
#[test]
fn kinds_know_nothing_of_each_other() {
    let registry = std::fs::read_to_string(format!("{ROOT}/actors/src/registry.rs")).expect("the registry");
    let mut faults = Vec::new();
    let tags: Vec<&str> = zeugma_tags();
    for source in files("rs") {
        let mut found = Vec::new();
        for tag in &tags {
            if shipped(&source.text).contains(&format!("\"{tag}\"")) {
                found.push(*tag);
            }
        }
        let own = source.path.starts_with("actors/src/") && found.len() <= 1;
        if found.len() > 1 && !own && !source.path.starts_with("tests/") {
            faults.push(format!("{}: lists kinds ({}); walk the registry", source.path, found.join(", ")));
        }
        for family in ["connection", "security", "channel"] {
            let prefix = format!("actors/src/{family}/");
            if let Some(file) = source.path.strip_prefix(&prefix) {
                let own = file.split(['/', '.']).next().unwrap_or_default();
                for (at, _) in source.text.match_indices(&format!("crate::{family}::")) {
                    let rest = &source.text[at + format!("crate::{family}::").len()..];
                    let other =
                        rest.split(|c: char| !c.is_alphanumeric() && c != '_').next().unwrap_or_default();
                    if other != own && registry.contains(&format!("{family}::{other}::")) {
                        faults.push(format!("{}: a kind must not import another ({other})", source.path));
                    }
                }
            }
        }
    }
    none(faults);
}

/// A source without the tests in it, which may name what they please.
fn shipped(text: &str) -> &str {
    text.split_once("\n#[cfg(test)]\nmod tests {").map_or(text, |(shipped, _)| shipped)
}

fn zeugma_tags() -> Vec<&'static str> {
    actors::registry::KINDS.iter().map(|kind| kind.tag()).collect()
}

/// `deny.toml` bans some crates; this holds without `cargo deny` being installed. The lock file alone does not show
/// it: it names crates that no chosen feature brings in.
#[test]
fn banned_crates_are_not_built() {
    let tree = std::process::Command::new(env!("CARGO"))
        .args(["tree", "--workspace", "--locked", "--prefix", "none", "--format", "{p}"])
        .current_dir(ROOT)
        .output()
        .expect("cargo runs");
    assert!(tree.status.success(), "{}", String::from_utf8_lossy(&tree.stderr));
    let tree = String::from_utf8(tree.stdout).expect("text");
    let built: std::collections::BTreeSet<&str> = tree.lines().filter_map(|l| l.split(' ').next()).collect();
    assert!(built.contains("rustls"), "the tree is not what was expected:\n{tree}");
    let deny = std::fs::read_to_string(format!("{ROOT}/deny.toml")).expect("deny.toml");
    let banned: Vec<&str> = deny
        .lines()
        .filter(|line| line.contains("reason =") && line.contains("crate ="))
        .filter_map(|line| line.split('"').nth(1))
        .collect();
    assert!(banned.len() >= 4, "deny.toml bans {banned:?}");
    let present = banned.iter().filter(|name| built.contains(**name));
    none(present.map(|name| format!("{name} is banned by deny.toml")).collect());
}
