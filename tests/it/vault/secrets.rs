//! Secrets of definitions that are kept in Vault, and those that services read there.

use std::net::IpAddr;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use actors::supervisor::ActorState;
use actors::worker::Verb;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reqwest::Method;
use serde_json::{Value, json};

use crate::kit::node::{TestNode, until};
use crate::kit::vault::Bao;

fn bundle(url: &str, key: &str) -> String {
    format!(
        "connections: [{{name: v, type: vault, url: '{url}', token: root, refresh: 300ms}}]
security: [{{name: key, type: api-key, key: '{key}'}}]
channels:
- {{name: who, type: rest, path: /who, service: who, security: key}}
- {{name: slow, type: rest, path: /slow, method: POST, service: sleepy, security: key}}
- {{name: open, type: rest, path: /open, service: who}}"
    )
}

/// Each time from another address: whoever is wrong too often from one is locked out.
async fn status(node: &TestNode, key: &str) -> u16 {
    static ASKED: AtomicU8 = AtomicU8::new(1);
    let asked = ASKED.fetch_add(1, Ordering::Relaxed);
    let client = reqwest::Client::builder().no_proxy().local_address(IpAddr::from([127, 0, 7, asked.max(1)]));
    let client = client.timeout(Duration::from_secs(30)).build().expect("a client");
    let request = client.get(format!("http://{}/who", node.data())).header("X-API-Key", key);
    request.send().await.expect("an answer").status().as_u16()
}

fn fault(node: &TestNode, id: &str) -> Option<String> {
    let all = node.app().supervisor.list();
    all.into_iter().find(|a| a.id.to_string() == id).and_then(|a| a.fault)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_secret_is_read_where_it_is_kept_in_both_engines() {
    let bao = Bao::start().await;
    bao.put("team/app", json!({"key": "versioned", "number": 4711})).await;
    bao.root(Method::POST, "kv1/app", json!({"key": "plain"})).await;
    let node = TestNode::start().await;
    for (reference, key) in [
        ("vault:v/secret/team/app#key", "versioned"),
        ("vault:v/secret/team/app#number", "4711"),
        ("vault:v/kv1/app#key", "plain"),
    ] {
        node.apply(&bundle(&bao.url(), reference)).await;
        assert_eq!(status(&node, key).await, 200, "{reference}");
        assert_eq!(status(&node, reference).await, 401, "the reference is not the secret");
        assert_eq!(status(&node, "other").await, 401);
    }
    // What it refers to must be there, and an unusable reference is a fault of its own.
    for (reference, message) in [
        ("vault:w/secret/team/app#key", "connection/w"),
        ("vault:v/secret/team/app", "is a reference"),
        ("vault:elsewhere/secret/team/app#key", "connection/elsewhere cannot keep secrets"),
    ] {
        let other = "connections: [{name: elsewhere, type: http, url: 'http://127.0.0.1:9/'}, ";
        let bundle = bundle(&bao.url(), reference).replace("connections: [", other);
        let refused = node.try_apply(&bundle).await.expect_err("a fault").to_string();
        assert!(refused.contains(message), "{refused}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_reference_is_shown_and_the_secret_never() {
    let bao = Bao::start().await;
    bao.put("app", json!({"key": "Gehe1mnis-in-Vault"})).await;
    let node = TestNode::start().await;
    node.apply(&bundle(&bao.url(), "vault:v/secret/app#key")).await;
    assert_eq!(status(&node, "Gehe1mnis-in-Vault").await, 200);
    let token = node.app().admin_token.reveal().to_owned();
    let client = reqwest::Client::builder().no_proxy().build().expect("a client");
    let mut texts = Vec::new();
    for path in
        ["export", "export?reveal=true", "history", "actors", "actors?tree=true", "nodes", "definitions"]
    {
        let url = format!("http://{}/api/v1/{path}", node.admin());
        texts.push(
            client.get(url).bearer_auth(&token).send().await.expect("an answer").text().await.expect("text"),
        );
    }
    assert!(texts[0].contains("vault:v/secret/app#key"), "{}", texts[0]);
    texts.push(node.metrics());
    for text in &texts {
        assert!(!text.contains("Gehe1mnis-in-Vault"), "{text}");
    }
    let folder = node.stop().await;
    let mut folders = vec![folder.path().to_owned()];
    while let Some(at) = folders.pop() {
        for entry in std::fs::read_dir(at).expect("a folder").flatten() {
            if entry.path().is_dir() {
                folders.push(entry.path());
            } else {
                let bytes = std::fs::read(entry.path()).expect("a file");
                let found = bytes.windows(18).any(|window| window == b"Gehe1mnis-in-Vault");
                assert!(!found, "{} holds the secret", entry.path().display());
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_changed_secret_is_taken_up_and_requests_under_way_end_well() {
    let bao = Bao::start().await;
    bao.put("app", json!({"key": "one"})).await;
    let node = TestNode::start().await;
    node.apply(&bundle(&bao.url(), "vault:v/secret/app#key")).await;
    let inside = tokio::spawn(node.post("/slow").header("X-API-Key", "one").body("5000").send());
    until("one request is inside", async || {
        node.metrics().contains(r#"zeugma_in_flight{family="channel",name="slow"} 1"#)
    })
    .await;
    bao.put("app", json!({"key": "two"})).await;
    until("the new one is known", async || status(&node, "two").await == 200).await;
    assert_eq!(status(&node, "one").await, 401);
    assert!(!inside.is_finished(), "the request is still inside");
    assert_eq!(inside.await.expect("joined").expect("an answer").status(), 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_secret_with_a_lease_is_read_again_before_that_ends() {
    let bao = Bao::start().await;
    bao.root(Method::POST, "kv1/app", json!({"key": "one", "ttl": "2s"})).await;
    let node = TestNode::start().await;
    let bundle = bundle(&bao.url(), "vault:v/kv1/app#key").replace("refresh: 300ms", "refresh: 1h");
    node.apply(&bundle).await;
    assert_eq!(status(&node, "one").await, 200);
    bao.root(Method::POST, "kv1/app", json!({"key": "two", "ttl": "2s"})).await;
    until("the new one is known", async || status(&node, "two").await == 200).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_holds_credentials_of_a_changed_definition_is_started_anew_too() {
    let bao = Bao::start().await;
    bao.put("app", json!({"key": "one"})).await;
    let other = TestNode::start().await;
    other
        .apply(
            "security: [{name: a, type: api-key, key: one}]
channels: [{name: who, type: rest, path: /who, service: who, security: a}]",
        )
        .await;
    let node = TestNode::start().await;
    node.apply(&format!(
        "connections:
- {{name: v, type: vault, url: '{}', token: root, refresh: 300ms}}
- {{name: other, type: http, url: 'http://{}/who', security: key}}
security: [{{name: key, type: api-key, key: 'vault:v/secret/app#key'}}]
channels: [{{name: relay, type: rest, path: /relay, service: relays}}]",
        bao.url(),
        other.data()
    ))
    .await;
    let relayed = async || node.get("/relay").send().await.expect("an answer").text().await.expect("text");
    assert_eq!(relayed().await, "200 OK");
    other.apply("security: [{name: a, type: api-key, key: two}]").await;
    assert_eq!(relayed().await, "401 Unauthorized");
    bao.put("app", json!({"key": "two"})).await;
    until("the connection shows the new one", async || relayed().await == "200 OK").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_secret_that_is_missing_keeps_one_part_from_starting_until_it_is_there() {
    let bao = Bao::start().await;
    bao.put("app", json!({"other": "x"})).await;
    let node = TestNode::start().await;
    for (reference, what) in [
        ("vault:v/secret/nowhere#key", "no such thing"),
        ("vault:v/nowhere/app#key", "connection/v"),
        ("vault:v/secret/app#key", "has no field"),
    ] {
        let outcome = node.try_apply(&bundle(&bao.url(), reference)).await.expect("it is stored");
        assert!(outcome.receipt.settled, "{:?}", outcome.receipt);
        until("the fault is shown", async || fault(&node, "security/key").is_some_and(|f| f.contains(what)))
            .await;
        let said = fault(&node, "security/key").expect("a fault");
        assert!(said.contains(reference), "{said}");
        assert_eq!(status(&node, "k3y").await, 503);
        assert_eq!(node.get("/open").send().await.expect("an answer").status(), 200);
    }
    bao.put("app", json!({"key": "k3y"})).await;
    until("it starts by itself", async || status(&node, "k3y").await == 200).await;
    assert_eq!(fault(&node, "security/key"), None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_value_that_is_no_secret_opens_no_door() {
    let bao = Bao::start().await;
    bao.put("app", json!({"key": "", "word": "(sealed)", "lines": "Gehe1mnis\nzwei"})).await;
    let node = TestNode::start().await;
    let nobody = format!("Basic {}", STANDARD.encode("clerk:"));
    let key = ("{name: door, type: api-key, key: VALUE}", "X-API-Key", "");
    let basic = ("{name: door, type: basic, username: clerk, password: VALUE}", "Authorization", &*nobody);
    for ((door, header, nothing), field, what) in [
        (key, "key", "a key is not empty"),
        (key, "word", "the word for a secret is no secret"),
        (key, "lines", "one line of text"),
        (basic, "key", "the password is empty"),
        (basic, "word", "the word for a secret is no secret"),
    ] {
        let door = door.replace("VALUE", &format!("'vault:v/secret/app#{field}'"));
        node.apply(&format!(
            "connections: [{{name: v, type: vault, url: '{}', token: root, refresh: 300ms}}]
security: [{door}]
channels: [{{name: door, type: rest, path: /door, service: who, security: door}}]",
            bao.url()
        ))
        .await;
        until(what, async || fault(&node, "security/door").is_some_and(|f| f.contains(what))).await;
        let said = fault(&node, "security/door").expect("a fault");
        assert!(!said.contains("Gehe1mnis"), "{said}");
        let shown = node.get("/door").header(header, nothing).send().await.expect("an answer");
        assert_eq!(shown.status(), 503, "{door}");
    }
    // A value that becomes wrong: what ran before goes on.
    bao.put("app", json!({"key": "one"})).await;
    node.apply(&bundle(&bao.url(), "vault:v/secret/app#key")).await;
    assert_eq!(status(&node, "one").await, 200);
    bao.put("app", json!({"key": ""})).await;
    until("the fault is shown", async || fault(&node, "security/key").is_some()).await;
    assert_eq!(status(&node, "").await, 401);
    assert_eq!(status(&node, "one").await, 200);
    bao.put("app", json!({"key": "two"})).await;
    until("the new one is known", async || status(&node, "two").await == 200).await;
    assert_eq!(fault(&node, "security/key"), None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_vault_that_goes_away_takes_nothing_down_that_has_its_secret() {
    let mut bao = Bao::start().await;
    bao.put("app", json!({"key": "one"})).await;
    let node = TestNode::start().await;
    node.apply(&bundle(&bao.url(), "vault:v/secret/app#key")).await;
    assert_eq!(status(&node, "one").await, 200);
    bao.go();
    let state = || {
        let all = node.app().supervisor.list();
        all.into_iter().find(|a| a.id.to_string() == "connection/v").map(|a| a.state)
    };
    until("it is seen to be away", async || state() == Some(ActorState::Down)).await;
    assert_eq!(status(&node, "one").await, 200, "what was read goes on");
    // Started anew, it would need Vault: what ran before goes on, and that is said.
    let id = "security/key".parse().expect("an id");
    let refused = node.app().supervisor.tell(&id, Verb::Restart, Duration::from_secs(10)).await;
    assert!(refused.expect_err("Vault is away").to_string().contains("vault:v/secret/app#key"));
    assert_eq!(status(&node, "one").await, 200);
    // A node that starts without Vault serves the rest, and this as soon as Vault is there.
    let folder = node.stop().await;
    let node = TestNode::start_in(folder, |_| {}).await;
    assert_eq!(node.get("/open").send().await.expect("an answer").status(), 200);
    assert_eq!(status(&node, "one").await, 503);
    bao.come().await;
    bao.put("app", json!({"key": "two"})).await;
    until("it starts", async || status(&node, "two").await == 200).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_service_reads_and_writes_both_engines_with_one_handle() {
    let bao = Bao::start().await;
    let node = TestNode::start().await;
    node.apply(&format!(
        "connections: [{{name: my.vault, type: vault, url: '{}', token: root}}]
channels: [{{name: c, type: rest, path: /c, method: POST, service: reads-a-secret}}]",
        bao.url()
    ))
    .await;
    for path in ["secret/a/b c", "kv1/a/b", "secret/top", "kv1/top"] {
        let answer = node.post("/c").body(path).send().await.expect("an answer");
        assert_eq!(answer.status(), 200, "{path}");
        let answer: Value = answer.json().await.expect("JSON");
        let expected =
            json!({"read": {"a": "one", "b": 2}, "field": "one", "listed": true, "raw": false, "gone": true});
        assert_eq!(answer, expected, "{path}");
    }
    for path in ["../sys/x", "secret/../x", "secret//x"] {
        let answer = node.post("/c").body(path).send().await.expect("an answer");
        assert_eq!(answer.status(), 400, "{path}");
    }
}
