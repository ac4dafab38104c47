//! Every call against every server, in the clear and with TLS, in each mode.

use sdk::{ErrorKind, Ftp};
use serde_json::json;

use super::{LIMIT, engine, ftp, pool};
use crate::kit::certs::Ca;
use crate::kit::engine::Engine;
use crate::kit::ftp::{Brand, FtpServer, PASSWORD, Tls};
use crate::kit::process::eventually;

/// Bytes that text modes, telnet and C strings would change.
fn nasty() -> Vec<u8> {
    let mut bytes: Vec<u8> = (0..=255).cycle().take(70_000).collect();
    bytes.extend(b"one\r\ntwo\nthree\r\0\x1a\xff\xff\xf4\r\n");
    bytes
}

async fn every_call(brand: Brand, tls: Tls, changes: serde_json::Value) {
    let server = FtpServer::start(brand, tls).await;
    let engine = engine(&server, changes).await;
    let ftp = ftp(&engine);
    ftp.ping().await.expect("it is there");
    files(&ftp, &server).await;
    folders(&ftp).await;
    missing(&ftp).await;
    // One connection, many files: each needs a TLS session of its own or one that may be used again.
    for round in 0..12 {
        let data = format!("round {round}").into_bytes();
        assert_eq!(ftp.put("again.txt", data.clone()).await.expect("written"), data.len() as u64);
        assert_eq!(ftp.get("again.txt").await.expect("read"), data);
        ftp.list("").await.expect("listed");
    }
    // One call at a time needs one connection; the first probe may have made another one, and ProFTPD's tickets run
    // out once.
    let mut last = pool(&engine).await;
    let settled = async || {
        last = pool(&engine).await;
        last["in_use"] == 0
    };
    eventually(LIMIT, "no connection is in use", settled).await;
    assert!(last["connects"].as_u64() <= Some(3), "{last}");
}

async fn files(ftp: &Ftp, server: &FtpServer) {
    let data = nasty();
    assert_eq!(ftp.put("a b.bin", data.clone()).await.expect("written"), data.len() as u64);
    assert_eq!(std::fs::read(server.file("a b.bin")).expect("it is there"), data, "as it was written");
    assert_eq!(ftp.get("a b.bin").await.expect("read"), data);
    assert_eq!(ftp.size("a b.bin").await.expect("a size"), data.len() as u64);
    assert_eq!(ftp.put("a b.bin", "short").await.expect("replaced"), 5);
    ftp.append("a b.bin", " and longer").await.expect("appended");
    assert_eq!(ftp.get("a b.bin").await.expect("read"), "short and longer");
    ftp.append("new.txt", "from nothing").await.expect("appended to what was not there");
    assert_eq!(ftp.put("empty", "").await.expect("written"), 0);
    assert_eq!(ftp.get("empty").await.expect("read"), "");
    assert_eq!(ftp.size("empty").await.expect("a size"), 0);
    ftp.put("grüße.txt", "hi").await.expect("a name beyond ASCII");
    assert!(server.file("grüße.txt").exists());
    for name in ["empty", "new.txt", "grüße.txt"] {
        ftp.delete(name).await.expect("deleted");
    }
}

async fn folders(ftp: &Ftp) {
    ftp.make_dir("in").await.expect("made");
    ftp.rename("a b.bin", "in/moved.bin").await.expect("moved");
    let top = ftp.list("").await.expect("listed");
    assert_eq!(top.len(), 1, "{top:?}");
    assert!(top[0].name == "in" && top[0].is_dir, "{top:?}");
    let inside = ftp.list("in").await.expect("listed");
    assert_eq!(inside.len(), 1, "{inside:?}");
    assert!(inside[0].name == "moved.bin" && !inside[0].is_dir && inside[0].size == 16, "{inside:?}");
    let age = config::Clock::System.now() - inside[0].modified.expect("servers say when");
    assert!(age.num_hours().abs() < 26, "{age}"); // LIST says it in the server's own time
    ftp.make_dir("in/empty").await.expect("made");
    assert_eq!(ftp.list("in/empty").await.expect("listed"), []);
    ftp.remove_dir("in/empty").await.expect("removed");
    let full = ftp.remove_dir("in").await.expect_err("it is not empty");
    assert!(matches!(full.kind(), ErrorKind::Upstream | ErrorKind::NotFound), "{full}");
    ftp.delete("in/moved.bin").await.expect("deleted");
    ftp.remove_dir("in").await.expect("removed");
    assert_eq!(ftp.list("").await.expect("listed"), []);
}

async fn missing(ftp: &Ftp) {
    let errors = [
        ("get", ftp.get("no-such").await.map(drop).expect_err("missing")),
        ("size", ftp.size("no-such").await.map(drop).expect_err("missing")),
        ("list", ftp.list("no-such").await.map(drop).expect_err("missing")),
        ("rename", ftp.rename("no-such", "other").await.expect_err("missing")),
        ("delete", ftp.delete("no-such").await.expect_err("missing")),
        ("remove_dir", ftp.remove_dir("no-such").await.expect_err("missing")),
    ];
    for (call, error) in errors {
        assert_eq!(error.kind(), ErrorKind::NotFound, "{call}: {error}");
        assert!(error.message().contains("no-such") && error.message().contains('5'), "{call}: {error}");
    }
    let nowhere = ftp.put("no-such/a.txt", "x").await.expect_err("no folder for it");
    assert_eq!(nowhere.kind(), ErrorKind::Upstream, "{nowhere}");
    let two = ftp.delete("a\r\nDELE b").await.expect_err("two commands");
    assert_eq!(two.kind(), ErrorKind::Invalid, "{two}");
}

#[tokio::test]
async fn vsftpd_in_the_clear() {
    every_call(Brand::Vsftpd, Tls::No, json!({})).await;
}

#[tokio::test]
async fn proftpd_in_the_clear() {
    every_call(Brand::Proftpd, Tls::No, json!({})).await;
}

#[tokio::test]
async fn pyftpdlib_in_the_clear() {
    every_call(Brand::Pyftpdlib, Tls::No, json!({})).await;
}

#[tokio::test]
async fn active_mode() {
    every_call(Brand::Pyftpdlib, Tls::No, json!({"mode": "active"})).await;
}

#[tokio::test]
async fn active_mode_with_tls() {
    every_call(Brand::Proftpd, Tls::Explicit, json!({"mode": "active"})).await;
}

#[tokio::test]
async fn extended_passive_mode() {
    every_call(Brand::Vsftpd, Tls::No, json!({"mode": "extended-passive"})).await;
}

#[tokio::test]
async fn vsftpd_with_explicit_tls_that_must_be_resumed() {
    every_call(Brand::Vsftpd, Tls::Explicit, json!({})).await;
}

#[tokio::test]
async fn vsftpd_with_implicit_tls_that_must_be_resumed() {
    every_call(Brand::Vsftpd, Tls::Implicit, json!({"server_name": "localhost"})).await;
}

#[tokio::test]
async fn proftpd_with_explicit_tls_that_must_be_resumed() {
    every_call(Brand::Proftpd, Tls::Explicit, json!({})).await;
}

#[tokio::test]
async fn proftpd_with_implicit_tls_that_must_be_resumed() {
    every_call(Brand::Proftpd, Tls::Implicit, json!({"host": "localhost"})).await;
}

#[tokio::test]
async fn a_server_of_tls_13_only_that_is_short_of_tickets_gets_other_connections() {
    let server = FtpServer::start(Brand::Proftpd, Tls::Only13).await;
    let engine = engine(&server, json!({})).await;
    for round in 0..10 {
        ftp(&engine).put("again.txt", format!("round {round}")).await.expect("written");
    }
    assert_eq!(ftp(&engine).get("again.txt").await.expect("read"), "round 9");
    let pool = pool(&engine).await;
    assert!(pool["connects"].as_u64() <= Some(8), "two uploads each, and one of the first probe: {pool}");
}

#[tokio::test]
async fn pyftpdlib_with_explicit_tls() {
    every_call(Brand::Pyftpdlib, Tls::Explicit, json!({"passive_address": "server"})).await;
}

#[tokio::test]
async fn a_server_of_another_ca_or_of_another_name_is_refused_unless_nobody_looks() {
    let server = FtpServer::start(Brand::Pyftpdlib, Tls::Explicit).await;
    let other = tempfile::tempdir().expect("a folder");
    let other = Ca::new("another CA").write(other.path()).to_string_lossy().into_owned();
    for changes in [json!({"ca": other}), json!({"ca": null}), json!({"server_name": "elsewhere.example"})] {
        let engine = engine(&server, changes.clone()).await;
        let error = ftp(&engine).get("a.txt").await.expect_err("it must not be trusted");
        assert_eq!(error.kind(), ErrorKind::Upstream, "{error}");
        assert!(error.message().contains("certificate") && !error.message().contains(PASSWORD), "{error}");
    }
    let engine = engine(&server, json!({"ca": null, "tls_verify": false})).await;
    ftp(&engine).put("a.txt", "x").await.expect("whoever it is");
}

#[tokio::test]
async fn a_ca_that_cannot_be_read_keeps_the_connection_from_starting() {
    let engine = Engine::start().await;
    let params = json!({"host": "127.0.0.1", "tls": "explicit", "ca": "/nonexistent/ca.pem"});
    let faults = engine.apply("connection/my.ftp", "connection.ftp", params).await;
    assert_eq!(faults.len(), 1, "{faults:?}");
    assert!(faults[0].message.contains("/nonexistent/ca.pem"), "{faults:?}");
}
