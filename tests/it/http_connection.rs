//! Outgoing HTTP connections, against servers that are not ours.

mod failures;
mod tls;

use std::time::Duration;

use sdk::Http;
use sdk::connection::http::HttpAnswer;
use serde_json::{Value, json};

use crate::kit::engine::Engine;
use crate::kit::http_servers::PythonHttp;

/// How long a service of these tests may take.
const LIMIT: Duration = Duration::from_secs(15);

/// An engine with the connection `erp`, and the server it leads to.
async fn erp(path: &str, more: Value) -> (Engine, PythonHttp) {
    let (engine, server) = tokio::join!(Engine::start(), PythonHttp::start());
    connect(&engine, &server, path, more).await;
    (engine, server)
}

/// Applies the connection `erp` to a path of the server.
async fn connect(engine: &Engine, server: &PythonHttp, path: &str, more: Value) {
    assert_eq!(engine.apply("connection/erp", "connection.http", params(server, path, more)).await, []);
}

fn params(server: &PythonHttp, path: &str, more: Value) -> Value {
    let mut params = json!({"url": server.url(path)});
    let (Value::Object(all), Value::Object(more)) = (&mut params, more) else { panic!("two objects") };
    all.extend(more);
    params
}

fn handle(engine: &Engine) -> Http {
    engine.connection("erp", LIMIT)
}

/// What the server says it was asked, by a GET without anything.
async fn asked(engine: &Engine) -> Value {
    seen(&handle(engine).get().send().await.expect("an answer"))
}

fn seen(answer: &HttpAnswer) -> Value {
    assert_eq!(answer.status, 200);
    answer.json().expect("JSON")
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_definition_and_the_service_say_arrives() {
    let more = json!({
        "query": {"lang": "en", "v": "1"},
        "headers": {"Accept": "application/json", "X-Fixed": "one", "X-Kept": "kept"},
        "secret_headers": {"X-Hidden": "s3cret"},
    });
    let (engine, _server) = erp("/customers/{id}", more).await;
    let ctx = engine.context(LIMIT);
    let http: Http = ctx.connection("erp").expect("it runs");
    let draft = http.put().path("orders").param("id", "7/8").param("v", 2).param("q", "a b");
    let draft = draft.header("x-fixed", "two").header("x-zeugma-cid", "mine").header("te", "trailers");
    let seen = seen(&draft.json(&json!({"a": 1})).send().await.expect("an answer"));
    assert_eq!(seen["method"], "PUT");
    assert_eq!(seen["target"], "/customers/7%2F8/orders?lang=en&v=2&q=a+b");
    assert_eq!(seen["body"], "{\"a\":1}");
    let headers = &seen["headers"];
    for (name, value) in [
        ("x-zeugma-cid", ctx.cid().as_str()),
        ("user-agent", concat!("zeugma/", env!("CARGO_PKG_VERSION"))),
        ("content-type", "application/json"),
        ("accept", "application/json"),
        ("x-fixed", "two"),
        ("x-kept", "kept"),
        ("x-hidden", "s3cret"),
    ] {
        assert_eq!(headers[name], json!([value]), "{name}");
    }
    assert_eq!(headers["te"], Value::Null, "the transport's headers are not a service's to set");
    let missing = http.get().send().await.expect_err("the id is missing");
    assert_eq!(missing.kind(), sdk::ErrorKind::Invalid);
    assert!(missing.message().contains("id"), "{missing}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_arrives_whole_with_or_without_its_length() {
    let (engine, _server) = erp("/", json!({})).await;
    let bytes = vec![7_u8; 3_000_000];
    for length in [None, Some(bytes.len())] {
        let http = handle(&engine);
        let mut draft = http.post().stream(Box::pin(std::io::Cursor::new(bytes.clone())));
        if let Some(length) = length {
            draft = draft.header("content-length", &length.to_string());
        }
        let seen = seen(&draft.send().await.expect("an answer"));
        assert_eq!(seen["length"], bytes.len());
        assert_eq!(seen["headers"]["content-length"].is_null(), length.is_none());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn credentials_of_a_security_definition_arrive_and_follow_its_changes() {
    let (engine, server) = tokio::join!(Engine::start(), PythonHttp::start());
    for (kind, definition, header, value, target) in [
        (
            "security.basic",
            json!({"username": "api", "password": "pässword:1"}),
            "authorization",
            "Basic YXBpOnDDpHNzd29yZDox",
            "/?authorization=mine",
        ),
        ("security.api-key", json!({"key": "k3y"}), "x-api-key", "k3y", "/?authorization=mine"),
        (
            "security.api-key",
            json!({"header": "X-Key", "key": "k3y"}),
            "x-key",
            "k3y",
            "/?authorization=mine",
        ),
        (
            "security.api-key",
            json!({"query": "authorization", "key": "k3y&"}),
            "authorization",
            "mine",
            "/?authorization=k3y%26",
        ),
        (
            "security.bearer",
            json!({"token": "t0ken"}),
            "authorization",
            "Bearer t0ken",
            "/?authorization=mine",
        ),
    ] {
        assert_eq!(engine.apply("security/login", kind, definition).await, []);
        connect(&engine, &server, "/", json!({"security": "login"})).await;
        let http = handle(&engine);
        // What a service brings itself does not get past the definition.
        let draft = http.get().header("authorization", "mine").header("x-key", "mine");
        let seen = seen(&draft.param("authorization", "mine").send().await.expect("an answer"));
        assert_eq!(seen["headers"][header], json!([value]), "{kind}");
        assert_eq!(seen["target"], target, "{kind}");
    }
    let new = json!({"token": "another"});
    assert_eq!(engine.apply("security/login", "security.bearer", new).await, []);
    assert_eq!(asked(&engine).await["headers"]["authorization"], json!(["Bearer another"]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_definition_that_only_knows_a_hash_cannot_log_in() {
    let (engine, server) = tokio::join!(Engine::start(), PythonHttp::start());
    let hash = actors::security::basic::hash_password("s3cret").expect("a hash");
    let clerk = json!({"username": "clerk", "password_hash": hash});
    assert_eq!(engine.apply("security/clerk", "security.basic", clerk).await, []);
    let erp = params(&server, "/", json!({"security": "clerk"}));
    let faults = engine.apply("connection/erp", "connection.http", erp).await;
    assert!(faults[0].message.contains("security/clerk is for incoming requests only"), "{faults:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn redirects_are_answers_unless_they_are_to_be_followed_on_the_same_server() {
    let (engine, server) = erp("/redirect", json!({})).await;
    let other = PythonHttp::start().await;
    let go = async |to: String| handle(&engine).get().param("to", to).send().await.expect("an answer").status;
    assert_eq!(go("/there".into()).await, 302);
    connect(&engine, &server, "/redirect", json!({"redirects": 1})).await;
    assert_eq!(go("/there".into()).await, 200);
    assert_eq!(go("/redirect?to=/there".into()).await, 302, "the second one");
    assert_eq!(go(other.url("/there")).await, 302, "another server would be sent the credentials");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ping_takes_any_answer_and_the_stats_tell_of_the_pool() {
    use actors::worker::Verb;
    let more = json!({"pool": 3, "ping": {"method": "GET", "path": "/status/500"}});
    let (engine, mut server) = erp("/flaky/stats/503/1/{nothing}", more).await;
    let report = engine.tell("connection/erp", Verb::Ping).await.expect("a report");
    assert_eq!((report.up, report.ping_ms.is_some()), (Some(true), true));
    handle(&engine).ping().await.expect("for services, too");
    connect(&engine, &server, "/flaky/stats/503/1", json!({"pool": 3})).await;
    asked(&engine).await;
    let stats = engine.tell("connection/erp", Verb::Stats).await.expect("a report").more;
    assert_eq!(stats, json!({"pool": {"limit": 3, "in_use": 0}, "retries": 1}));
    server.go();
    let error = engine.tell("connection/erp", Verb::Ping).await.expect_err("it is away");
    assert_eq!(error.kind(), sdk::ErrorKind::Upstream);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_with_a_definition_is_said_before_it_runs() {
    let engine = Engine::start().await;
    let faults = |more: Value| {
        let server = PythonHttp::away(Vec::new());
        let faults = engine.check("connection/erp", "connection.http", params(&server, "/", more));
        faults.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    for (more, at, word) in [
        (json!({"url": "http://api:s3cret@erp/"}), "url", "security definition"),
        (json!({"url": "erp"}), "url", "https://"),
        (json!({"headers": {"authorization": "s3cret"}}), "headers.authorization", "secret_headers"),
        (json!({"secret_headers": {"x y": "s3cret"}}), "secret_headers.x y", "name"),
        (json!({"secret_headers": {"x": "s3cret\n"}}), "secret_headers.x", "line"),
        (json!({"headers": {"content-length": "1"}}), "headers.content-length", "engine"),
        (json!({"timeout": "0s"}), "timeout", "nothing"),
        (json!({"timeout": "99999d"}), "timeout", "a hundred years"),
        (json!({"timeout": "2d"}), "timeout", "a day"),
        (json!({"pool": 0}), "pool", "nonzero"),
        (json!({"tls": {"ca": "/ca.pem"}}), "tls", "https://"),
        (json!({"url": "https://erp", "tls": {"key": "/key.pem"}}), "tls", "together"),
        (json!({"ping": {"path": "x"}}), "ping.path", "slash"),
        (json!({"pasword": "s3cret"}), "pasword", "no parameter"),
    ] {
        let found = faults(more);
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].starts_with(&format!("{at}: ")) && found[0].contains(word), "{found:?}");
        assert!(!found[0].contains("s3cret"), "{found:?}");
    }
    assert_eq!(faults(json!({})), [""; 0]);
}
