//! What goes wrong on the way: servers that are away, slow, overloaded, or talk too much.

use std::net::Ipv4Addr;
use std::time::Duration;

use actors::worker::Verb;
use futures_util::future::join_all;
use sdk::connection::http::HttpAnswer;
use sdk::{ErrorKind, Http, Result};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::time::Instant;

use super::{LIMIT, asked, connect, erp, handle, params};
use crate::kit::black_hole::BlackHole;
use crate::kit::engine::Engine;
use crate::kit::http_servers::PythonHttp;
use crate::kit::process::{eventually, free_port};

async fn get(engine: &Engine) -> Result<HttpAnswer> {
    handle(engine).get().send().await
}

/// How often `/flaky/NAME` was asked.
async fn tries(engine: &Engine, server: &PythonHttp, name: &str) -> Value {
    connect(engine, server, &format!("/tries/{name}"), json!({})).await;
    asked(engine).await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_may_be_repeated_is_and_the_rest_is_not() {
    let (engine, server) = erp("/flaky/get/503/2", json!({})).await;
    assert_eq!(asked(&engine).await["tries"], 3);

    connect(&engine, &server, "/flaky/put/502/1", json!({})).await;
    let put = handle(&engine).put().body("again").send().await.expect("an answer");
    let put: Value = put.json().expect("JSON");
    assert_eq!((&put["tries"], &put["body"]), (&json!(2), &json!("again")));

    connect(&engine, &server, "/flaky/post/503/1", json!({})).await;
    assert_eq!(handle(&engine).post().body("once").send().await.expect("an answer").status, 503);
    assert_eq!(tries(&engine, &server, "post").await, 1);

    connect(&engine, &server, "/flaky/stream/503/1", json!({})).await;
    let stream = Box::pin(std::io::Cursor::new(b"once"));
    assert_eq!(handle(&engine).put().stream(stream).send().await.expect("an answer").status, 503);
    assert_eq!(tries(&engine, &server, "stream").await, 1);

    connect(&engine, &server, "/flaky/four/404/1", json!({})).await;
    assert_eq!(get(&engine).await.expect("an answer").status, 404);

    connect(&engine, &server, "/flaky/never/503/1", json!({"retries": {"attempts": 0}})).await;
    assert_eq!(get(&engine).await.expect("an answer").status, 503);

    connect(&engine, &server, "/flaky/always/503/99", json!({})).await;
    assert_eq!(get(&engine).await.expect("the last answer").status, 503);
    assert_eq!(tries(&engine, &server, "always").await, 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_breaks_off_is_asked_again_if_that_does_no_harm() {
    let (engine, server) = erp("/flaky/cut/hangup/1", json!({})).await;
    assert_eq!(asked(&engine).await["tries"], 2);
    connect(&engine, &server, "/flaky/post/hangup/1", json!({})).await;
    let error = handle(&engine).post().send().await.expect_err("it broke off");
    assert_eq!((error.kind(), error.message()), (ErrorKind::Upstream, "connection/erp broke off"));
    assert_eq!(handle(&engine).post().send().await.expect("it is not taken for away").status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn retry_after_is_honoured_if_there_is_time() {
    let (engine, server) = erp("/flaky/wait/503/1?retry-after=1", json!({})).await;
    let begun = Instant::now();
    assert_eq!(asked(&engine).await["tries"], 2);
    assert!(begun.elapsed() >= Duration::from_secs(1), "{:?}", begun.elapsed());

    for far in ["60", "18446744073709551615", "Wed, 21 Oct 2125 07:28:00 GMT"] {
        connect(&engine, &server, "/status/503", json!({"query": {"retry-after": far}})).await;
        let begun = Instant::now();
        assert_eq!(get(&engine).await.expect("the answer, at once").status, 503);
        assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_answer_is_a_time_out_and_does_not_make_the_server_away() {
    let (engine, server) = erp("/slow?s=5", json!({"timeout": "300ms"})).await;
    let begun = Instant::now();
    let error = get(&engine).await.expect_err("too slow for the definition");
    assert_eq!(
        (error.kind(), error.message()),
        (ErrorKind::Timeout, "connection/erp did not answer in time")
    );
    connect(&engine, &server, "/slow?s=5", json!({})).await;
    let hurried: Http = engine.connection("erp", Duration::from_millis(300));
    let error = hurried.get().send().await.expect_err("too slow for the service");
    assert_eq!(error.kind(), ErrorKind::Timeout);
    assert!(begun.elapsed() < Duration::from_secs(3), "{:?}", begun.elapsed());
    connect(&engine, &server, "/slow?s=0", json!({})).await;
    assert_eq!(get(&engine).await.expect("it is there").status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_away_fails_calls_at_once_and_is_found_again() {
    let engine = Engine::start().await;
    let mut server = PythonHttp::away(Vec::new());
    connect(&engine, &server, "/", json!({})).await;
    for _ in 0..2 {
        let begun = Instant::now();
        let error = get(&engine).await.expect_err("nobody is there");
        assert_eq!(
            (error.kind(), error.message()),
            (ErrorKind::Upstream, "connection/erp cannot be reached")
        );
        assert!(error.to_string().contains("refused"), "the log has the reason: {error}");
        assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
        let begun = Instant::now();
        let error = get(&engine).await.expect_err("still nobody");
        assert!(error.message().contains("connection/erp is down"), "{error}");
        assert!(
            error.wait().is_some() && begun.elapsed() < Duration::from_millis(50),
            "{:?}",
            begun.elapsed()
        );

        server.come().await;
        eventually(LIMIT, "it is found again", async || get(&engine).await.is_ok()).await;
        server.go();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_drops_what_is_sent_to_it_is_away_after_one_call() {
    let hole = BlackHole::open().await;
    for (timeout, connect_timeout, most) in [
        ("2s", "1200ms", 1_900),     // a repeat would come to no end
        ("3500ms", "1200ms", 3_400), // one comes to its end, the next would not
        ("1s", "3s", 990),           // the connection may not take longer than the request
    ] {
        let engine = Engine::start().await;
        let erp = json!({"url": hole.url(), "timeout": timeout, "connect_timeout": connect_timeout});
        assert_eq!(engine.apply("connection/erp", "connection.http", erp).await, []);
        let begun = Instant::now();
        let error = get(&engine).await.expect_err("nobody accepts");
        let took = begun.elapsed();
        let message = "connection/erp did not accept a connection in time";
        assert_eq!(
            (error.kind(), error.message()),
            (ErrorKind::Timeout, message),
            "{timeout} after {took:?}"
        );
        assert!(took < Duration::from_millis(most), "{timeout}: {took:?}");
        let begun = Instant::now();
        let error = get(&engine).await.expect_err("it is known to be away");
        assert!(error.message().contains("connection/erp is down"), "{error}");
        assert!(begun.elapsed() < Duration::from_millis(50), "{:?}", begun.elapsed());
    }
    // Who has less time than the definition gives them does not hide it from the others.
    let engine = Engine::start().await;
    let erp = json!({"url": hole.url(), "timeout": "10s", "connect_timeout": "600ms"});
    assert_eq!(engine.apply("connection/erp", "connection.http", erp).await, []);
    let hurried: Http = engine.connection("erp", Duration::from_secs(5));
    let sending = hurried.get().send();
    assert!(tokio::time::timeout(Duration::from_millis(1_000), sending).await.is_err(), "it is let go");
    let error = get(&engine).await.expect_err("it is known to be away");
    assert!(error.message().contains("connection/erp is down"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_reached_the_second_time_is_not_away() {
    let (engine, address) = (Engine::start().await, (Ipv4Addr::LOCALHOST, free_port()));
    let url = format!("http://127.0.0.1:{}/", address.1);
    let erp = json!({"url": url, "retries": {"attempts": 1, "wait": "1s"}});
    assert_eq!(engine.apply("connection/erp", "connection.http", erp).await, []);
    // It answers one request and no more: a probe that is not needed would find nobody.
    let serving = async {
        eventually(LIMIT, "it is tried", async || {
            engine.tell("connection/erp", Verb::Stats).await.expect("it runs").more["retries"] == 1
        })
        .await;
        let listener = TcpListener::bind(address).await.expect("the port is free");
        let (mut connection, _) = listener.accept().await.expect("a connection");
        let _ = connection.read(&mut [0; 4096]).await.expect("a request");
        connection.write_all(b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n").await.expect("sent");
        listener
    };
    let (answer, _listener) = tokio::join!(get(&engine), serving);
    assert_eq!(answer.expect("an answer").status, 204);
    assert_eq!(engine.tell("connection/erp", Verb::Stats).await.expect("it runs").up, Some(true));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_is_no_longer_than_the_limit() {
    for path in ["/big", "/chunked"] {
        let (engine, _server) = erp(path, json!({"max_response": "100kB"})).await;
        let get = async |n: &str| handle(&engine).get().param("n", n).send().await;
        assert_eq!(get("100000").await.expect("just right").body.len(), 100_000);
        let begun = Instant::now();
        let error = get("200000000").await.expect_err("far too long");
        assert_eq!(error.kind(), ErrorKind::Upstream);
        assert!(error.message().contains("longer than 100000 bytes"), "{error}");
        assert!(begun.elapsed() < Duration::from_secs(2), "it is not read to its end: {:?}", begun.elapsed());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_more_than_the_pool_are_under_way() {
    let (engine, server) = erp("/parallel?s=0.1", json!({"pool": 2})).await;
    let answers = join_all((0..8).map(|_| get(&engine))).await;
    assert!(answers.iter().all(Result::is_ok));
    connect(&engine, &server, "/most", json!({})).await;
    assert_eq!(asked(&engine).await, 2);

    connect(&engine, &server, "/slow?s=1", json!({"pool": 1, "pool_wait": "100ms"})).await;
    let (first, second) = tokio::join!(get(&engine), get(&engine));
    let refused = first.and(second).expect_err("there is one place");
    assert_eq!(refused.kind(), ErrorKind::Unavailable);
    assert_eq!(refused.message(), "all 1 places of connection/erp are taken");
    assert!(refused.wait().is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn no_secret_is_in_an_error() {
    let engine = Engine::start().await;
    let server = PythonHttp::away(Vec::new());
    let login = json!({"query": "key", "key": "s3cret"});
    assert_eq!(engine.apply("security/login", "security.api-key", login).await, []);
    let more = json!({"security": "login", "secret_headers": {"x-key": "s3cret"}, "query": {"q": "s3cret"}});
    let erp = params(&server, "/{id}?k=s3cret", more);
    assert_eq!(engine.apply("connection/erp", "connection.http", erp).await, []);
    for _ in 0..2 {
        let http = handle(&engine);
        let sent = http.get().param("id", "s3cret").param("more", "s3cret").send().await;
        let error = sent.expect_err("nobody is there");
        for seen in [error.to_string(), format!("{error:?}"), error.message().to_owned()] {
            assert!(!seen.contains("s3cret"), "{seen}");
        }
    }
    let ping = handle(&engine).ping().await.expect_err("nobody is there");
    assert!(!format!("{ping}{ping:?}").contains("s3cret"), "{ping:?}");
}
