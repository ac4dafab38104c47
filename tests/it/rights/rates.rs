//! Rate limits, on one node and over several.

use std::time::Duration;

use serde_json::json;

use super::{behind_a_proxy, from, status};
use crate::kit::cluster::{Cluster, SOON};
use crate::kit::process::eventually;
use crate::kit::program::Program;

#[tokio::test]
async fn each_address_each_caller_or_all_together_have_a_budget() {
    let node = behind_a_proxy().await;
    node.apply(
        "
security:
- {name: a, type: api-key, key: key-a}
- {name: b, type: api-key, key: key-b}
- {name: either, type: any-of, members: [a, b]}
channels:
- {name: address, type: rest, path: /address, service: zeugma.ping, rate: {limit: 3, per: 1h}}
- {name: caller, type: rest, path: /caller, service: zeugma.ping, security: either,
   rate: {limit: 3, per: 1h, by: caller}}
- {name: channel, type: rest, path: /channel, service: zeugma.ping, rate: {limit: 3, per: 1h, by: channel}}
- {name: fast, type: rest, path: /fast, service: zeugma.ping, rate: {limit: 1, per: 200ms}}
",
    )
    .await;
    let by_address = |address: &str| from(address, node.get("/address"));
    let by_caller = |key: &str, address: &str| from(address, node.get("/caller")).header("x-api-key", key);
    let by_channel = |address: &str| from(address, node.get("/channel"));
    for _ in 0..3 {
        assert_eq!(status(by_address("10.0.0.1")).await, 200);
        assert_eq!(status(by_caller("key-a", "10.0.0.1")).await, 200);
        assert_eq!(status(by_channel("10.0.0.1")).await, 200);
    }
    let refused = by_address("10.0.0.1").send().await.expect("an answer");
    assert_eq!(refused.status(), 429);
    let wait: u64 = refused.headers()["retry-after"].to_str().expect("text").parse().expect("seconds");
    assert!((1190..=1200).contains(&wait), "{wait}");
    assert_eq!(refused.headers()["ratelimit-policy"], "\"address\";q=3;w=3600");
    assert_eq!(status(by_address("10.0.0.2")).await, 200, "another address");
    assert_eq!(status(by_address("2001:db8::1")).await, 200);
    assert_eq!(status(by_caller("key-a", "10.0.0.2")).await, 429, "the same caller from elsewhere");
    assert_eq!(status(by_caller("key-b", "10.0.0.1")).await, 200, "another caller");
    assert_eq!(status(by_channel("10.0.0.2")).await, 429, "all together");
    assert!(node.metrics().contains("zeugma_refused_total{reason=\"too-many\"} 3"), "{}", node.metrics());

    // It fills up.
    assert_eq!(status(node.get("/fast")).await, 200);
    eventually(SOON, "the budget fills up", async || status(node.get("/fast")).await == 200).await;
}

#[tokio::test]
async fn a_definition_has_one_budget_for_all_channels_that_use_it() {
    let node = behind_a_proxy().await;
    node.apply(
        "
security:
- {name: clerk, type: basic, username: clerk, password: hush, rate: {limit: 4, per: 1h}}
- {name: partner, type: api-key, key: key-1, rate: {limit: 2, per: 1h, by: address}}
- {name: either, type: any-of, members: [clerk, partner], rate: {limit: 5, per: 1h, by: definition}}
- {name: web, type: jwt, username: web, password: hush, rate: {limit: 2, per: 1h}}
channels:
- {name: one, type: rest, path: /one, service: zeugma.ping, security: clerk}
- {name: two, type: rest, path: /two, service: zeugma.ping, security: clerk, rate: {limit: 1, per: 1h}}
- {name: three, type: rest, path: /three, service: zeugma.ping, security: either}
- {name: four, type: rest, path: /four, service: zeugma.ping, security: partner}
- {name: five, type: rest, path: /five, service: zeugma.ping, security: web}
",
    )
    .await;
    let basic = |address: &str, path: &str, password: &str| {
        from(address, node.get(path)).basic_auth("clerk", Some(password))
    };
    let key = |address: &str, path: &str| from(address, node.get(path)).header("x-api-key", "key-1");
    // Only those who are let in use it up.
    for _ in 0..5 {
        assert_eq!(status(basic("10.0.0.9", "/one", "wrong")).await, 401);
    }
    assert_eq!(status(basic("10.0.0.1", "/one", "hush")).await, 200);
    assert_eq!(status(basic("10.0.0.2", "/two", "hush")).await, 200);
    assert_eq!(status(basic("10.0.0.2", "/two", "hush")).await, 429, "the channel's own");
    assert_eq!(status(basic("10.0.0.3", "/three", "hush")).await, 200, "by a group");
    assert_eq!(status(basic("10.0.0.1", "/one", "hush")).await, 200);
    let refused = basic("10.0.0.1", "/one", "hush").send().await.expect("an answer");
    assert_eq!(refused.status(), 429, "four of this caller by three channels");
    assert_eq!(refused.headers()["ratelimit-policy"], "\"caller\";q=4;w=3600");
    let wait: u64 = refused.headers()["retry-after"].to_str().expect("text").parse().expect("seconds");
    assert!((890..=900).contains(&wait), "{wait}");
    assert_eq!(status(basic("10.0.0.3", "/three", "hush")).await, 429, "by the group just so");

    assert_eq!(status(key("10.0.0.1", "/four")).await, 200);
    assert_eq!(status(key("10.0.0.1", "/three")).await, 200);
    assert_eq!(status(key("10.0.0.1", "/four")).await, 429);
    for address in ["10.0.0.2", "10.0.0.3", "10.0.0.4"] {
        assert_eq!(status(key(address, "/three")).await, 200, "another address");
    }
    assert_eq!(status(key("10.0.0.5", "/three")).await, 429, "five by the group together");
    assert_eq!(status(key("10.0.0.5", "/four")).await, 200);

    let log_in =
        |password: &str| node.post("/api/token").json(&json!({"username": "web", "password": password}));
    let token = log_in("hush").send().await.expect("an answer").headers()["authorization"].clone();
    let token = token.to_str().expect("text");
    assert_eq!(status(log_in("wrong")).await, 401, "which uses up nothing");
    assert_eq!(status(node.get("/five").bearer_auth(token)).await, 200);
    assert_eq!(status(node.get("/five").bearer_auth(token)).await, 429);
    assert_eq!(status(log_in("hush")).await, 429, "a log-in is a use like any other");
}

/// How many of these requests were answered, all sent at once; the others were refused.
async fn answered(nodes: &[&Program], path: &str, each: usize) -> usize {
    let client = reqwest::Client::builder().no_proxy().build().expect("a client");
    let mut requests = Vec::new();
    for node in nodes.iter().cycle().take(each * nodes.len()) {
        let request = client.get(format!("{}{path}", node.data));
        requests.push(tokio::spawn(async move { status(request).await }));
    }
    let mut answered = 0;
    for request in requests {
        match request.await.expect("no panic") {
            200 => answered += 1,
            other => assert_eq!(other, 429),
        }
    }
    answered
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_share_a_budget_and_go_on_without_redis() {
    let mut cluster = Cluster::of(3).await;
    let channel = |name: &str, exact: bool| {
        json!({"name": name, "type": "rest", "path": format!("/{name}"), "service": "zeugma.ping",
               "rate": {"limit": 30, "per": "1h", "by": "channel", "exact": exact}})
    };
    let by_key = |name: &str| json!({"name": name, "type": "rest", "path": format!("/{name}"), "service": "zeugma.ping", "security": "key"});
    cluster.node(1).apply(&json!({
        "security": [{"name": "key", "type": "api-key", "query": "key", "key": "k",
                      "rate": {"limit": 30, "per": "1h", "exact": true}}],
        "channels": [channel("near", false), channel("exact", true), by_key("keyed"), by_key("other")]
    }));

    // Exact: ninety at once on three nodes, and not one too many.
    let nodes: Vec<&Program> = cluster.running().collect();
    assert_eq!(answered(&nodes, "/exact", 30).await, 30);

    // Of a definition just so, whichever channel it is.
    assert_eq!(answered(&nodes, "/keyed?key=k", 9).await, 27);
    assert_eq!(answered(&nodes, "/other?key=k", 9).await, 3);

    // Without a wait: what one node let in, the others know a moment later.
    assert_eq!(answered(&nodes[..1], "/near", 40).await, 30, "one node alone is exact");
    for n in [2, 3] {
        let mut over = 0;
        eventually(SOON, "the others have heard of it", async || {
            let (code, _) = cluster.get(cluster.node(n), "/near").await;
            over += usize::from(code == 200);
            tokio::time::sleep(Duration::from_millis(20)).await;
            code == 429
        })
        .await;
        assert!(over <= 10, "n{n} let in {over} more");
    }

    // Redis away: each node counts by itself, and requests go on.
    cluster.redis.kill();
    for path in ["/near", "/exact"] {
        let nodes: Vec<&Program> = cluster.running().collect();
        let codes = answered(&nodes, path, 2).await;
        println!("{codes} of 6 answered at {path} without Redis");
    }
    let (code, body) = cluster.get(cluster.node(2), "/exact").await;
    assert_eq!(code, 200, "{body}: this node has let in nobody by its own count");
}
