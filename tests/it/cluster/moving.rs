//! A single node's definitions and history move into a cluster.

use serde_json::{Value, json};

use crate::kit::cluster::Cluster;
use crate::kit::program::{Program, command, said};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn migrate_keeps_definitions_secrets_and_history_and_never_writes_over_anything() {
    let cluster = Cluster::of(0).await;
    let (store, name) = (format!("redis://127.0.0.1:{}", cluster.redis.port), "moved");
    let node = Program::start(&[]);
    let channel = |path: &str| json!({"name": "w", "type": "rest", "path": path, "method": "GET", "service": "zeugma.ping", "security": "clerk"});
    node.apply(&json!({
        "security": [{"name": "clerk", "type": "basic", "username": "clerk", "password": "s3cret"}],
        "channels": [channel("/before")],
    }));
    node.apply(&json!({"channels": [channel("/w")]}));
    let history = history(&node);
    let export = node.good(&["export", "--reveal-secrets"]);

    let keys = node.folder.path().join("cluster.key");
    let keys = keys.to_str().expect("text").to_owned();
    let migrate = ["migrate", "--to", &store, "--cluster", name, "--key-file", &keys];
    let busy = node.run(&migrate);
    assert!(busy.code == 1 && busy.err.contains("another node runs on this data folder"), "{busy:?}");
    let folder = node.crash();
    let run = || said(command(folder.path()).args(migrate).output().expect("the program runs"));
    let moved = run();
    assert!(moved.code == 0 && moved.out.contains("2 definitions and 2 revisions"), "{moved:?}");
    assert!(run().err.contains("nothing was changed"), "a second time must not write over the first");
    assert!(!String::from_utf8_lossy(&cluster.redis.everything()).contains("s3cret"));

    let node = Program::start_in(folder, &["--store", &store, "--cluster", name, "--key-file", &keys]);
    assert_eq!(self::history(&node), history);
    assert_eq!(node.good(&["export", "--reveal-secrets"]), export);
    let answer = reqwest::Client::builder().no_proxy().build().expect("a client");
    let answer = answer.get(format!("{}/w", node.data)).basic_auth("clerk", Some("s3cret")).send().await;
    assert_eq!(answer.expect("an answer").status(), 200);
}

/// The history, its times to the microsecond, as Redis keeps them.
fn history(node: &Program) -> Value {
    let mut history = node.json(&["history"]);
    for entry in history.as_array_mut().expect("a list") {
        let at = entry["at"].as_str().expect("a time").trim_end_matches('Z');
        entry["at"] = at[..at.len().min("2026-11-24T10:48:07.908153".len())].into();
    }
    history
}
