//! TLS on the data listener: both HTTP versions, clients that are silent or do not read, and a certificate that is renewed.

use std::path::Path;
use std::time::Duration;

use config::Span;
use config::settings::TlsFiles;
use rcgen::{CertificateParams, KeyPair};
use reqwest::Version;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::kit::node::{TestNode, until};

/// A certificate for localhost, signed by itself.
fn certificate(folder: &Path) -> reqwest::Certificate {
    let key = KeyPair::generate().expect("a key");
    let certificate =
        CertificateParams::new(["localhost".to_owned()]).expect("a name").self_signed(&key).expect("signed");
    std::fs::write(folder.join("cert.pem"), certificate.pem()).expect("written");
    std::fs::write(folder.join("key.pem"), key.serialize_pem()).expect("written");
    reqwest::Certificate::from_pem(certificate.pem().as_bytes()).expect("a certificate")
}

fn client(trusted: &reqwest::Certificate) -> reqwest::Client {
    let builder = reqwest::Client::builder().no_proxy().tls_certs_only([trusted.clone()]);
    builder.timeout(Duration::from_secs(60)).build().expect("a client")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn both_versions_are_served_and_a_renewed_certificate_is_shown() {
    let folder = tempfile::TempDir::new().expect("a folder");
    let first = certificate(folder.path());
    let files = TlsFiles { cert: folder.path().join("cert.pem"), key: folder.path().join("key.pem") };
    let node = TestNode::start_with(|settings| {
        settings.tls = Some(files);
        settings.header_timeout = Span::millis(500);
    })
    .await;
    node.apply(
        "channels:
        - {name: p, type: rest, path: /p, service: zeugma.ping}
        - {name: local, type: rest, path: /local, host: localhost, service: zeugma.ping}
        - {name: other, type: rest, path: /other, host: example.com, service: zeugma.ping}",
    )
    .await;
    let url = format!("https://localhost:{}/p", node.data().port());
    let answer = client(&first).get(&url).send().await.expect("an answer");
    assert_eq!((answer.status().as_u16(), answer.version()), (200, Version::HTTP_2));
    // HTTP/2 has no header for the host.
    for (path, expected) in [("local", 200), ("other", 404)] {
        let url = url.replace("/p", &format!("/{path}"));
        let answer = client(&first).get(&url).send().await.expect("an answer");
        assert_eq!((answer.status().as_u16(), answer.version()), (expected, Version::HTTP_2), "{path}");
    }
    let one = reqwest::Client::builder().no_proxy().tls_certs_only([first.clone()]).http1_only().build();
    let answer = one.expect("a client").get(&url).send().await.expect("an answer");
    assert_eq!((answer.status().as_u16(), answer.version()), (200, Version::HTTP_11));

    // A client that never begins the handshake is dropped, and keeps nobody else out meanwhile.
    let mut silent = TcpStream::connect(node.data()).await.expect("a connection");
    assert!(client(&first).get(&url).send().await.is_ok());
    let closed = tokio::time::timeout(Duration::from_secs(10), silent.read_u8()).await;
    assert!(closed.expect("closed in time").is_err());

    let second = certificate(folder.path());
    until("the new certificate is shown", async || client(&second).get(&url).send().await.is_ok()).await;
    std::fs::write(folder.path().join("key.pem"), "nonsense").expect("written");
    assert!(client(&first).get(&url).send().await.is_err(), "the old one is not trusted any more");
    assert!(client(&second).get(&url).send().await.is_ok(), "a broken file leaves what was there");
}

/// A node with a certificate in `folder`, whose settings are changed before.
async fn node_in(
    folder: &Path,
    change: impl FnOnce(&mut config::settings::Settings),
) -> (TestNode, reqwest::Certificate) {
    let trusted = certificate(folder);
    let files = TlsFiles { cert: folder.join("cert.pem"), key: folder.join("key.pem") };
    let node = TestNode::start_with(|settings| {
        settings.tls = Some(files);
        change(settings);
    });
    (node.await, trusted)
}

/// A connection on which HTTP/2 is agreed on and nothing is sent.
async fn agreed(node: &TestNode, folder: &Path) -> TlsStream<TcpStream> {
    let mut roots = RootCertStore::empty();
    let ours = CertificateDer::from_pem_file(folder.join("cert.pem")).expect("a certificate");
    roots.add(ours).expect("a root");
    let provider = rustls::crypto::aws_lc_rs::default_provider();
    let versions = ClientConfig::builder_with_provider(provider.into()).with_safe_default_protocol_versions();
    let mut client = versions.expect("versions").with_root_certificates(roots).with_no_client_auth();
    client.alpn_protocols = vec![b"h2".to_vec()];
    let stream = TcpStream::connect(node.data()).await.expect("a connection");
    let name = ServerName::try_from("localhost").expect("a name");
    let stream = TlsConnector::from(std::sync::Arc::new(client)).connect(name, stream).await.expect("TLS");
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
    stream
}

/// How many connections there are, and how many were dropped for this reason.
fn connections(node: &TestNode, reason: &str) -> [String; 2] {
    let metrics = node.metrics();
    let value = |series: String| {
        let line = metrics.lines().find_map(|line| line.strip_prefix(&series));
        line.unwrap_or(" 0").trim().to_owned()
    };
    let dropped = format!("zeugma_http_connections_dropped_total{{listener=\"data\",reason=\"{reason}\"}}");
    [value("zeugma_http_connections{listener=\"data\"}".into()), value(dropped)]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_is_silent_after_the_handshake_is_dropped() {
    let folder = tempfile::TempDir::new().expect("a folder");
    let (node, _) = node_in(folder.path(), |settings| settings.header_timeout = Span::millis(500)).await;
    // Nothing at all, half of a preface, and a preface with settings and the beginning of a head that never ends.
    const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    const SETTINGS: &[u8] = &[0, 0, 0, 4, 0, 0, 0, 0, 0];
    const HEAD: &[u8] = &[0, 0, 1, 1, 0, 0, 0, 0, 1, 0x82];
    for (sent, dropped) in
        [(vec![], "1"), (PREFACE[..10].into(), "2"), ([PREFACE, SETTINGS, HEAD].concat(), "3")]
    {
        let mut stream = agreed(&node, folder.path()).await;
        stream.write_all(&sent).await.expect("sent");
        stream.flush().await.expect("sent");
        let mut rest = Vec::new();
        let closed = tokio::time::timeout(Duration::from_secs(10), stream.read_to_end(&mut rest)).await;
        assert!(closed.is_ok(), "the connection is still open after {sent:?}");
        until("it is counted", async || connections(&node, "head-timeout") == ["0", dropped]).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_idle_connection_ends_though_its_client_answers_pings_and_one_with_work_goes_on() {
    let folder = tempfile::TempDir::new().expect("a folder");
    let (node, trusted) =
        node_in(folder.path(), |settings| settings.header_timeout = Span::millis(300)).await;
    node.apply("channels: [{name: s, type: rest, path: /s, method: POST, service: sleepy, deadline: 5s}]")
        .await;
    let client = client(&trusted);
    let url = format!("https://localhost:{}/s", node.data().port());
    // Longer than a connection may be idle.
    let answer = client.post(&url).body("1500").send().await.expect("an answer");
    assert_eq!((answer.status().as_u16(), answer.version()), (200, Version::HTTP_2));
    assert_eq!(answer.text().await.expect("a text"), "slept");
    until("its place is free again", async || connections(&node, "head-timeout") == ["0", "0"]).await;
    assert_eq!(client.post(&url).body("1").send().await.expect("an answer").status(), 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_takes_nothing_of_an_answer_is_dropped_and_who_is_slow_gets_all_of_it() {
    const SIZE: usize = 6 << 20;
    let folder = tempfile::TempDir::new().expect("a folder");
    let (node, trusted) = node_in(folder.path(), |settings| {
        settings.header_timeout = Span::millis(500);
        settings.write_timeout = Span::secs(2);
    })
    .await;
    node.apply("channels: [{name: e, type: rest, path: /e, service: zeugma.helpers.echo, body_limit: 16MB}]")
        .await;
    let url = format!("https://localhost:{}/e", node.data().port());
    let one = reqwest::Client::builder().no_proxy().tls_certs_only([trusted.clone()]).http1_only().build();
    for client in [client(&trusted), one.expect("a client")] {
        let mut answer = client.post(&url).body(vec![b'x'; SIZE]).send().await.expect("an answer");
        let (begun, mut size) = (std::time::Instant::now(), 0);
        while let Some(chunk) = answer.chunk().await.expect("not cut off") {
            size += chunk.len();
            // Two megabytes a second: all of it takes longer than nothing at all may be taken.
            let due = Duration::from_secs(1).mul_f64(size as f64 / (2 << 20) as f64);
            tokio::time::sleep(due.saturating_sub(begun.elapsed())).await;
        }
        assert_eq!(size, SIZE);
    }

    // The window of HTTP/2 is full, and the client goes on answering pings.
    let client = client(&trusted);
    let answer = client.post(&url).body(vec![b'x'; SIZE]).send().await.expect("an answer");
    assert_eq!(answer.version(), Version::HTTP_2);
    until("it is dropped", async || connections(&node, "write-timeout")[1] == "1").await;
    assert!(answer.bytes().await.is_err());
}
