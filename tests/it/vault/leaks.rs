//! Nothing of what callers show and Vault keeps gets out: not into the log at its loudest, and not to other servers.

use reqwest::Method;
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use super::{PASSWORD, TOKEN, USERNAME};
use crate::kit::node::TestNode;
use crate::kit::program::Program;
use crate::kit::recorder::Recorder;
use crate::kit::vault::Bao;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_log_at_its_loudest_shows_no_secret_of_vault() {
    let bao = Bao::start().await;
    bao.user("clerk", "LeakPassword1", "clerks", "60s").await;
    bao.put("app", json!({"key": "LeakValue2"})).await;
    let token = bao.token(json!({"policies": ["clerks"], "meta": {"username": "bob"}})).await;
    bao.policy("reader", r#"path "*" { capabilities = ["read", "update"] }"#).await;
    bao.root(Method::POST, "auth/approle/role/engine", json!({"token_policies": ["reader"]})).await;
    let role_id = bao.root(Method::GET, "auth/approle/role/engine/role-id", json!({})).await;
    let secret_id = bao.root(Method::POST, "auth/approle/role/engine/secret-id", json!({})).await;
    let secret_id = secret_id["data"]["secret_id"].as_str().expect("text").to_owned();
    let url = bao.url();
    let (log, made) = tokio::task::spawn_blocking(move || {
        let node = Program::start(&["--log", "trace"]);
        node.apply(&json!({
            "connections": [{
                "name": "v", "type": "vault", "url": url, "role_id": role_id["data"]["role_id"], "secret_id": secret_id,
            }],
            "security": [
                {"name": "people", "type": "vault", "connection": "v"},
                {"name": "key", "type": "api-key", "key": "vault:v/secret/app#key"},
            ],
            "channels": [
                {"name": "p", "type": "rest", "path": "/p", "service": "zeugma.ping", "security": "people"},
                {"name": "k", "type": "rest", "path": "/k", "service": "zeugma.ping", "security": "key"},
            ],
        }));
        let ask = |path: &str, shown: &[(&str, &str)]| {
            let headers: Vec<String> = shown.iter().map(|(name, value)| format!("{name}: {value}")).collect();
            let arguments: Vec<&str> = headers.iter().flat_map(|header| ["-H", header]).collect();
            node.curl(path).with(&arguments).send()
        };
        let answer = ask("/p", &[(USERNAME, "clerk"), (PASSWORD, "LeakPassword1")]).ok();
        let made = answer.header("x-zato-vault-token").expect("a token").to_owned();
        ask("/p", &[(TOKEN, &token)]).ok();
        assert_eq!(ask("/p", &[(USERNAME, "clerk"), (PASSWORD, "LeakWrong3")]).status, 401);
        assert_eq!(ask("/p", &[(TOKEN, "s.LeakUnknown4")]).status, 401);
        ask("/k", &[("X-API-Key", "LeakValue2")]).ok();
        let log = node.log();
        assert_eq!(node.stop(), 0);
        (log, vec![made, token, secret_id])
    })
    .await
    .expect("joined");
    assert!(log.contains("TRACE"), "the log is not at its loudest");
    let texts = ["LeakPassword1", "LeakValue2", "LeakWrong3", "LeakUnknown4"].map(str::to_owned);
    for secret in texts.iter().chain(&made) {
        let shown = log.lines().find(|line| line.contains(secret.as_str()));
        assert_eq!(shown, None);
    }
}

/// A server that sends everybody to another.
async fn sends_to(other: String) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    tokio::spawn(async move {
        while let Ok((mut connection, _)) = listener.accept().await {
            drop(connection.read(&mut [0; 4096]).await);
            let answer = format!(
                "HTTP/1.1 307 Temporary Redirect\r\nLocation: {other}/v1/x\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
            );
            drop(connection.write_all(answer.as_bytes()).await);
        }
    });
    url
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redirect_leads_to_the_servers_that_are_named_and_nowhere_else() {
    let other = Recorder::start().await;
    let url = sends_to(other.url.clone()).await;
    let node = TestNode::start().await;
    let id = "connection/v".parse().expect("an id");
    for (nodes, reaches) in [("[]".to_owned(), false), (format!("['{}']", other.url), true)] {
        node.apply(&format!(
            "connections: [{{name: v, type: vault, url: '{url}', token: s3cret, nodes: {nodes}, ping_every: 1h}}]"
        ))
        .await;
        let ping = node
            .app()
            .supervisor
            .tell(&id, actors::worker::Verb::Ping, std::time::Duration::from_secs(5))
            .await;
        assert!(ping.is_err() || reaches, "nobody there speaks as Vault does");
        assert_eq!(!other.received().is_empty(), reaches, "{nodes}");
    }
}
