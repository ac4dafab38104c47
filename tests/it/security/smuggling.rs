//! Requests that say two things at once, or too much: refused, on the wire.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::kit::node::TestNode;

const LIMIT: Duration = Duration::from_secs(10);

/// The status that bytes on a connection get; 0 if it is closed without one.
async fn status(node: &TestNode, head: &[u8]) -> u16 {
    let mut stream = TcpStream::connect(node.data()).await.expect("a connection");
    drop(stream.write_all(head).await); // the server may have closed already
    let mut answer = Vec::new();
    let mut buffer = [0; 1024];
    while !answer.contains(&b'\n') {
        match tokio::time::timeout(LIMIT, stream.read(&mut buffer)).await.expect("in time") {
            Ok(0) | Err(_) => break,
            Ok(n) => answer.extend_from_slice(&buffer[..n]),
        }
    }
    let line = String::from_utf8_lossy(&answer).into_owned();
    line.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_headers_folded_lines_and_a_megabyte_let_nobody_in() {
    let node = TestNode::start().await;
    node.apply(
        "
        security:
        - {name: b, type: basic, username: 'clérk', password: hush}
        - {name: k, type: api-key, key: hush}
        - {name: j, type: jwt, username: web, password: hush}
        - {name: any, type: any-of, members: [b, k, j]}
        channels:
        - {name: b, type: rest, path: /b, service: who, security: b}
        - {name: k, type: rest, path: /k, service: who, security: k}
        - {name: any, type: rest, path: /any, service: who, security: any}",
    )
    .await;
    let basic = STANDARD.encode("clérk:hush");
    let request = |path: &str, headers: &str| {
        format!("GET {path} HTTP/1.1\r\nhost: x\r\n{headers}\r\n\r\n").into_bytes()
    };
    let good = format!("authorization: Basic {basic}");
    for path in ["/b", "/any"] {
        assert_eq!(status(&node, &request(path, &good)).await, 200, "{path}");
    }
    assert_eq!(status(&node, &request("/any", "x-api-key: hush")).await, 200);

    let wrong = STANDARD.encode("clerk:hush"); // without the accent
    let decomposed = STANDARD.encode("cle\u{301}rk:hush");
    let latin = STANDARD.encode(b"cl\xe9rk:hush");
    let refused = [
        format!("{good}\r\n{good}"),
        format!("{good}\r\nauthorization: Basic {wrong}"),
        format!("authorization: Basic {wrong}\r\n{good}"),
        format!("authorization: Basic {wrong}, Basic {basic}"),
        format!("authorization: Basic {wrong}\r\n {basic}"), // a folded line
        format!("authorization: Basic\r\n\t{basic}"),
        format!("authorization : Basic {basic}"), // a blank before the colon
        format!("x: y\rauthorization: Basic {basic}"), // half a line end
        format!("authorization: Basic {basic}\x00"),
        format!("authorization: Basic {wrong}"),
        format!("authorization: Basic {decomposed}"),
        format!("authorization: Basic {latin}"),
        format!("proxy-authorization: Basic {basic}"),
        format!("authorization_: Basic {basic}"),
    ];
    for headers in &refused {
        for path in ["/b", "/any"] {
            let status = status(&node, &request(path, headers)).await;
            // What is no HTTP at all may be cut off without a word.
            assert!([0, 400, 401].contains(&status), "{status} for {headers:?}");
        }
    }
    for headers in
        ["x-api-key: hush\r\nx-api-key: hush", "x-api-key: other\r\nX-API-KEY: hush", "x_api_key: hush"]
    {
        assert_eq!(status(&node, &request("/k", headers)).await, 401, "{headers}");
    }
    // A million bytes of credentials, of each kind, and one that no line ends.
    for scheme in ["Basic ", "Bearer ", ""] {
        let long = format!("authorization: {scheme}{}", "A".repeat(1 << 20));
        let status = status(&node, &request("/any", &long)).await;
        assert!([0, 400, 401, 431].contains(&status), "{status}");
    }
    assert!([0, 400, 431].contains(&status(&node, &vec![b'A'; 2 << 20]).await));
    assert_eq!(status(&node, &request("/b", &good)).await, 200, "and all goes on");
}
