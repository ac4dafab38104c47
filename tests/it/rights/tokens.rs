//! Admin tokens: made, shown and revoked on the command line, and what they allow on real nodes.

use std::time::Duration;

use serde_json::{Value, json};

use crate::kit::cluster::Cluster;
use crate::kit::program::{Program, Said, said};

/// What a command says with this token.
fn with(node: &Program, token: &str, arguments: &[&str]) -> Said {
    let mut command = node.command(arguments);
    said(command.env("ZEUGMA_ADMIN_TOKEN", token).output().expect("the program runs"))
}

#[tokio::test]
async fn a_viewer_looks_a_deployer_deploys_and_a_revoked_token_is_none() {
    let node = Program::start(&[]);
    let create = |name: &str, role: &str| {
        node.good(&["admin-token", "create", name, "--role", role, "--ttl", "1h"]).trim().to_owned()
    };
    let (eyes, robot, boss) =
        (create("eyes", "viewer"), create("robot", "deployer"), create("boss", "admin"));
    assert!(eyes.len() > 64 && eyes != robot);
    assert!(node.run(&["admin-token", "create", "eyes", "--role", "admin"]).err.contains("is there already"));

    // None of them is anywhere in clear.
    let list = node.good(&["admin-token", "list"]);
    let export = node.good(&["export"]);
    let revealed = node.good(&["export", "--reveal-secrets"]);
    for text in [&list, &export, &revealed, &node.log(), &node.good(&["history", "--changes"])] {
        assert!(!text.contains(&eyes), "{text}");
    }
    assert!(list.contains("viewer") && list.contains("deployer"), "{list}");

    node.write("c.yaml", "channels:\n- {name: c, type: rest, path: /c, service: zeugma.ping}\n");
    assert_eq!(with(&node, &eyes, &["status"]).code, 0);
    assert_eq!(with(&node, &eyes, &["get"]).code, 0);
    let refused = with(&node, &eyes, &["apply", "-f", "c.yaml"]);
    assert!(refused.code == 1 && refused.err.contains("\"eyes\" is that of a viewer"), "{refused:?}");
    assert_eq!(with(&node, &robot, &["apply", "-f", "c.yaml"]).code, 0);
    let reveal = with(&node, &robot, &["export", "--reveal-secrets"]);
    assert!(reveal.code == 1 && reveal.err.contains("only an admin"), "{reveal:?}");
    let more = with(&node, &robot, &["admin-token", "create", "more", "--role", "admin"]);
    assert_eq!(more.code, 1, "a deployer gives no rights: {more:?}");
    assert_eq!(with(&node, &boss, &["admin-token", "create", "more", "--role", "viewer"]).code, 0);

    // The description of the API knows every write, so none can be forgotten.
    let description: Value = node.admin("/api/v1/openapi.json").send().ok().json();
    let client = reqwest::Client::builder().no_proxy().build().expect("a client");
    let mut tried = 0;
    for (path, item) in description["paths"].as_object().expect("paths") {
        for (verb, operation) in item.as_object().expect("operations") {
            let Ok(method) = verb.to_uppercase().parse::<reqwest::Method>() else { continue };
            if operation.get("operationId").is_none() || method == reqwest::Method::GET {
                continue;
            }
            let path = path.replace(['{', '}'], "");
            let request = client.request(method, format!("{}{path}", node.admin)).bearer_auth(&eyes);
            let answer = request.body("{}").send().await.expect("an answer");
            assert_eq!(answer.status(), 403, "{verb} {path}");
            tried += 1;
        }
    }
    assert!(tried >= 10, "{tried}");
    let scrape = client.get(format!("{}/metrics", node.admin)).bearer_auth(&eyes).send().await;
    assert_eq!(scrape.expect("an answer").status(), 200, "a viewer reads the metrics");

    node.good(&["admin-token", "revoke", "robot"]);
    let gone = with(&node, &robot, &["status"]);
    assert!(gone.code == 1 && gone.err.contains("no admin token"), "{gone:?}");
    assert!(node.run(&["admin-token", "revoke", "robot"]).err.contains("there is no admin token"));
    // Back to when it was there, for another reason: it stays revoked.
    let back = node.good(&["rollback", "3"]);
    assert!(back.contains("- channel/c") && back.contains("security/robot stays as it is"), "{back}");
    assert_eq!(with(&node, &robot, &["status"]).code, 1);
    // And it stays so; the others, too.
    let node = node.crash_and_restart(&[]);
    assert_eq!(with(&node, &robot, &["status"]).code, 1);
    assert_eq!(with(&node, &eyes, &["status"]).code, 0);
}

#[tokio::test]
async fn a_stream_of_events_ends_with_the_token_that_began_it() {
    let node = Program::start(&[]);
    let token =
        |name: &str| node.good(&["admin-token", "create", name, "--role", "viewer"]).trim().to_owned();
    let (eyes, ears) = (token("eyes"), token("ears"));
    let client = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(20)).build();
    let client = client.expect("a client");
    let follow = async |token: &str| {
        let request = client.get(format!("{}/api/v1/events", node.admin)).bearer_auth(token);
        let mut answer = request.send().await.expect("an answer");
        let first = answer.chunk().await.expect("a stream").expect("what the node serves");
        assert!(first.starts_with(b"event:node"), "{first:?}");
        answer
    };
    let (mut seen, mut heard) = (follow(&eyes).await, follow(&ears).await);
    node.good(&["admin-token", "revoke", "eyes"]);
    while seen.chunk().await.expect("the stream ends in time").is_some() {}
    // That of the other goes on.
    let change = json!({"channels": [{"name": "c", "type": "rest", "path": "/c", "service": "zeugma.ping"}]});
    node.apply(&change);
    let mut told = String::new();
    while !told.contains("channel/c") {
        let chunk = heard.chunk().await.expect("a stream").expect("no end");
        told.push_str(std::str::from_utf8(&chunk).expect("text"));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_counts_on_all_nodes_and_is_revoked_on_all_at_once() {
    let cluster = Cluster::of(3).await;
    let token =
        cluster.node(1).good(&["admin-token", "create", "eyes", "--role", "viewer"]).trim().to_owned();
    let client = reqwest::Client::builder().no_proxy().build().expect("a client");
    let status = async |node: &Program| {
        let request = client.get(format!("{}/api/v1/nodes", node.admin)).bearer_auth(&token);
        request.send().await.expect("an answer").status().as_u16()
    };
    for node in cluster.running() {
        assert_eq!(status(node).await, 200, "the command has waited for all nodes");
    }
    cluster.node(2).good(&["admin-token", "revoke", "eyes"]);
    for node in cluster.running() {
        assert_eq!(status(node).await, 401, "the command has waited for all nodes");
    }
    let stored = cluster.redis.everything();
    assert!(!stored.windows(token.len()).any(|part| part == token.as_bytes()), "in clear in Redis");
}
