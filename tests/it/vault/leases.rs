//! Secrets that Vault makes when they are asked for, each with a lease; and namespaces. The server is a real OpenBao.

use std::net::IpAddr;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};

use super::{PASSWORD, TOKEN, USERNAME, who};
use crate::kit::cluster::SOON;
use crate::kit::node::TestNode;
use crate::kit::process::eventually;
use crate::kit::recorder::Recorder;
use crate::kit::vault::Bao;

/// Each time from another address: whoever is wrong too often from one is locked out.
async fn status(node: &TestNode, key: &str) -> u16 {
    static ASKED: AtomicU8 = AtomicU8::new(1);
    let asked = ASKED.fetch_add(1, Ordering::Relaxed);
    let client = reqwest::Client::builder().no_proxy().local_address(IpAddr::from([127, 0, 8, asked.max(1)]));
    let client = client.timeout(Duration::from_secs(30)).build().expect("a client");
    let request = client.get(format!("http://{}/who", node.data())).header("X-API-Key", key);
    request.send().await.expect("an answer").status().as_u16()
}

/// What OpenBao's engine for RabbitMQ has asked of RabbitMQ: verb, user, and the password that a new one has.
fn users(rabbit: &Recorder) -> Vec<(String, String, Option<String>)> {
    let received = rabbit.received().into_iter().filter_map(|request| {
        let path = request.head["path"].as_str()?.to_owned();
        let user = path.strip_prefix("/api/users/")?.to_owned();
        let body: Value = serde_json::from_slice(&request.body).unwrap_or_default();
        let password = body["password"].as_str().map(str::to_owned);
        Some((request.head["method"].as_str()?.to_owned(), user, password))
    });
    received.collect()
}

/// The engine for RabbitMQ makes a user and a password each time it is asked, and deletes the user when the lease ends. Of
/// RabbitMQ, only what the engine talks to is here, a stand-in that notes what it is asked.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dynamic_secret_is_asked_for_anew_before_its_lease_ends_with_rabbitmq_as_a_stand_in() {
    let (bao, rabbit) = (Bao::start().await, Recorder::start().await);
    bao.root(Method::POST, "sys/mounts/rabbitmq", json!({"type": "rabbitmq"})).await;
    let connection =
        json!({"connection_uri": rabbit.url, "username": "a", "password": "b", "verify_connection": false});
    bao.root(Method::POST, "rabbitmq/config/connection", connection).await;
    bao.root(Method::POST, "rabbitmq/config/lease", json!({"ttl": 9, "max_ttl": 9})).await;
    let role = json!({"vhosts": "{\"/\": {\"configure\": \".*\", \"write\": \".*\", \"read\": \".*\"}}"});
    bao.root(Method::POST, "rabbitmq/roles/app", role).await;

    let node = TestNode::start().await;
    node.apply(&format!(
        "connections: [{{name: v, type: vault, url: '{}', token: root, refresh: 1h}}]
security: [{{name: key, type: api-key, key: 'vault:v/rabbitmq/creds/app#password'}}]
channels: [{{name: who, type: rest, path: /who, service: who, security: key}}]",
        bao.url()
    ))
    .await;
    let made = || users(&rabbit).into_iter().filter(|(method, ..)| method == "PUT").collect::<Vec<_>>();
    let (_, first_user, first) = made().pop().expect("a user was made");
    let first = first.expect("with a password");
    assert_eq!(status(&node, &first).await, 200);
    let before = made().len();
    eventually(SOON, "another one is in use", async || {
        let Some((.., Some(next))) = made().pop() else { return false };
        made().len() > before && status(&node, &next).await == 200
    })
    .await;
    // The first lease is not over yet: what it is about was there until nobody needed it.
    let deleted =
        |user: &String| users(&rabbit).iter().any(|(method, who, _)| method == "DELETE" && who == user);
    assert!(!deleted(&first_user), "asked for anew in time: {:?}", users(&rabbit));
    assert_eq!(status(&node, &first).await, 401);
    eventually(SOON, "its lease ends", async || deleted(&first_user)).await;
    let (.., newest) = made().pop().expect("a user");
    assert_eq!(status(&node, &newest.expect("a password")).await, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_with_a_namespace_sees_the_secrets_and_the_people_of_that_one_alone() {
    let bao = Bao::start().await;
    bao.root(Method::POST, "sys/namespaces/team", json!({})).await;
    bao.root(Method::POST, "team/sys/mounts/kv", json!({"type": "kv", "options": {"version": "2"}})).await;
    bao.root(Method::POST, "team/kv/data/app", json!({"data": {"key": "of the team"}})).await;
    bao.root(Method::POST, "team/sys/auth/userpass", json!({"type": "userpass"})).await;
    let user = json!({"password": "pw", "token_policies": ["clerks"], "token_ttl": "60s"});
    bao.root(Method::POST, "team/auth/userpass/users/clerk", user).await;
    let bundle = |namespace: &str| {
        format!(
            "connections: [{{name: v, type: vault, url: '{}', token: root{namespace}}}]
security:
- {{name: key, type: api-key, key: 'vault:v/kv/app#key'}}
- {{name: people, type: vault, connection: v}}
channels:
- {{name: key, type: rest, path: /key, service: who, security: key}}
- {{name: who, type: rest, path: /who, service: who, security: people}}",
            bao.url()
        )
    };
    let clerk = [(USERNAME, "clerk"), (PASSWORD, "pw")];
    let node = TestNode::start().await;
    node.apply(&bundle(", namespace: team")).await;
    let with_key = || node.get("/key").header("X-API-Key", "of the team").send();
    assert_eq!(with_key().await.expect("an answer").status(), 200);
    assert_eq!(who(&node, &clerk).await, Ok("clerk".into()));
    // A token of that namespace is one of its people too.
    let made = bao.root(Method::POST, "team/auth/token/create", json!({"meta": {"username": "bob"}})).await;
    let token = made["auth"]["client_token"].as_str().expect("a token");
    assert!(who(&node, &[(TOKEN, token)]).await.is_ok());

    // Without the namespace neither the secret nor the user is there.
    let other = TestNode::start().await;
    drop(other.try_apply(&bundle("")).await);
    assert_eq!(who(&other, &clerk).await, Err(401));
    let answer = other.get("/key").header("X-API-Key", "of the team").send().await.expect("an answer");
    assert_eq!(answer.status(), 503, "the secret is missing, so that the definition does not run");
}
