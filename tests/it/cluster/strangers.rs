//! What comes from outside or is broken harms nobody else: rivals, other clusters, wrong secrets, corrupt data.

use std::io::Read as _;
use std::net::TcpStream;
use std::process::Stdio;
use std::time::Duration;

use serde_json::json;
use tokio::time::Instant;

use crate::kit::cluster::{Cluster, SOON, channel};
use crate::kit::process::eventually;
use crate::kit::program::said;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_admins_who_write_at_once_one_is_told_to_look_again() {
    let cluster = Cluster::of(2).await;
    for round in 0..4 {
        let rivals: Vec<_> = (1..=2)
            .map(|n| {
                let header = json!({"x-by": format!("n{n} in round {round}")});
                let bundle = json!({"channels": [{"name": "c", "type": "rest", "path": "/c",
                    "service": "zeugma.ping", "response_headers": header}]});
                cluster.node(n).write("rival.json", &bundle.to_string());
                let expect = round.to_string();
                let mut apply = cluster.node(n).command(&["apply", "-f", "rival.json", "--expect", &expect]);
                apply.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it runs")
            })
            .collect();
        let said: Vec<_> =
            rivals.into_iter().map(|rival| said(rival.wait_with_output().expect("it ends"))).collect();
        let mut codes: Vec<i32> = said.iter().map(|said| said.code).collect();
        let winner = 1 + codes.iter().position(|code| *code == 0).expect("one of them is first");
        codes.sort_unstable();
        assert_eq!(codes, [0, 4], "{said:?}");
        for node in cluster.running() {
            let by = node.curl("/c").send().ok();
            assert_eq!(by.header("x-by"), Some(&*format!("n{winner} in round {round}")));
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clusters_of_other_names_do_not_see_each_other() {
    let mut cluster = Cluster::of(2).await;
    cluster.add(3, &["--cluster", "another"], &[]);
    cluster.node(1).apply(&channel("ours"));
    let applied = cluster.node(3).apply(&channel("theirs"));
    assert!(applied.contains("revision 1 applied on 1/1 nodes in "), "{applied}");
    let nodes = cluster.node(3).good(&["nodes"]);
    assert_eq!(nodes.lines().count(), 2, "{nodes}");
    assert_eq!(cluster.get(cluster.node(3), "/ours").await.0, 404);
    for n in 1..=2 {
        assert_eq!(cluster.get(cluster.node(n), "/theirs").await.0, 404);
        assert_eq!(cluster.node(n).good(&["nodes"]).lines().count(), 3);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_with_another_secret_gets_no_link_and_the_secret_is_in_no_log() {
    const WRONG: &str = "not-the-secret-of-this-cluster";
    let mut cluster = Cluster::of(2).await;
    cluster.add(3, &[], &[("ZEUGMA_CLUSTER_SECRET", WRONG)]);
    for n in 1..=3 {
        let node = cluster.node(n);
        eventually(SOON, &format!("n{n} logs that there is no link\n{}", node.log()), async || {
            let log = node.log();
            log.contains("cannot be linked") || log.contains("a connection is refused")
        })
        .await;
        assert!(!node.log().contains(WRONG), "{}", node.log());
    }
    let nodes = cluster.admin(cluster.node(1), "nodes").await;
    let third = nodes.as_array().expect("a list").iter().find(|node| node["node"] == "n3").expect("n3");
    assert!(third["trouble"].is_string() && third["link_ms"].is_null(), "{third}");
    assert!(!nodes.to_string().contains(WRONG));
    // The two others are as they were, and what n3 cannot be told by a link it learns from the store.
    let told = cluster.node(1).json(&["actor", "ping", "service", "zeugma.ping", "--node", "n2"]);
    assert!(told[0]["ok"].is_object(), "{told}");
    let refused = cluster.node(1).run(&["actor", "ping", "service", "zeugma.ping", "--node", "n3"]);
    assert_eq!(refused.code, 1, "{refused:?}");
    let applied = cluster.node(1).apply(&channel("a"));
    assert!(applied.contains("revision 1 applied on 3/3 nodes in "), "{applied}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_corrupt_object_is_one_fault_and_no_dead_node() {
    let mut cluster = Cluster::of(2).await;
    cluster.node(1).apply(&channel("good"));
    cluster.node(1).apply(&channel("bad"));
    let set = cluster.redis.ask(&["HSET", "{zeugma:zeugma}:obj", "channel/bad", "{\"garbage"]);
    assert_eq!(set.trim(), "0", "the name of the key is another now: {set}");
    cluster.add(3, &[], &[]);
    cluster.complete().await;
    let (old, new) = (cluster.node(1), cluster.node(3));
    assert_eq!((cluster.get(new, "/good").await.0, cluster.get(new, "/bad").await.0), (200, 404));
    assert_eq!(cluster.get(old, "/bad").await.0, 200, "who has seen it keeps it");
    let status = new.good(&["status"]);
    assert!(status.contains("n3: channel/bad: cannot be read in the store"), "{status}");
    // To write it anew makes it whole, everywhere.
    let other = json!({"channels": [{"name": "bad", "type": "rest", "path": "/bad", "method": "GET",
        "service": "zeugma.ping"}]});
    let applied = cluster.node(1).apply(&other);
    assert!(applied.contains(" applied on 3/3 nodes in "), "{applied}");
    for node in cluster.running() {
        assert_eq!(cluster.get(node, "/bad").await.0, 200);
    }
    assert!(!new.good(&["status"]).contains("n3: channel/bad"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn silent_clients_of_the_cluster_port_hurt_nobody_and_are_closed() {
    let cluster = Cluster::of(2).await;
    let nodes = cluster.admin(cluster.node(1), "nodes").await;
    let address = nodes[0]["address"].as_str().expect("an address").to_owned();
    let mut silent: Vec<_> = (0..40).map(|_| TcpStream::connect(&address).expect("it accepts")).collect();
    let told = cluster.node(2).json(&["actor", "ping", "service", "zeugma.ping", "--node", "n1"]);
    assert!(told[0]["ok"].is_object(), "{told}");
    let applied = cluster.node(2).apply(&channel("a"));
    assert!(applied.contains("revision 1 applied on 2/2 nodes in "), "{applied}");
    let begun = Instant::now();
    for client in &mut silent {
        client.set_read_timeout(Some(Duration::from_secs(15))).expect("set");
        // The node says nothing, or no more than its hello, before it hangs up.
        let mut said = Vec::new();
        if let Err(error) = client.read_to_end(&mut said) {
            assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
        }
        assert!(said.len() < 4096);
    }
    assert!(begun.elapsed() < Duration::from_secs(15));
    cluster.complete().await;
}
