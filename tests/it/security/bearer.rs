//! Tokens of others: PyJWT is the issuer, its keys are a file or come from a web server.

use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::kit::node::{TestNode, until};
use crate::kit::process::{Process, eventually, free_port};
use crate::kit::tokens::python;

fn now() -> i64 {
    chrono::Utc::now().timestamp()
}

fn claims() -> Value {
    json!({"iss": "https://idp.example.com/", "aud": ["api", "other"], "sub": "zoë", "exp": now() + 600,
           "nbf": now() - 1, "iat": now() - 1, "scope": "read write"})
}

fn with(change: &[(&str, Value)]) -> Value {
    let mut claims = claims();
    for (name, value) in change {
        match value {
            Value::Null => drop(claims.as_object_mut().expect("an object").remove(*name)),
            value => claims[*name] = value.clone(),
        }
    }
    claims
}

/// Publishes these keys and signs these tokens.
fn issue(folder: &Path, published: &[&str], tokens: &[Value]) -> Vec<String> {
    let keys = json!({"one": "RSA", "two": "EC", "three": "RSA"});
    let ask = json!({"issuer": {"folder": folder, "keys": keys, "published": published, "tokens": tokens}});
    let tokens = python(&ask)["tokens"].take();
    serde_json::from_value(tokens).expect("tokens")
}

fn bundle(place: &str, more: &str) -> String {
    format!(
        "security: [{{name: idp, type: bearer, accept: {{{place}, issuer: 'https://idp.example.com/', audience: [api], \
         roles_claim: scope, algorithms: [RS256, ES256], refresh_pause: 1s{more}}}}}]\n\
         channels: [{{name: who, type: rest, path: /who, service: who, security: idp}}]"
    )
}

async fn status(node: &TestNode, token: &str) -> u16 {
    node.get("/who").bearer_auth(token).send().await.expect("an answer").status().as_u16()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tokens_of_an_issuer_are_let_in_and_every_forgery_is_refused() {
    let folder = TempDir::new().expect("a folder");
    let token = |alg: &str, key: &str, claims: &Value| json!({"alg": alg, "key": key, "claims": claims});
    let right = [
        token("RS256", "one", &claims()),
        token("ES256", "two", &claims()),
        token("RS256", "one", &with(&[("aud", "api".into()), ("nbf", Value::Null)])),
        token("RS256", "one", &with(&[("exp", (now() - 10).into())])), // within the leeway
        json!({"alg": "RS256", "key": "one", "claims": claims(), "headers": {"kid": null}}),
    ];
    let wrong = [
        token("none", "one", &claims()),
        token("HS256", "one", &claims()), // signed with the public key
        token("RS512", "one", &claims()), // not pinned
        token("PS256", "one", &claims()),
        token("RS256", "three", &claims()), // not published
        json!({"alg": "RS256", "key": "three", "claims": claims(), "headers": {"kid": "one"}}), // under another's name
        json!({"alg": "RS256", "key": "one", "claims": claims(), "headers": {"kid": "two"}}),
        json!({"alg": "RS256", "key": "one", "claims": claims(), "headers": {"crit": ["x"], "x": 1}}),
        json!({"alg": "RS256", "key": "three", "claims": claims(), "headers": {"jku": "http://127.0.0.1:1/", "kid": null}}),
        token("RS256", "one", &with(&[("exp", (now() - 120).into())])),
        token("RS256", "one", &with(&[("exp", Value::Null)])),
        token("RS256", "one", &with(&[("nbf", (now() + 120).into())])),
        token("RS256", "one", &with(&[("iat", (now() + 120).into())])),
        token("RS256", "one", &with(&[("aud", "else".into())])),
        token("RS256", "one", &with(&[("aud", Value::Null)])),
        token("RS256", "one", &with(&[("aud", json!([]))])),
        token("RS256", "one", &with(&[("iss", "https://idp.example.com".into())])),
        token("RS256", "one", &with(&[("iss", Value::Null)])),
        token("RS256", "one", &with(&[("sub", Value::Null)])),
        token("RS256", "one", &with(&[("sub", "".into())])),
    ];
    let tokens = issue(folder.path(), &["one", "two"], &[&right[..], &wrong[..]].concat());
    let node = TestNode::start().await;
    let file = folder.path().join("jwks.json");
    node.apply(&bundle(&format!("jwks_file: '{}'", file.display()), "")).await;
    for (n, token) in tokens.iter().enumerate() {
        let expected = if n < right.len() { 200 } else { 401 };
        assert_eq!(status(&node, token).await, expected, "{n}: {token}");
    }
    let answer = node.get("/who").bearer_auth(&tokens[0]).send().await.expect("an answer");
    assert_eq!(answer.text().await.expect("text"), "zoë");
    // Every part changed, cut and doubled: refused, and nothing falls over.
    let good = &tokens[0];
    for at in (0..good.len()).step_by(7) {
        let mut changed = good.clone().into_bytes();
        changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
        let changed = String::from_utf8(changed).expect("text");
        for token in [&changed, &good[..at].to_owned()] {
            assert_eq!(status(&node, token).await, 401, "{at}");
        }
    }
    for junk in ["", ".", "..", "...", "a.b.c", &".".repeat(10_000), &format!("{good}.{good}")] {
        assert_eq!(status(&node, junk).await, 401, "{junk}");
    }
    assert!(!node.metrics().contains(good.as_str()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rotated_keys_are_found_by_themselves_and_an_issuer_is_not_besieged() {
    let folder = TempDir::new().expect("a folder");
    let token = |key: &str| json!({"alg": "RS256", "key": key, "claims": claims()});
    let tokens = issue(folder.path(), &["one"], &[token("one"), token("three")]);
    let port = free_port();
    let log = folder.path().join("log");
    let serve = || {
        let mut command = std::process::Command::new("python3");
        command.args(["-u", "-m", "http.server", "--bind", "127.0.0.1", "--directory"]);
        command.arg(folder.path()).arg(port.to_string());
        Process::start(&mut command, &log)
    };
    let mut server = serve();
    let url = format!("http://127.0.0.1:{port}/jwks.json");
    eventually(Duration::from_secs(10), "the keys are there", async || reqwest::get(&url).await.is_ok())
        .await;

    let node = TestNode::start().await;
    node.apply(&bundle(&format!("jwks_url: '{url}'"), ", refresh: 2s")).await;
    assert_eq!(status(&node, &tokens[0]).await, 200);
    assert_eq!(status(&node, &tokens[1]).await, 401);
    // A flood of unknown keys asks the issuer once in a while only.
    let asked = || server.said().matches("GET /jwks.json").count();
    let before = asked();
    let begun = std::time::Instant::now();
    for _ in 0..200 {
        assert_eq!(status(&node, &tokens[1]).await, 401);
    }
    let most = usize::try_from(begun.elapsed().as_secs()).expect("few") + 1;
    assert!(asked() - before <= most, "{} times in {:?}", asked() - before, begun.elapsed());
    // The issuer takes another key.
    issue(folder.path(), &["three"], &[]);
    until("the new key is found", async || status(&node, &tokens[1]).await == 200).await;
    assert_eq!(status(&node, &tokens[0]).await, 401, "the old one is gone with it");
    // With the issuer away, the keys of before are used for a while, and not for ever.
    server.kill();
    assert_eq!(status(&node, &tokens[1]).await, 200);
    eventually(Duration::from_secs(40), "too old", async || status(&node, &tokens[1]).await == 503).await;
    let _server = serve();
    eventually(Duration::from_secs(20), "back", async || status(&node, &tokens[1]).await == 200).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_gets_a_token_keeps_it_and_renews_it_in_time() {
    let folder = TempDir::new().expect("a folder");
    let port = free_port();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/kit/oauth_server.py");
    let mut command = std::process::Command::new("python3");
    command.arg("-u").arg(script).arg(port.to_string());
    let server = Process::start(&mut command, &folder.path().join("log"));
    let url = format!("http://127.0.0.1:{port}");
    eventually(Duration::from_secs(10), "it listens", async || reqwest::get(&url).await.is_ok()).await;

    let node = TestNode::start().await;
    let bundle = |secret: &str, send: &str| {
        format!(
            "security: [{{name: crm, type: bearer, client_credentials: {{token_url: '{url}/token', client_id: 'us&them', \
             client_secret: '{secret}', scopes: [read, write], send_secret: {send}}}}}]\n\
             connections: [{{name: CRM, type: http, url: '{url}/data', security: crm}}]\n\
             channels: [{{name: f, type: rest, path: /f, service: fetches}}]"
        )
    };
    for send in ["header", "body"] {
        node.apply(&bundle("hu:sh", send)).await;
        let before = server.said().matches("granted").count();
        let fetched = || async {
            let answer = node.get("/f").send().await.expect("an answer");
            (answer.status().as_u16(), answer.text().await.expect("text"))
        };
        let mut seen = std::collections::BTreeSet::new();
        let begun = std::time::Instant::now();
        // The server's tokens live for two seconds.
        while begun.elapsed() < Duration::from_secs(5) {
            let (status, text) = fetched().await;
            assert_eq!(status, 200, "{text} {}", server.said());
            seen.insert(text);
        }
        let granted = server.said().matches("granted").count() - before;
        assert!((2..=6).contains(&granted) && seen.len() == granted, "{granted} grants, {seen:?}");
    }
    node.apply(&bundle("wrong-secret-71", "header")).await;
    let answer = node.get("/f").send().await.expect("an answer");
    let (status, text) = (answer.status().as_u16(), answer.text().await.expect("text"));
    assert!(
        status == 502 && text.contains("invalid_client") && !text.contains("wrong-secret-71"),
        "{status} {text}"
    );
}
