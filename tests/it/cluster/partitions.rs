//! A node that is cut off from Redis, while everybody else is not.

use serde_json::json;

use crate::kit::cluster::{Cluster, SOON, channel};
use crate::kit::process::eventually;
use crate::kit::proxy::Proxy;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_without_a_way_to_redis_serves_on_holds_up_nobody_and_catches_up() {
    let mut cluster = Cluster::of(2).await;
    let way = Proxy::to(cluster.redis.port).await;
    cluster.add_by(3, way.port, &[], &[]);
    cluster.complete().await;
    let applied = cluster.node(3).apply(&channel("before"));
    assert!(applied.contains("applied on 3/3 nodes in "), "{applied}");

    way.cut();
    // Once it has been silent for long enough it is taken for gone, and the others go on without it.
    let applied = cluster.node(1).apply(&channel("meanwhile"));
    assert!(applied.contains("applied on 2/2 nodes in "), "{applied}");
    let node = cluster.node(3);
    assert_eq!(cluster.get(node, "/before").await.0, 200, "it serves what it has seen last");
    assert_eq!(cluster.get(node, "/meanwhile").await.0, 404);
    let (refused, why) = cluster.change(node, "apply", &channel("refused")).await;
    assert_eq!((refused.as_u16(), &why["error"]["kind"]), (503, &json!("unavailable")), "{why}");
    eventually(SOON, "it says so", async || {
        let ready = cluster.node(3).admin("/readyz").send().ok().json();
        ready["store"].as_str().is_some_and(|store| store.contains("away since"))
    })
    .await;
    // The links between nodes are another way, and open.
    let told = cluster.node(1).run(&["actor", "ping", "channel", "before", "--node", "n2"]);
    assert_eq!(told.code, 0, "{told:?}");

    way.heal();
    cluster.all_answer("/meanwhile", 200).await;
    cluster.complete().await;
    let applied = cluster.node(3).apply(&channel("after"));
    assert!(applied.contains("applied on 3/3 nodes in "), "{applied}");
}
