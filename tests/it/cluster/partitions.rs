//! A node that is cut off from Redis, while everybody else is not; and nodes that are cut off from each other.

use serde_json::json;

use crate::kit::cluster::{Cluster, SOON, channel};
use crate::kit::process::{eventually, free_port};
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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_without_a_way_to_each_other_follow_redis_and_say_which_link_is_down() {
    let mut cluster = Cluster::of(0).await;
    let mut ways = Vec::new();
    for n in 1..=2 {
        let port = free_port();
        let way = Proxy::to(port).await;
        let (listen, advertise) = (format!("127.0.0.1:{port}"), format!("127.0.0.1:{}", way.port));
        let variables = [("ZEUGMA_CLUSTER_LISTEN", &*listen), ("ZEUGMA_CLUSTER_ADVERTISE", &*advertise)];
        cluster.add_at(n, &variables);
        ways.push(way);
    }
    cluster.complete().await;
    let verb = ["actor", "ping", "service", "zeugma.ping", "--timeout", "1s", "--node", "n2"];
    let linked = cluster.node(1).run(&verb);
    assert_eq!(linked.code, 0, "{linked:?}");

    ways.iter().for_each(Proxy::cut);
    // Redis is another way: changes reach both, with a receipt, and requests go on.
    for name in ["one", "two", "three"] {
        let applied = cluster.node(1).apply(&channel(name));
        assert!(applied.contains("applied on 2/2 nodes in "), "{applied}");
        for node in cluster.running() {
            assert_eq!(cluster.get(node, &format!("/{name}")).await.0, 200);
        }
    }
    // An errand to the other side ends at its deadline and says why.
    let lost = cluster.node(1).run(&verb);
    assert_ne!(lost.code, 0, "{lost:?}");
    eventually(SOON, "each says that its link is down", async || {
        for node in cluster.running() {
            let nodes = cluster.admin(node, "nodes").await;
            let other = nodes.as_array().expect("a list").iter().find(|other| other["asked"] != true);
            let other = other.expect("the other one");
            if other["link_ms"].is_number() || other["alive"] != true {
                return false;
            }
        }
        true
    })
    .await;

    ways.iter().for_each(Proxy::heal);
    cluster.complete().await;
    let linked = cluster.node(1).run(&verb);
    assert_eq!(linked.code, 0, "{linked:?}");
}
