//! A disk that is full: the write that does not fit fails and says why, the node serves on, and once there is room
//! later writes work again.

use std::process::Command;

use serde_json::json;
use tempfile::TempDir;

use crate::kit::process::is_root;
use crate::kit::program::{PROGRAM, Program, Said, in_folder, said};

/// A bundle with a channel of this name, and a connection that takes so many bytes of disk.
fn bundle(name: &str, bytes: usize) -> serde_json::Value {
    let connection = json!({"name": name, "type": "http", "url": "http://127.0.0.1:1/",
                            "query": {"large": "x".repeat(bytes)}, "ping": {"every": "1h"}});
    let channel = json!({"name": name, "type": "rest", "path": format!("/{name}"), "service": "zeugma.ping"});
    json!({"connections": [connection], "channels": [channel]})
}

fn apply(node: &Program, name: &str, bytes: usize) -> Said {
    node.write("bundle.json", &bundle(name, bytes).to_string());
    node.run(&["apply", "-f", "bundle.json"])
}

fn pings(node: &Program, name: &str) {
    let answer = node.curl(&format!("/{name}")).send().ok();
    assert_eq!(answer.text(), r#"{"pong":"zeugma"}"#);
}

/// Applies ever more until a write does not fit; gives how many did.
fn fill(node: &Program, bytes: usize) -> (usize, Said) {
    for number in 0..100 {
        let said = apply(node, &format!("c{number}"), bytes);
        if said.code != 0 {
            return (number, said);
        }
    }
    panic!("everything fits")
}

/// Whatever failed is told, has changed nothing, and hurts nobody.
fn serves_on(node: &Program, fitted: usize, refused: &Said) {
    assert_eq!(refused.code, 1, "{refused:?}");
    assert!(refused.err.starts_with("error: the store"), "{refused:?}");
    assert!(refused.out.is_empty(), "{refused:?}");
    // Over the API it is a 503 with the same words.
    let file = node.write("bundle.json", &bundle("too-much", 500_000).to_string());
    let answer = node.admin("/api/v1/apply").file(&file).send();
    assert_eq!(answer.status, 503, "{}", answer.text());
    let error = answer.json()["error"].take();
    assert_eq!(error["kind"], "unavailable");
    assert!(error["message"].as_str().is_some_and(|message| message.contains("definitions.redb")), "{error}");
    // Reading needs no room, and what was acknowledged is there.
    let there = node.json(&["get", "channel"]);
    assert_eq!(there["definitions"].as_array().map(Vec::len), Some(fitted), "{there}");
    assert_eq!(there["revision"], fitted);
    assert_eq!(node.json(&["nodes"])[0]["revision"], fitted);
    assert_eq!(node.json(&["history", "--limit", "200"]).as_array().map(Vec::len), Some(fitted));
    for number in [0, fitted - 1] {
        pings(node, &format!("c{number}"));
    }
    assert_eq!(node.curl("/too-much").send().status, 404);
    assert!(node.log().contains("a commit failed"), "{}", node.log());
}

#[test]
fn a_file_that_may_not_grow_is_told_and_the_node_serves_on() {
    let folder = TempDir::new().expect("a folder");
    let mut limited = in_folder("sh", folder.path());
    // In blocks of 512 bytes: 8 MB. A signal would end whoever goes beyond; this one is told.
    limited.args(["-c", "ulimit -f 16384; trap '' XFSZ; exec \"$0\" \"$@\"", PROGRAM]);
    let node = Program::launch(limited, folder, &[]);
    let (fitted, refused) = fill(&node, 500_000);
    assert!(fitted >= 2, "{refused:?}");
    serves_on(&node, fitted, &refused);
    // What is smaller than the room that is left is written.
    let small = apply(&node, "small", 10);
    assert_eq!(small.code, 0, "{small:?}");
    pings(&node, "small");
    // Without the limit, so are large ones, by the same files.
    let node = node.crash_and_restart(&[]);
    assert_eq!(apply(&node, "large", 500_000).code, 0);
    pings(&node, "large");
    pings(&node, "small");
    assert_eq!(node.stop(), 0);
}

#[test]
fn a_first_start_that_is_cut_off_locks_nobody_out() {
    let folder = TempDir::new().expect("a folder");
    let data = folder.path().join("zeugma-data");
    // No byte can be written: the first file that a start makes is that of the sealing key.
    let mut cut_off = in_folder("sh", folder.path());
    cut_off.args(["-c", "ulimit -f 0; trap '' XFSZ; exec \"$0\" \"$@\"", PROGRAM, "start"]);
    cut_off.args(["--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"]);
    let cut_off = said(cut_off.output().expect("the program runs"));
    assert!(cut_off.code == 1 && cut_off.err.contains("secret.key"), "{cut_off:?}");
    // What an older version left of such a start.
    std::fs::write(data.join("admin.token"), "").expect("a file");
    let node = Program::start_in(folder, &[]);
    assert_eq!(apply(&node, "c", 10).code, 0);
    pings(&node, "c");
    assert_eq!(node.stop(), 0);
}

/// A small disk. It is gone with this value.
struct Disk(TempDir);

impl Disk {
    fn mount() -> Option<Self> {
        let folder = TempDir::new().expect("a folder");
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", "size=6m", "tmpfs"]).arg(folder.path());
        let mounted = is_root() && mount.status().is_ok_and(|status| status.success());
        mounted.then(|| Self(folder))
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // The node may not have ended yet when a test fails; lazily, it goes after it.
        drop(Command::new("umount").arg("--lazy").arg(self.0.path()).status());
    }
}

#[test]
fn a_full_disk_is_told_the_node_serves_on_and_writes_again_when_there_is_room() {
    let Some(disk) = Disk::mount() else {
        eprintln!("left out: this user may not mount a small disk");
        return;
    };
    let folder = TempDir::new().expect("a folder");
    std::os::unix::fs::symlink(disk.0.path(), folder.path().join("zeugma-data")).expect("a link");
    let node = Program::start_in(folder, &[]);
    assert_eq!(apply(&node, "c0", 10).code, 0);
    // All the room but a little is taken by something else.
    let filler = disk.0.path().join("filler");
    let mut size = 6 << 20;
    while std::fs::write(&filler, vec![0; size]).is_err() {
        size -= 64 << 10;
    }
    let mut refused = apply(&node, "c1", 500_000);
    let mut fitted = 1;
    while refused.code == 0 {
        fitted += 1;
        refused = apply(&node, &format!("c{fitted}"), 500_000);
    }
    serves_on(&node, fitted, &refused);
    std::fs::remove_file(&filler).expect("removed");
    let said = apply(&node, "room", 500_000);
    assert_eq!(said.code, 0, "{said:?}");
    pings(&node, "room");
    pings(&node, "c0");
    let node = node.crash_and_restart(&[]);
    pings(&node, "room");
    assert_eq!(node.stop(), 0);
}
