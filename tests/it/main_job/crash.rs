//! `kill -9` at any moment: whoever starts the node again finds every definition that was acknowledged.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::{Value, json};

use crate::kit::ftp::{Brand, Tls};
use crate::kit::process::eventually;
use crate::kit::program::Program;

use super::{bundle, send, server, stored};

#[tokio::test]
async fn after_a_crash_the_catalog_is_as_it_was_and_requests_are_served() {
    let server = server(Brand::Proftpd, Tls::No).await;
    let node = Program::start(&[]);
    node.apply(&bundle(&server));
    node.good(&["apply", "-f", "bundle.json"]);
    let mut changed = bundle(&server);
    changed["channels"][0]["deadline"] = "20s".into();
    node.apply(&changed);
    let whole = |node: &Program| {
        let revealed = node.good(&["export", "--reveal-secrets"]);
        (
            node.good(&["export"]),
            revealed,
            node.json(&["history"]),
            node.json(&["nodes"])[0]["revision"].clone(),
        )
    };
    let before = whole(&node);
    assert_eq!(before.3, 2);
    let node = node.crash_and_restart(&[]);
    assert_eq!(whole(&node), before);
    let file = node.write("sent", "after a crash");
    let answer = send(&node, &file).send().ok().json();
    assert_eq!(std::fs::read(stored(&server, &answer)).expect("the file"), b"after a crash");
}

/// Writes definitions one after the other until the node is gone; gives those acknowledged, with their revisions, and
/// the one that was not.
async fn write_on(
    node: (String, String),
    writer: usize,
    enough: &AtomicBool,
) -> (Vec<(String, u64)>, String) {
    let (admin, token) = node;
    let client = reqwest::Client::builder().no_proxy().build().expect("a client");
    let mut acknowledged = Vec::new();
    for number in 0.. {
        let name = format!("w{writer}-{number}");
        let put = client
            .put(format!("{admin}/api/v1/definitions/channel/{name}?wait=0s"))
            .bearer_auth(&token)
            .json(&json!({"type": "rest", "path": format!("/{name}"), "service": "zeugma.ping"}));
        let Ok(answer) = put.send().await else { return (acknowledged, name) };
        assert!(answer.status().is_success(), "{answer:?}");
        let Ok(answer) = answer.json::<Value>().await else { return (acknowledged, name) };
        acknowledged.push((name, answer["revision"].as_u64().expect("a revision")));
        if number == 40 {
            enough.store(true, Ordering::SeqCst);
        }
    }
    unreachable!("the node ends first")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_in_the_middle_of_writes_it_has_lost_nothing_that_was_acknowledged() {
    let node = Program::start(&[]);
    static ENOUGH: AtomicBool = AtomicBool::new(false);
    let access = || (node.admin.clone(), node.token());
    let writers = [0, 1, 2].map(|writer| tokio::spawn(write_on(access(), writer, &ENOUGH)));
    eventually(Duration::from_secs(15), "writes", async || ENOUGH.load(Ordering::SeqCst)).await;
    let node = node.crash_and_restart(&[]);

    let (mut acknowledged, mut open) = (Vec::new(), BTreeSet::new());
    for writer in writers {
        let (more, last) = writer.await.expect("a writer");
        acknowledged.extend(more);
        open.insert(last);
    }
    assert!(acknowledged.len() >= 40);
    let definitions = node.json(&["get", "channel"]);
    let definitions = definitions["definitions"].as_array().expect("a list");
    let there: BTreeSet<&str> =
        definitions.iter().map(|d| d["definition"]["name"].as_str().expect("a name")).collect();
    let promised: BTreeSet<&str> = acknowledged.iter().map(|(name, _)| name.as_str()).collect();
    let lost: Vec<_> = promised.difference(&there).collect();
    assert!(lost.is_empty(), "acknowledged and lost: {lost:?}");
    let more: Vec<_> = there.difference(&promised).filter(|name| !open.contains(**name)).collect();
    assert!(more.is_empty(), "nobody has written {more:?}");

    // Each is in the history under the revision that was acknowledged; the catalog is at the newest of them.
    let revision = node.json(&["nodes"])[0]["revision"].as_u64().expect("a revision");
    assert_eq!(usize::try_from(revision).expect("small"), there.len(), "one revision for each definition");
    let history = node.json(&["history", "--limit", "500"]);
    for (name, revision) in &acknowledged {
        let entries = history.as_array().expect("a list");
        let entry = entries.iter().find(|entry| entry["revision"] == *revision).expect("its revision");
        assert_eq!(entry["changes"][0]["id"], format!("channel/{name}"), "{entry}");
    }
    let (name, _) = acknowledged.last().expect("some");
    assert_eq!(node.curl(&format!("/{name}")).send().ok().text(), r#"{"pong":"zeugma"}"#);
}
