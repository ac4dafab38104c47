//! The wire: clients that are slow, silent, greedy or broken.

use std::time::Duration;

use config::Span;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::kit::node::{TestNode, until};

const LIMIT: Duration = Duration::from_secs(10);

/// What comes back until the server closes or says nothing more for a while.
async fn answer(stream: &mut TcpStream) -> String {
    let mut all = Vec::new();
    let mut buffer = [0; 4096];
    while let Ok(Ok(n)) = tokio::time::timeout(LIMIT, stream.read(&mut buffer)).await {
        all.extend_from_slice(&buffer[..n]);
        let text = String::from_utf8_lossy(&all);
        let done = text.split_once("\r\n\r\n").is_some_and(|(head, body)| {
            let length =
                head.lines().find_map(|l| l.strip_prefix("content-length: ")).and_then(|l| l.parse().ok());
            length.is_some_and(|length: usize| body.len() >= length)
        });
        if n == 0 || done {
            break;
        }
    }
    String::from_utf8_lossy(&all).into_owned()
}

async fn connect(node: &TestNode) -> TcpStream {
    TcpStream::connect(node.data()).await.expect("a connection")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn too_long_a_body_is_refused_without_being_read() {
    let node = TestNode::start().await;
    node.apply("channels: [{name: e, type: rest, path: /e, method: POST, service: zeugma.helpers.echo, body_limit: 1kB}]")
        .await;
    // Not one byte of the body is sent: the answer comes from the head alone.
    let mut stream = connect(&node).await;
    stream.write_all(b"POST /e HTTP/1.1\r\nhost: x\r\ncontent-length: 50000000\r\n\r\n").await.expect("sent");
    let text = answer(&mut stream).await;
    assert!(text.starts_with("HTTP/1.1 413 ") && text.contains("too-large"), "{text}");

    // Nobody says how long it is: the answer comes as soon as the limit is passed, the end never does.
    let mut stream = connect(&node).await;
    stream
        .write_all(b"POST /e HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n")
        .await
        .expect("sent");
    for _ in 0..3 {
        stream.write_all(b"200\r\n").await.expect("sent");
        stream.write_all(&[b'x'; 0x200]).await.expect("sent");
        stream.write_all(b"\r\n").await.expect("sent");
    }
    let text = answer(&mut stream).await;
    assert!(text.starts_with("HTTP/1.1 413 "), "{text}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unknown_caller_is_refused_before_the_body() {
    let node = TestNode::start().await;
    node.apply(
        "security: [{name: clerk, type: basic, username: clerk, password: s3cret}]
channels: [{name: e, type: rest, path: /e, method: POST, service: zeugma.helpers.echo, security: clerk}]",
    )
    .await;
    let mut stream = connect(&node).await;
    let head = "POST /e HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\ncontent-length: 5\r\n";
    stream.write_all(format!("{head}\r\n").as_bytes()).await.expect("sent");
    let text = answer(&mut stream).await;
    assert!(
        text.starts_with("HTTP/1.1 401 ") && text.to_lowercase().contains("www-authenticate: basic"),
        "{text}"
    );
    assert!(!text.contains("100 Continue"), "the body must not be asked for: {text}");

    let mut stream = connect(&node).await;
    // clerk:s3cret
    stream
        .write_all(format!("{head}authorization: Basic Y2xlcms6czNjcmV0\r\n\r\n").as_bytes())
        .await
        .expect("sent");
    let mut first = [0; 25];
    stream.read_exact(&mut first).await.expect("an answer");
    assert_eq!(&first, b"HTTP/1.1 100 Continue\r\n\r\n");
    stream.write_all(b"hello").await.expect("sent");
    let text = answer(&mut stream).await;
    assert!(text.starts_with("HTTP/1.1 200 ") && text.ends_with("hello"), "{text}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slow_and_silent_clients_are_dropped_and_hurt_nobody() {
    let node = TestNode::start_with(|settings| settings.header_timeout = Span::millis(150)).await;
    node.apply("channels: [{name: e, type: rest, path: /e, service: zeugma.helpers.echo, deadline: 150ms}]")
        .await;
    for sent in ["", "P", "POST /e HTTP/1.1\r\nhost: x\r\nx-slow: "] {
        let mut stream = connect(&node).await;
        stream.write_all(sent.as_bytes()).await.expect("sent");
        let mut rest = Vec::new();
        let closed = tokio::time::timeout(LIMIT, stream.read_to_end(&mut rest)).await;
        assert!(closed.is_ok(), "the connection is still open after {sent:?}");
        assert!(rest.is_empty() || rest.starts_with(b"HTTP/1.1 408"), "{}", String::from_utf8_lossy(&rest));
    }
    // The head is there, the body never comes.
    let mut stream = connect(&node).await;
    stream.write_all(b"POST /e HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\n\r\nhe").await.expect("sent");
    let text = answer(&mut stream).await;
    assert!(text.starts_with("HTTP/1.1 408 "), "{text}");
    let metrics = node.metrics();
    assert!(
        metrics.contains(r#"zeugma_http_connections_dropped_total{listener="data",reason="head-timeout"} 3"#),
        "{metrics}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_reads_nothing_of_its_answer_is_dropped() {
    let node = TestNode::start_with(|settings| settings.write_timeout = Span::millis(500)).await;
    node.apply("channels: [{name: e, type: rest, path: /e, service: zeugma.helpers.echo, body_limit: 32MB}]")
        .await;
    let mut stream = connect(&node).await;
    // More than the buffers of both sides hold.
    let head = format!("POST /e HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\n\r\n", 24 << 20);
    stream.write_all(head.as_bytes()).await.expect("sent");
    stream.write_all(&vec![b'x'; 24 << 20]).await.expect("sent");
    until("its place is free again", async || {
        let metrics = node.metrics();
        metrics.contains(r#"zeugma_http_connections{listener="data"} 0"#)
            && metrics.contains(
                r#"zeugma_http_connections_dropped_total{listener="data",reason="write-timeout"} 1"#,
            )
    })
    .await;
    drop(stream);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bytes_that_are_no_http_are_answered_or_dropped() {
    let node = TestNode::start().await;
    for sent in
        [&b"\x16\x03\x01\x02\x00\x01\x00\x01"[..], b"GET\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n", &[0xff; 70_000]]
    {
        let mut stream = connect(&node).await;
        drop(stream.write_all(sent).await); // the server may hang up before all is sent
        let mut rest = Vec::new();
        let closed = tokio::time::timeout(LIMIT, stream.read_to_end(&mut rest)).await;
        assert!(closed.is_ok(), "the connection is still open");
    }
    assert_eq!(node.get("/none").send().await.expect("an answer").status(), 404, "the node serves on");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn more_connections_than_the_cap_wait_their_turn() {
    let cap = std::num::NonZeroU32::new(2).expect("two");
    let node = TestNode::start_with(|settings| settings.max_connections = cap).await;
    node.apply("channels: [{name: p, type: rest, path: /p, service: zeugma.ping}]").await;
    let (one, two) = (connect(&node).await, connect(&node).await);
    until("both are in", async || node.metrics().contains(r#"zeugma_http_connections{listener="data"} 2"#))
        .await;
    let mut third = connect(&node).await;
    third.write_all(b"GET /p HTTP/1.1\r\nhost: x\r\n\r\n").await.expect("sent");
    let waits = tokio::time::timeout(Duration::from_millis(200), third.read_u8()).await;
    assert!(waits.is_err(), "the third is served though the cap is two");
    drop((one, two));
    assert!(answer(&mut third).await.starts_with("HTTP/1.1 200 "));
}
