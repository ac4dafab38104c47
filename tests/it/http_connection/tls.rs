//! TLS: whose certificate is accepted, and which one we show.

use std::path::Path;

use sdk::{ErrorKind, Http};
use serde_json::{Value, json};

use super::{LIMIT, asked, connect, handle, params};
use crate::kit::certs::Ca;
use crate::kit::engine::Engine;
use crate::kit::http_servers::{Nginx, PythonHttp};

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().expect("a folder")
}

fn path(path: &Path) -> Value {
    path.to_str().expect("a path").into()
}

async fn refused(engine: &Engine) -> sdk::Error {
    let error = handle(engine).get().send().await.expect_err("no secure connection");
    assert_eq!(
        (error.kind(), error.message()),
        (ErrorKind::Upstream, "connection/erp: no secure connection")
    );
    error
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_is_trusted_by_its_ca_or_not_at_all() {
    let (own, others) = (folder(), folder());
    let ca = Ca::new("A CA of the test");
    let certificate = ca.issue(&["127.0.0.1"], own.path());
    let (trusted, other) = (ca.write(own.path()), Ca::new("Another CA").write(others.path()));
    let (engine, server) = tokio::join!(Engine::start(), PythonHttp::start_tls(&certificate, None));
    connect(&engine, &server, "/", json!({"tls": {"ca": path(&trusted)}})).await;
    assert_eq!(asked(&engine).await["method"], "GET");
    for tls in [json!({"ca": path(&other)}), json!({})] {
        connect(&engine, &server, "/", json!({"tls": tls})).await;
        let error = refused(&engine).await.to_string();
        assert!(error.contains("UnknownIssuer"), "the log has the reason: {error}");
    }
    connect(&engine, &server, "/", json!({"tls": {"verify": false}})).await;
    assert_eq!(asked(&engine).await["method"], "GET");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_has_another_name_is_refused() {
    let own = folder();
    let ca = Ca::new("A CA of the test");
    let certificate = ca.issue(&["erp.example"], own.path());
    let (engine, server) = tokio::join!(Engine::start(), PythonHttp::start_tls(&certificate, None));
    connect(&engine, &server, "/", json!({"tls": {"ca": path(&ca.write(own.path()))}})).await;
    let error = refused(&engine).await.to_string();
    assert!(error.contains("not valid for"), "the log has the reason: {error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_demands_a_certificate_gets_ours() {
    let (own, clients, strangers) = (folder(), folder(), folder());
    let (ca, client_ca) = (Ca::new("A CA of the test"), Ca::new("The CA of clients"));
    let certificate = ca.issue(&["127.0.0.1"], own.path());
    let (trusted, demanded) = (ca.write(own.path()), client_ca.write(clients.path()));
    let ours = client_ca.issue(&["client"], clients.path());
    let stranger = Ca::new("Another CA").issue(&["client"], strangers.path());
    let (engine, server) =
        tokio::join!(Engine::start(), PythonHttp::start_tls(&certificate, Some(&demanded)));
    let tls = |certificate: &Path, key: &Path| json!({"tls": {"ca": path(&trusted), "certificate": path(certificate), "key": path(key)}});
    connect(&engine, &server, "/", tls(&ours.certificate, &ours.key)).await;
    assert_eq!(asked(&engine).await["method"], "GET");
    connect(&engine, &server, "/", tls(&stranger.certificate, &stranger.key)).await;
    refused(&engine).await;
    connect(&engine, &server, "/", json!({"tls": {"ca": path(&trusted)}})).await;
    refused(&engine).await;
    // A change that cannot start leaves the old one running, and says which file is at fault.
    connect(&engine, &server, "/", tls(&ours.certificate, &ours.key)).await;
    let wrong = params(&server, "/", tls(&ours.certificate, Path::new("/nowhere/key.pem")));
    let faults = engine.apply("connection/erp", "connection.http", wrong).await;
    assert!(faults[0].message.contains("/nowhere/key.pem"), "{faults:?}");
    assert_eq!(asked(&engine).await["method"], "GET");
}

#[tokio::test(flavor = "multi_thread")]
async fn http_2_is_spoken_where_it_is_offered_or_wanted() {
    let folder = folder();
    let ca = Ca::new("A CA of the test");
    let trusted = ca.write(folder.path());
    let certificate = ca.issue(&["127.0.0.1"], folder.path());
    let (engine, server) = tokio::join!(Engine::start(), Nginx::start(&certificate, &trusted));
    let tls = json!({
        "ca": path(&trusted), "certificate": path(&certificate.certificate), "key": path(&certificate.key),
    });
    for (params, expected) in [
        (json!({"url": server.tls, "tls": tls}), ("HTTP/2.0", "SUCCESS")),
        (json!({"url": server.tls, "tls": tls, "http2": "always"}), ("HTTP/2.0", "SUCCESS")),
        (json!({"url": server.tls, "tls": tls, "http2": "never"}), ("HTTP/1.1", "SUCCESS")),
        (json!({"url": server.tls, "tls": {"ca": path(&trusted)}}), ("HTTP/2.0", "NONE")),
        (json!({"url": server.clear, "http2": "always"}), ("HTTP/2.0", "")),
    ] {
        assert_eq!(engine.apply("connection/erp", "connection.http", params).await, []);
        // More than one connection may carry: those that end meanwhile are nobody's trouble, POST or not.
        for _ in 0..12 {
            let ctx = engine.context(LIMIT);
            let http: Http = ctx.connection("erp").expect("it runs");
            let answer = http.post().body("x").send().await.expect("an answer");
            let (protocol, verified) = expected;
            assert_eq!(answer.body, format!("{protocol} {} {verified}", ctx.cid()));
        }
    }
}
