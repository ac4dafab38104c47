//! Vault is down, slow, sealed, not to be trusted, or does not let us: only the channels behind it notice, and say so.

use std::path::Path;
use std::time::Duration;

use reqwest::Method;
use serde_json::json;
use tokio::time::Instant;

use super::{PASSWORD, TOKEN, USERNAME, ask, node, status, who};
use crate::kit::certs::Ca;
use crate::kit::node::{TestNode, until};
use crate::kit::vault::Bao;

const CLERK: [(&str, &str); 2] = [(USERNAME, "clerk"), (PASSWORD, "pw")];

async fn open(node: &TestNode) -> u16 {
    node.get("/open").send().await.expect("an answer").status().as_u16()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn vault_down_is_503_for_those_channels_only() {
    let mut bao = Bao::start().await;
    bao.user("clerk", "pw", "clerks", "60s").await;
    let node = node(&bao.url(), "token: root", "recheck: 500ms").await;
    assert_eq!(who(&node, &CLERK).await, Ok("clerk".into()));
    bao.go();
    until("nobody can be checked", async || status(&node, &CLERK).await == 503).await;
    let answer = ask(&node, "/who", &CLERK, "").await;
    assert!(answer.headers().contains_key("retry-after"));
    assert!(!answer.headers().contains_key("www-authenticate"));
    assert_eq!(status(&node, &[(TOKEN, "nobody")]).await, 503, "nobody knows whether they are known");
    assert_eq!(status(&node, &[]).await, 401, "who shows nothing needs no Vault");
    assert_eq!(open(&node).await, 200);
    assert!(node.metrics().contains(r#"zeugma_connection_up{name="v"} 0"#));
    bao.come().await;
    bao.user("clerk", "pw", "clerks", "60s").await;
    until("it is back", async || who(&node, &CLERK).await == Ok("clerk".into())).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_vault_holds_nobody_longer_than_its_timeout() {
    let bao = Bao::start().await;
    bao.user("clerk", "pw", "clerks", "60s").await;
    let node = node(&bao.url(), "token: root, timeout: 1s", "recheck: 500ms").await;
    assert_eq!(who(&node, &CLERK).await, Ok("clerk".into()));
    bao.signal("STOP");
    tokio::time::sleep(Duration::from_millis(600)).await; // what was asked lately is not asked again
    let begun = Instant::now();
    let all = futures_util::future::join_all((0..20).map(|_| status(&node, &CLERK))).await;
    let took = begun.elapsed();
    bao.signal("CONT");
    assert!(all.iter().all(|status| *status == 503), "{all:?}");
    assert!(took < Duration::from_secs(4), "one waits for Vault, the others are told at once: {took:?}");
    assert_eq!(open(&node).await, 200);
    until("it is back", async || who(&node, &CLERK).await == Ok("clerk".into())).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sealed_vault_is_as_one_that_is_away() {
    let bao = Bao::start().await;
    bao.user("clerk", "pw", "clerks", "60s").await;
    let node = node(&bao.url(), "token: root", "recheck: 500ms").await;
    assert_eq!(who(&node, &CLERK).await, Ok("clerk".into()));
    bao.seal().await;
    until("nobody can be checked", async || status(&node, &CLERK).await == 503).await;
    let id = "connection/v".parse().expect("an id");
    let ping = node.app().supervisor.tell(&id, actors::worker::Verb::Ping, Duration::from_secs(5)).await;
    assert!(ping.expect_err("it is sealed").to_string().contains("sealed"));
    assert_eq!(open(&node).await, 200);
    bao.unseal().await;
    until("it is back", async || who(&node, &CLERK).await == Ok("clerk".into())).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_of_ours_that_may_not_look_up_others_lets_them_look_themselves_up() {
    let bao = Bao::start().await;
    bao.policy("nothing", r#"path "secret/x" { capabilities = ["read"] }"#).await;
    let own = bao.token(json!({"policies": ["nothing"]})).await;
    let bob = bao.token(json!({"policies": ["clerks"], "meta": {"username": "bob"}})).await;
    // It may not even look itself up, since it lacks the policy that lets every token do so.
    let shy = bao.token(json!({"policies": ["clerks"], "no_default_policy": true})).await;
    let node = node(&bao.url(), &format!("token: {own}"), "recheck: 500ms").await;
    assert_eq!(who(&node, &[(TOKEN, &bob)]).await, Ok("bob".into()));
    assert_eq!(who(&node, &[(TOKEN, "nobody")]).await, Err(401));
    assert_eq!(who(&node, &[(TOKEN, &shy)]).await, Err(401), "nobody may say who that is");
    bao.policy("nothing", r#"path "auth/token/lookup" { capabilities = ["update"] }"#).await;
    until("now we may", async || who(&node, &[(TOKEN, &shy)]).await == Ok("token".into())).await;
    // And a secret that we may not read is a fault of the part that wants it.
    let outcome = node.try_apply("security: [{name: key, type: api-key, key: 'vault:v/secret/y#key'}]").await;
    let faults = outcome.expect("it is stored").receipt.nodes[0].faults.clone();
    assert!(
        faults
            .iter()
            .any(|f| f.message.contains("refuses (403)") && f.message.contains("vault:v/secret/y#key")),
        "{faults:?}"
    );
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a path")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_vault_that_demands_certificates_gets_ours_and_must_show_the_right_one() {
    let [own, clients, strangers, old] = [(); 4].map(|()| tempfile::tempdir().expect("a folder"));
    let (ca, client_ca, other_ca) = (Ca::new("CA of Vault"), Ca::new("CA of clients"), Ca::new("Another CA"));
    let certificate = ca.issue(&["127.0.0.1"], own.path());
    let (trusted, other) = (ca.write(own.path()), other_ca.write(strangers.path()));
    let demanded = client_ca.write(clients.path());
    let (ours, strange) =
        (client_ca.issue(&["engine"], clients.path()), other_ca.issue(&["engine"], strangers.path()));
    let expired = client_ca.issue_expired(&["engine"], old.path());
    let bao = Bao::start_tls(&certificate, &demanded).await;
    bao.user("clerk", "pw", "clerks", "60s").await;
    let node = TestNode::start().await;
    let tls = |ca: &Path, certificate: &Path, key: &Path| {
        let (ca, certificate, key) = (text(ca), text(certificate), text(key));
        format!("timeout: 3s, tls: {{ca: '{ca}', certificate: '{certificate}', key: '{key}'}}")
    };
    let right = tls(&trusted, &ours.certificate, &ours.key);
    node.apply(&super::bundle(&bao.tls_url(), &right, "recheck: 500ms")).await;
    assert_eq!(who(&node, &CLERK).await, Ok("clerk".into()));
    // What of ours the server does not like it says when we have begun to speak, and some of us hear only the end.
    for (what, wrong) in [
        ("the server's CA is another", tls(&other, &ours.certificate, &ours.key)),
        ("ours is of another CA", tls(&trusted, &strange.certificate, &strange.key)),
        ("ours has expired", tls(&trusted, &expired.certificate, &expired.key)),
        ("we show none", format!("timeout: 3s, tls: {{ca: '{}'}}", text(&trusted))),
    ] {
        node.apply(&super::bundle(&bao.tls_url(), &wrong, "recheck: 500ms")).await;
        assert_eq!(who(&node, &CLERK).await, Err(503), "{what}");
        let id = "connection/v".parse().expect("an id");
        let ping = node.app().supervisor.tell(&id, actors::worker::Verb::Ping, Duration::from_secs(5)).await;
        let said = ping.expect_err("no secure connection").to_string();
        let ends = what.starts_with("ours") || what.starts_with("we");
        assert!(
            said.contains("no secure connection") || ends && said.contains("broke off"),
            "{what}: {said}"
        );
        assert_eq!(open(&node).await, 200);
    }
    node.apply(&super::bundle(&bao.tls_url(), &right, "recheck: 500ms")).await;
    assert_eq!(who(&node, &CLERK).await, Ok("clerk".into()));
    let unverified = format!(
        "tls: {{verify: false, certificate: '{}', key: '{}'}}",
        text(&ours.certificate),
        text(&ours.key)
    );
    node.apply(&super::bundle(&bao.tls_url(), &unverified, "recheck: 500ms")).await;
    assert_eq!(who(&node, &CLERK).await, Ok("clerk".into()));
    bao.root(Method::GET, "sys/seal-status", json!({})).await;
}
