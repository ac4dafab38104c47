//! TLS on the data listener: both HTTP versions, silent clients, and a certificate that is renewed.

use std::path::Path;
use std::time::Duration;

use config::Span;
use config::settings::TlsFiles;
use rcgen::{CertificateParams, KeyPair};
use reqwest::Version;
use tokio::io::AsyncReadExt as _;

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
    builder.timeout(Duration::from_secs(10)).build().expect("a client")
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
    let mut silent = tokio::net::TcpStream::connect(node.data()).await.expect("a connection");
    assert!(client(&first).get(&url).send().await.is_ok());
    let closed = tokio::time::timeout(Duration::from_secs(10), silent.read_u8()).await;
    assert!(closed.expect("closed in time").is_err());

    let second = certificate(folder.path());
    until("the new certificate is shown", async || client(&second).get(&url).send().await.is_ok()).await;
    std::fs::write(folder.path().join("key.pem"), "nonsense").expect("written");
    assert!(client(&first).get(&url).send().await.is_err(), "the old one is not trusted any more");
    assert!(client(&second).get(&url).send().await.is_ok(), "a broken file leaves what was there");
}
