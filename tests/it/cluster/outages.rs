//! Redis goes away, with and without its data: nodes serve on, say so, and take changes again as soon as that is safe.

use serde_json::json;

use crate::kit::cluster::{Cluster, SOON, channel};
use crate::kit::process::eventually;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn when_all_nodes_and_redis_crash_everything_comes_back() {
    let mut cluster = Cluster::of(3).await;
    cluster.node(1).apply(&channel("a"));
    cluster.node(2).apply(&channel("b"));
    (1..=3).for_each(|n| cluster.kill(n));
    cluster.redis.kill();
    cluster.redis.restart().await;
    for n in 1..=3 {
        cluster.add(n, &[], &[]);
        // A node serves what is stored from its first moment on.
        assert_eq!(cluster.get(cluster.node(n), "/a").await.0, 200);
        assert_eq!(cluster.get(cluster.node(n), "/b").await.0, 200);
    }
    cluster.complete().await;
    let applied = cluster.node(3).apply(&channel("c"));
    assert!(applied.contains("revision 3 applied on 3/3 nodes in "), "{applied}");
    let history = cluster.node(1).json(&["history"]);
    assert_eq!(history.as_array().map(Vec::len), Some(3), "{history}");
    let nodes = cluster.admin(cluster.node(1), "nodes").await;
    assert!(nodes[0]["own"]["alarms"] == 0, "nothing was lost: {nodes}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_starts_without_redis_and_catches_up_by_itself() {
    let mut cluster = Cluster::of(2).await;
    cluster.node(1).apply(&channel("known"));
    // It is on the disk of each node in the next moment.
    cluster.disk_has(2, 1).await;
    cluster.kill(2);
    cluster.node(1).apply(&channel("missed"));
    cluster.redis.kill();
    cluster.add(2, &[], &[]);

    let node = cluster.node(2);
    assert_eq!(cluster.get(node, "/known").await.0, 200);
    assert_eq!(cluster.get(node, "/missed").await.0, 404);
    let ready = node.admin("/readyz").send().ok().json();
    assert!(ready["store"].as_str().is_some_and(|store| store.contains("away since")), "{ready}");
    assert_eq!((&ready["status"], &ready["revision"]), (&json!("ok"), &json!(1)), "{ready}");
    let status = node.good(&["status"]);
    assert!(status.contains("n2: the store redis://") && status.contains("is away since"), "{status}");
    assert!(node.admin("/metrics").send().ok().text().contains("\nzeugma_store_up 0\n"));

    // No change is taken, by either node, and the writer learns why.
    let (refused, why) = cluster.change(node, "apply", &channel("refused")).await;
    assert_eq!((refused.as_u16(), &why["error"]["kind"]), (503, &json!("unavailable")), "{why}");
    cluster.node(1).write("refused.json", &channel("refused").to_string());
    let refused = cluster.node(1).run(&["apply", "-f", "refused.json"]);
    assert!(refused.code == 1 && refused.err.contains("Redis"), "{refused:?}");

    cluster.redis.restart().await;
    cluster.all_answer("/missed", 200).await;
    cluster.complete().await;
    let applied = cluster.node(2).apply(&channel("later"));
    assert!(applied.contains("revision 3 applied on 2/2 nodes in "), "{applied}");
    let ready = cluster.node(2).admin("/readyz").send().ok().json();
    assert!(ready["store"].is_null(), "{ready}");
    assert!(cluster.node(2).admin("/metrics").send().ok().text().contains("\nzeugma_store_up 1\n"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn when_redis_comes_back_empty_nodes_serve_on_until_an_operator_decides() {
    let mut cluster = Cluster::of(3).await;
    cluster.node(1).apply(&channel("kept"));
    cluster.redis.kill();
    cluster.redis.lose_its_data();
    cluster.redis.restart().await;
    for node in cluster.running() {
        eventually(SOON, "each node sees that Redis is empty", async || {
            node.good(&["status"]).contains("Redis is empty, but this node holds revision 1")
        })
        .await;
        assert_eq!(cluster.get(node, "/kept").await.0, 200);
    }
    let node = cluster.node(2);
    let (refused, why) = cluster.change(node, "apply", &channel("refused")).await;
    assert_eq!((refused.as_u16(), &why["error"]["kind"]), (503, &json!("unavailable")), "{why}");
    node.write("refused.json", &channel("refused").to_string());
    let refused = node.run(&["apply", "-f", "refused.json"]);
    assert_eq!(refused.code, 1, "{refused:?}");
    assert!(
        refused.err.contains("Redis is empty") && refused.err.contains("zeugma store restore"),
        "{refused:?}"
    );

    let restored = node.good(&["store", "restore", "--reason", "the disk is new"]);
    // Redis has forgotten the nodes too; the others may not have said yet that they are there.
    assert!(restored.contains("revision 1001 applied on "), "{restored}");
    cluster.complete().await;
    let again = node.run(&["store", "restore"]);
    assert!(again.code == 4 && again.err.contains("nothing to decide"), "{again:?}");
    for n in 1..=3 {
        let applied = cluster.node(n).apply(&channel(&format!("c{n}")));
        assert!(applied.contains(" applied on 3/3 nodes in "), "{applied}");
    }
    for node in cluster.running() {
        for path in ["/kept", "/c1", "/c2", "/c3"] {
            assert_eq!(cluster.get(node, path).await.0, 200);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn when_an_operator_accepts_what_redis_holds_all_nodes_take_it_and_keep_a_copy_of_what_they_had() {
    let mut cluster = Cluster::of(2).await;
    cluster.node(1).apply(&channel("gone"));
    cluster.disk_has(1, 1).await;
    cluster.redis.kill();
    cluster.redis.lose_its_data();
    cluster.redis.restart().await;
    // A node that knows nothing begins a history of its own there, as it cannot know of the other.
    cluster.add(3, &[], &[]);
    cluster.node(3).apply(&channel("new"));
    let node = cluster.node(1);
    eventually(SOON, "the older nodes see that this is not their history", async || {
        node.good(&["status"]).contains("Redis holds another history")
    })
    .await;
    assert_eq!((cluster.get(node, "/gone").await.0, cluster.get(node, "/new").await.0), (200, 404));

    let wrong = node.run(&["store", "accept", "--data", "elsewhere"]);
    assert_eq!(wrong.code, 1, "nobody decides without a token: {wrong:?}");
    node.good(&["store", "accept"]);
    for node in cluster.running() {
        cluster.all_answer("/new", 200).await;
        cluster.all_answer("/gone", 404).await;
        assert!(!node.good(&["status"]).contains("another history. "), "{}", node.log());
    }
    let copy = cluster.node(1).folder.path().join("zeugma-data/last-good.given-up.json");
    assert!(std::fs::read_to_string(copy).expect("a copy").contains("channel/gone"));
    cluster.complete().await;
    let applied = cluster.node(2).apply(&channel("later"));
    assert!(applied.contains(" applied on 3/3 nodes in "), "{applied}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_read_in_redis_is_a_fault_that_receipts_and_every_node_show() {
    let mut cluster = Cluster::of(2).await;
    cluster.node(1).apply(&channel("whole"));
    cluster.node(1).apply(&channel("torn"));
    cluster.redis.ask(&["HSET", "{zeugma:zeugma}:obj", "channel/torn", "{"]);
    // It is fetched by whoever begins with nothing.
    cluster.add(3, &[], &[]);
    cluster.complete().await;
    assert_eq!(
        (cluster.get(cluster.node(3), "/whole").await.0, cluster.get(cluster.node(3), "/torn").await.0),
        (200, 404)
    );
    eventually(SOON, "another node shows the fault", async || {
        let nodes = cluster.admin(cluster.node(1), "nodes").await;
        nodes[2]["faults"].to_string().contains("cannot be read in the store")
    })
    .await;
    let receipt = cluster.admin(cluster.node(2), "revision").await;
    assert!(receipt["nodes"][2]["faults"].to_string().contains("channel/torn"), "{receipt}");
    // Whoever writes it again makes it whole, for everybody.
    cluster.node(3).apply(&channel("torn"));
    cluster.all_answer("/torn", 200).await;
    eventually(SOON, "the fault is gone", async || {
        let nodes = cluster.admin(cluster.node(1), "nodes").await;
        nodes[2]["faults"] == json!([])
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_that_writes_nothing_down_is_told_of() {
    let mut cluster = Cluster::of(1).await;
    assert!(!cluster.node(1).good(&["status"]).contains("append-only"), "this one writes down everything");
    cluster.redis.ask(&["CONFIG", "SET", "appendonly", "no"]);
    cluster.add(2, &[], &[]);
    eventually(SOON, "the status says so", async || {
        cluster.node(2).good(&["status"]).contains("Redis has no append-only file")
    })
    .await;
    assert!(cluster.node(2).log().contains("Redis has no append-only file"), "and the log too");
}
