//! How long a caller is let in, and how the connection's own token is kept alive.

use std::time::Duration;

use reqwest::Method;
use serde_json::json;
use tokio::time::Instant;

use super::{PASSWORD, TOKEN, USERNAME, node, status, who};
use crate::kit::node::{TestNode, until};
use crate::kit::vault::Bao;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_revoked_token_is_refused_within_the_stated_time() {
    let bao = Bao::start().await;
    bao.user("clerk", "pw", "clerks", "60s").await;
    let token = bao.token(json!({"policies": ["clerks"], "meta": {"username": "bob"}})).await;
    let node = node(&bao.url(), "token: root", "recheck: 1s, log_in_again: 1h").await;
    let bob = [(TOKEN, &*token)];
    assert_eq!(who(&node, &bob).await, Ok("bob".into()));
    bao.revoke(&token).await;
    let revoked = Instant::now();
    until("it is refused", async || status(&node, &bob).await == 401).await;
    let after = revoked.elapsed();
    assert!(after < Duration::from_millis(1500), "recheck is 1s, and it was refused after {after:?}");
    assert_eq!(who(&node, &bob).await, Err(401));

    // The token of a log-in that is revoked only means that the caller logs in again; without the user they cannot.
    let clerk = [(USERNAME, "clerk"), (PASSWORD, "pw")];
    assert_eq!(who(&node, &clerk).await, Ok("clerk".into()));
    bao.root(Method::DELETE, "auth/userpass/users/clerk", json!({})).await;
    bao.root(Method::PUT, "sys/leases/revoke-prefix/auth/userpass", json!({})).await;
    until("they are refused", async || status(&node, &clerk).await == 401).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lease_shorter_than_the_recheck_ends_on_time() {
    let bao = Bao::start().await;
    let token = bao.token(json!({"policies": ["clerks"], "ttl": "2s", "meta": {"username": "bob"}})).await;
    let made = Instant::now();
    let node = node(&bao.url(), "token: root", "recheck: 1h").await;
    let bob = [(TOKEN, &*token)];
    assert_eq!(who(&node, &bob).await, Ok("bob".into()));
    until("it has ended", async || status(&node, &bob).await == 401).await;
    assert!(made.elapsed() < Duration::from_secs(4), "{:?}", made.elapsed());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_changed_password_is_noticed_when_the_caller_is_logged_in_again() {
    let bao = Bao::start().await;
    bao.user("clerk", "old", "clerks", "1h").await;
    let node = node(&bao.url(), "token: root", "recheck: 500ms, log_in_again: 1s").await;
    let old = [(USERNAME, "clerk"), (PASSWORD, "old")];
    assert_eq!(who(&node, &old).await, Ok("clerk".into()));
    bao.user("clerk", "new", "clerks", "1h").await;
    assert_eq!(who(&node, &[(USERNAME, "clerk"), (PASSWORD, "new")]).await, Ok("clerk".into()));
    until("the old one is refused", async || status(&node, &old).await == 401).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_requests_of_one_caller_are_one_log_in() {
    let bao = Bao::start().await;
    bao.user("clerk", "pw", "clerks", "1h").await;
    let node = node(&bao.url(), "token: root", "recheck: 1m").await;
    let clerk = [(USERNAME, "clerk"), (PASSWORD, "pw")];
    let count = async || {
        let list =
            bao.root(Method::from_bytes(b"LIST").expect("a verb"), "auth/token/accessors", json!({})).await;
        list["data"]["keys"].as_array().expect("a list").len()
    };
    let before = count().await;
    let all = futures_util::future::join_all((0..50).map(|_| who(&node, &clerk))).await;
    assert!(all.iter().all(|one| *one == Ok("clerk".into())), "{all:?}");
    assert_eq!(count().await - before, 1, "each log-in makes a token in Vault");
}

fn alarm(node: &TestNode) -> Option<String> {
    let all = node.app().supervisor.list();
    all.into_iter().find(|a| a.id.to_string() == "connection/v").and_then(|a| a.alarm)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_own_token_is_renewed_and_an_alarm_is_raised_before_it_ends() {
    let bao = Bao::start().await;
    let path = r#"path "secret/*" { capabilities = ["read"] }"#;
    bao.policy("reader", path).await;
    bao.put("app", json!({"key": "k3y"})).await;
    // Two seconds long, renewable for five in all.
    let own = json!({"policies": ["reader"], "ttl": "2s", "explicit_max_ttl": "6s", "no_parent": true});
    let own = bao.token(own).await;
    let made = Instant::now();
    let node = TestNode::start().await;
    node.apply(&format!(
        "connections: [{{name: v, type: vault, url: '{}', token: {own}, refresh: 1s}}]",
        bao.url()
    ))
    .await;
    let lives = async || {
        let looked = reqwest::Client::builder().no_proxy().build().expect("a client");
        let looked =
            looked.get(format!("{}/v1/auth/token/lookup-self", bao.url())).header("X-Vault-Token", &own);
        looked.send().await.expect("an answer").status().is_success()
    };
    tokio::time::sleep(Duration::from_millis(3000)).await; // its first life is over
    assert!(lives().await, "it was renewed");
    assert_eq!(alarm(&node), None);
    until("the alarm is raised", async || alarm(&node).is_some()).await;
    assert!(lives().await, "and that before it has ended, after {:?}", made.elapsed());
    let said = alarm(&node).expect("an alarm");
    assert!(said.contains("cannot be renewed") && !said.contains(&own), "{said}");
    assert!(node.metrics().contains(r#"zeugma_alarms{name="v"} 1"#));
    until("it has ended", async || !lives().await).await;
    until("which is said too", async || alarm(&node).is_some_and(|said| said.contains("refused"))).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_role_logs_in_again_when_its_token_ends_or_is_revoked() {
    let bao = Bao::start().await;
    bao.policy("reader", r#"path "secret/data/*" { capabilities = ["read"] }"#).await;
    bao.put("app", json!({"key": "k3y"})).await;
    let role = json!({"token_policies": ["reader"], "token_ttl": "2s", "token_max_ttl": "3s"});
    bao.root(Method::POST, "auth/approle/role/engine", role).await;
    let role_id = bao.root(Method::GET, "auth/approle/role/engine/role-id", json!({})).await;
    let secret_id = bao.root(Method::POST, "auth/approle/role/engine/secret-id", json!({})).await;
    let (role_id, secret_id) = (&role_id["data"]["role_id"], &secret_id["data"]["secret_id"]);
    let node = TestNode::start().await;
    node.apply(&format!(
        "connections: [{{name: v, type: vault, url: '{}', role_id: {role_id}, secret_id: {secret_id}}}]
security: [{{name: key, type: api-key, key: 'vault:v/secret/app#key'}}]
channels: [{{name: who, type: rest, path: /who, service: who, security: key}}]",
        bao.url()
    ))
    .await;
    let restart = async || {
        let id = "security/key".parse().expect("an id");
        node.app().supervisor.tell(&id, actors::worker::Verb::Restart, Duration::from_secs(10)).await
    };
    // Each start reads the secret anew: for three times the longest life of a token it can.
    let end = Instant::now() + Duration::from_secs(9);
    while Instant::now() < end {
        restart().await.expect("the secret is read");
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
    assert_eq!(alarm(&node), None);
    bao.root(Method::PUT, "sys/leases/revoke-prefix/auth/approle", json!({})).await;
    until("it logs in again", async || restart().await.is_ok()).await;
    let answer = node.get("/who").header("X-API-Key", "k3y").send().await.expect("an answer");
    assert_eq!(answer.status(), 200);
}
