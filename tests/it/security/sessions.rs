//! Tokens that are made here, over real nodes: logging in and out, other nodes, restarts, and other programs.

use std::time::{Duration, Instant};

use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::kit::cluster::{Cluster, SOON};
use crate::kit::process::eventually;
use crate::kit::program::Program;
use crate::kit::tokens::python;

const PASSWORD: &str = "a-password-that-is-nowhere-8e1b";
/// What a page about it says: how long a node may take at most to refuse a token that another has logged out.
const STALE: Duration = Duration::from_secs(10);

fn bundle() -> Value {
    json!({
        "security": [{"name": "browsers", "type": "jwt", "username": "wéb", "password": PASSWORD, "ttl": 3600,
                      "roles": ["clerk"]}],
        "channels": [{"name": "who", "type": "rest", "path": "/who", "service": "zeugma.ping", "security": "browsers"}],
    })
}

fn client() -> reqwest::Client {
    reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(30)).build().expect("a client")
}

async fn post(
    node: &Program,
    path: &str,
    token: Option<&str>,
    body: &Value,
) -> (StatusCode, reqwest::header::HeaderMap, Value) {
    let mut request = client().post(format!("{}{path}", node.data)).body(body.to_string());
    request = request.header("content-type", "application/json");
    if let Some(token) = token {
        request = request.bearer_auth(token);
    }
    let answer = request.send().await.expect("an answer");
    let (status, headers) = (answer.status(), answer.headers().clone());
    (status, headers, answer.json().await.expect("JSON"))
}

async fn log_in(node: &Program) -> String {
    let (status, headers, body) =
        post(node, "/zato/jwt/log-in", None, &json!({"username": "wéb", "password": PASSWORD})).await;
    assert_eq!(status, 200, "{body}\n{}", node.log());
    let token = body["response"]["token"].as_str().expect("a token").to_owned();
    assert_eq!(headers["authorization"], token.as_str(), "without a word before it");
    token
}

async fn status(node: &Program, token: &str) -> u16 {
    let answer =
        client().get(format!("{}/who", node.data)).bearer_auth(token).send().await.expect("an answer");
    answer.status().as_u16()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_of_one_node_works_on_all_and_dies_on_all_at_once() {
    let mut cluster = Cluster::of(3).await;
    cluster.node(1).apply(&bundle());
    let (token, other) = (log_in(cluster.node(1)).await, log_in(cluster.node(2)).await);
    for n in 1..=3 {
        for token in [&token, &other] {
            assert_eq!(status(cluster.node(n), token).await, 200, "n{n}");
        }
    }
    // Logged out on one, replayed on the others.
    let (code, _, body) = post(cluster.node(3), "/zato/jwt/log-out", Some(&token), &Value::Null).await;
    assert_eq!(code, 200, "{body}");
    let begun = Instant::now();
    assert_eq!(status(cluster.node(3), &token).await, 401, "at once where it was logged out");
    for n in 1..=2 {
        eventually(STALE, "it is refused everywhere", async || status(cluster.node(n), &token).await == 401)
            .await;
    }
    println!("refused everywhere {:?} after the log-out", begun.elapsed());
    assert!(begun.elapsed() < Duration::from_secs(4), "the push has not come: it took {:?}", begun.elapsed());
    for n in 1..=3 {
        assert_eq!(status(cluster.node(n), &token).await, 401, "and it stays so");
        assert_eq!(status(cluster.node(n), &other).await, 200, "only that one");
    }
    let (code, _, body) = post(cluster.node(1), "/zato/jwt/log-out", Some(&token), &Value::Null).await;
    assert_eq!((code.as_u16(), &body["zato_env"]["result"]), (400, &json!("ZATO_ERROR")), "{body}");

    // Nothing of it is in Redis, on a disk or in a log.
    let mut places = vec![("Redis".to_owned(), cluster.redis.everything())];
    for node in cluster.running() {
        let data = node.folder.path().join("zeugma-data");
        places.push((node.data.clone(), std::fs::read(data.join("last-good.json")).expect("the catalog")));
        places.push((format!("log of {}", node.data), node.log().into_bytes()));
        let metrics = node.admin("/metrics").send();
        places.push((format!("metrics of {}", node.data), metrics.body));
        places.push((format!("export of {}", node.data), node.good(&["export"]).into_bytes()));
    }
    for (place, content) in &places {
        for secret in [PASSWORD, &other, &token] {
            assert!(
                !content.windows(secret.len()).any(|part| part == secret.as_bytes()),
                "in clear in {place}"
            );
        }
    }

    // A whole cluster that was ended by force, Redis too, logs nobody out, and nobody in again.
    for n in 1..=3 {
        cluster.kill(n);
    }
    cluster.redis.kill();
    cluster.redis.restart().await;
    for n in 1..=3 {
        cluster.add(n, &[], &[]);
    }
    for n in 1..=3 {
        eventually(SOON, "it serves", async || status(cluster.node(n), &other).await == 200).await;
        assert_eq!(status(cluster.node(n), &token).await, 401);
    }
    // With Redis away, what is known goes on for a moment, and what is not known cannot be found out.
    let unknown = log_in(cluster.node(1)).await;
    assert_eq!(status(cluster.node(2), &other).await, 200);
    cluster.redis.kill();
    assert_eq!(status(cluster.node(2), &other).await, 200, "known");
    assert_eq!(status(cluster.node(2), &unknown).await, 503, "not known");
    assert_eq!(status(cluster.node(2), "no-token").await, 401, "no token at all");
    eventually(STALE + SOON, "not known any more", async || status(cluster.node(2), &other).await == 503)
        .await;
    cluster.redis.restart().await;
    eventually(SOON, "known again", async || status(cluster.node(2), &unknown).await == 200).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wrong_ones_get_the_same_answer_whatever_is_wrong_and_a_restart_logs_nobody_out() {
    let node = Program::start(&[]);
    let (code, _, _) = post(&node, "/zato/jwt/log-in", None, &json!({})).await;
    assert_eq!(code, 404, "without a definition there is no such path");
    node.apply(&bundle());
    let mut answers = Vec::new();
    for (user, password) in [("nobody", PASSWORD), ("wéb", "wrong"), ("", ""), ("we\u{301}b", PASSWORD)] {
        let ask = json!({"username": user, "password": password});
        let (code, headers, mut body) = post(&node, "/zato/jwt/log-in", None, &ask).await;
        assert_eq!((code.as_u16(), &headers["www-authenticate"]), (401, &"jwt".parse().expect("a value")));
        assert!(headers.get("authorization").is_none());
        body["zato_env"]["cid"] = Value::Null;
        answers.push(body);
    }
    assert!(answers.windows(2).all(|pair| pair[0] == pair[1]), "{answers:?}");
    for wrong in
        [json!({"username": "wéb"}), json!({"username": 1, "password": PASSWORD}), json!([]), json!("x")]
    {
        let (code, _, body) = post(&node, "/zato/jwt/log-in", None, &wrong).await;
        assert_eq!(code, 400, "{body}");
        assert!(!body.to_string().contains(PASSWORD));
    }
    let (code, headers, body) =
        post(&node, "/api/token", None, &json!({"username": "wéb", "password": PASSWORD})).await;
    let token = body["token"].as_str().expect("a token").to_owned();
    assert_eq!((code.as_u16(), headers["authorization"].to_str().expect("text")), (200, &*token));
    assert_eq!(status(&node, &token).await, 200);

    // On behalf of others: an operator may, a caller may not.
    let made =
        node.good(&["token", "create", "--security", "browsers", "--username", "partner", "--ttl", "60s"]);
    assert_eq!(status(&node, made.trim()).await, 200);
    let wrong = node.run(&["token", "create", "--security", "other", "--username", "x"]);
    assert_eq!(wrong.code, 1, "{wrong:?}");
    node.apply(&json!({"channels": [{"name": "mint", "type": "rest", "path": "/mint", "method": "POST", "data_format": "json",
                                     "service": "zeugma.jwt.create-token", "security": "browsers"}]}));
    let (code, _, body) = post(&node, "/mint", Some(&token), &json!({"username": "boss"})).await;
    assert_eq!(code, 403, "{body}");
    let mut with_right = bundle();
    with_right["security"][0]["roles"] = json!(["create-tokens"]);
    node.apply(&with_right);
    let (code, _, body) = post(&node, "/mint", Some(&token), &json!({"username": "boss"})).await;
    assert_eq!(code, 200, "the token is the same, what its holder may do is not: {body}");

    let node = node.crash_and_restart(&[]);
    assert_eq!(status(&node, &token).await, 200, "still logged in\n{}", node.log());
    assert_eq!(status(&node, body["token"].as_str().expect("a token")).await, 200);
    let (code, _, _) = post(&node, "/api/token/log-out", Some(&token), &Value::Null).await;
    assert_eq!(code, 200);
    let node = node.crash_and_restart(&[]);
    assert_eq!(status(&node, &token).await, 401, "still logged out");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn other_programs_with_the_key_read_our_tokens_and_we_read_theirs() {
    let node = Program::start(&[]);
    node.apply(&bundle());
    let token = log_in(&node).await;
    let keys = std::fs::read_to_string(node.folder.path().join("zeugma-data/secret.key")).expect("the key");
    let key = keys.trim();
    let opened = python(&json!({"open": {"key": key, "definition": "browsers", "token": token}}));
    let claims = &opened["claims"];
    assert_eq!(
        (&opened["header"]["alg"], &claims["sub"], &claims["ttl"]),
        (&json!("HS256"), &json!("wéb"), &json!(3600))
    );
    let made = |claims: &Value, alg: &str| {
        let asked = json!({"make": {"key": key, "definition": "browsers", "claims": claims, "alg": alg}});
        python(&asked)["made"].as_str().expect("a token").to_owned()
    };
    // The same session, in a token that Python has made.
    assert_eq!(status(&node, &made(claims, "HS256")).await, 200);
    // With the keys, but of no session; with another algorithm; with what we do not write.
    let mut other = claims.clone();
    other["jti"] = "00".into();
    assert_eq!(status(&node, &made(&other, "HS256")).await, 401);
    assert_eq!(status(&node, &made(claims, "HS512")).await, 401);
    let mut more = claims.clone();
    more["admin"] = true.into();
    assert_eq!(status(&node, &made(&more, "HS256")).await, 401);
    let mut ended = claims.clone();
    ended["exp"] = 1.into();
    assert_eq!(status(&node, &made(&ended, "HS256")).await, 401);
}
