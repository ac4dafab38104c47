//! A change on one node is served by all of them when its writer is told so.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::Instant;

use crate::kit::cluster::{Cluster, SOON, channel};
use crate::kit::process::eventually;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_on_one_node_is_served_by_all_at_once() {
    let cluster = Cluster::of(3).await;
    let table = cluster.node(2).good(&["nodes"]);
    assert!(["n1", "n2", "n3"].iter().all(|node| table.contains(&format!("\n{node}  "))), "{table}");
    assert_eq!(table.lines().count(), 4, "{table}");
    assert_eq!(table.matches(" ok ").count(), 3, "{table}");

    let applied = cluster.node(1).apply(&channel("hello"));
    assert!(applied.contains("revision 1 applied on 3/3 nodes in "), "{applied}");
    answers(&cluster, "/hello", 200).await;

    // What is told by another node, at the first try, is the same.
    let revision = cluster.admin(cluster.node(3), "revision?settled=1&timeout=1s").await;
    assert_eq!((&revision["settled"], &revision["revision"]), (&json!(true), &json!(1)), "{revision}");
    let later = cluster.admin(cluster.node(3), "revision?settled=2&timeout=50ms").await;
    assert_eq!(
        (&later["settled"], later["nodes"].as_array().map(Vec::len)),
        (&json!(false), Some(3)),
        "{later}"
    );

    let deleted = cluster.node(2).good(&["delete", "channel", "hello"]);
    assert!(deleted.contains("revision 2 applied on 3/3 nodes in "), "{deleted}");
    answers(&cluster, "/hello", 404).await;
    let back = cluster.node(3).good(&["rollback", "1"]);
    assert!(back.contains("revision 3 applied on 3/3 nodes in "), "{back}");
    answers(&cluster, "/hello", 200).await;

    let history = cluster.node(1).json(&["history"]);
    assert_eq!(history.as_array().map(Vec::len), Some(3), "{history}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_stops_says_goodbye_and_no_receipt_waits_for_it() {
    let mut cluster = Cluster::of(3).await;
    cluster.node(1).apply(&channel("before"));
    assert_eq!(cluster.stop(3), 0);
    let applied = cluster.node(1).apply(&channel("after"));
    assert!(applied.contains("revision 2 applied on 2/2 nodes in "), "{applied}");
    let receipt = cluster.admin(cluster.node(1), "revision?settled=2").await;
    let slowest = receipt["nodes"].as_array().expect("a list").iter().filter_map(|node| node["ms"].as_f64());
    assert!(slowest.fold(0.0, f64::max) < 1000.0, "{receipt}");
    assert!(!cluster.node(2).good(&["nodes"]).contains("\nn3 "));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_hangs_is_named_in_the_receipt_and_soon_no_longer_waited_for() {
    let cluster = Cluster::of(3).await;
    cluster.node(3).signal("STOP");
    let write = |name: &str| {
        cluster.node(1).write("bundle.json", &channel(name).to_string());
        cluster.node(1).run(&["apply", "-f", "bundle.json", "--wait", "1s", "--output", "json"])
    };
    let late = write("a");
    assert_eq!(late.code, 3, "{late:?}");
    let outcome: Value = serde_json::from_str(&late.out).expect("JSON");
    let nodes = &outcome["receipt"]["nodes"];
    assert!(nodes[0]["ms"].is_number() && nodes[1]["ms"].is_number(), "{outcome}");
    assert!(nodes[2]["node"] == "n3" && nodes[2]["ms"].is_null() && nodes[2]["lag"].is_string(), "{outcome}");
    eventually(SOON, "n3 is taken for gone", async || {
        cluster.admin(cluster.node(1), "revision").await["nodes"].as_array().map(Vec::len) == Some(2)
    })
    .await;
    assert_eq!(write("b").code, 0);
    cluster.node(3).signal("CONT");
    cluster.all_answer("/b", 200).await;
    cluster.complete().await;
    let applied = cluster.node(3).apply(&channel("c"));
    assert!(applied.contains("revision 3 applied on 3/3 nodes in "), "{applied}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_writer_may_go_on_at_another_node_without_waiting_for_it() {
    let cluster = Cluster::of(3).await;
    for revision in 0..60 {
        let path = format!("apply?wait=0&expect={revision}");
        let bundle = channel(&format!("c{revision}"));
        let node = cluster.node(1 + revision % 3);
        let (status, outcome) = cluster.change(node, &path, &bundle).await;
        assert_eq!(status, 200, "the revision that another node has told is no conflict: {outcome}");
    }
    let begun = Instant::now();
    let (status, outcome) = cluster.change(cluster.node(1), "apply?expect=99", &channel("x")).await;
    assert_eq!(status, 409, "{outcome}");
    assert!(begun.elapsed() < Duration::from_secs(5), "what never was is not waited for");
}

async fn answers(cluster: &Cluster, path: &str, status: u16) {
    for node in cluster.running() {
        let answer = cluster.get(node, path).await;
        assert_eq!(answer.0, status, "{answer:?}\n{}", node.log());
    }
}
