//! `curl --data-binary @file` to `/ftp` stores the very bytes on a real FTP server.

use std::path::Path;

use crate::kit::ftp::{Brand, FtpServer, Tls};
use crate::kit::program::Program;

use super::{bundle, send, server, stored};

/// Every byte there is, between line ends of both kinds.
fn binary() -> Vec<u8> {
    (0..=255).chain(*b"\r\n\n\r\xff\xfe\0\r\n").cycle().take(100_003).collect()
}

/// So many bytes that compress badly and are the same each time.
fn large(length: usize) -> Vec<u8> {
    let mut random = fastrand::Rng::with_seed(7);
    std::iter::repeat_with(|| random.u8(..)).take(length).collect()
}

/// Sends these bytes, and compares what is on the server's disk with them.
fn arrives(node: &Program, server: &FtpServer, bytes: &[u8]) {
    let file = node.folder.path().join("sent");
    std::fs::write(&file, bytes).expect("written");
    let answer = send(node, &file).send().ok();
    let cid = answer.header("X-Zeugma-CID").expect("a cid").to_owned();
    let answer = answer.json();
    assert_eq!(answer["size"], bytes.len());
    assert!(answer["path"].as_str().is_some_and(|path| path.ends_with(&cid)), "{answer} of {cid}");
    let there = std::fs::read(stored(server, &answer)).expect("the file on the server's disk");
    assert!(there == bytes, "{} bytes are not the {} bytes that were sent", there.len(), bytes.len());
}

fn files_in(folder: &Path) -> usize {
    std::fs::read_dir(folder).map_or(0, Iterator::count)
}

#[tokio::test]
async fn any_bytes_reach_a_server_in_the_clear() {
    let server = server(Brand::Proftpd, Tls::No).await;
    let node = Program::start(&[]);
    node.apply(&bundle(&server));
    assert!(!server.file("home").exists(), "the folder is missing before the first request");
    arrives(&node, &server, &binary());
    arrives(&node, &server, b"");
    arrives(&node, &server, &large(50_000_000));
    assert_eq!(files_in(&server.file("home/api")), 3);
    assert_eq!(node.stop(), 0);
}

#[tokio::test]
async fn any_bytes_reach_a_server_by_explicit_tls() {
    let server = server(Brand::Pyftpdlib, Tls::Explicit).await;
    let node = Program::start(&[]);
    node.apply(&bundle(&server));
    arrives(&node, &server, &binary());
    arrives(&node, &server, b"");
    arrives(&node, &server, &large(50_000_000));
    assert_eq!(files_in(&server.file("home/api")), 3);
    assert_eq!(node.stop(), 0);
}

#[tokio::test]
async fn the_first_requests_may_come_all_at_once() {
    let server = server(Brand::Proftpd, Tls::No).await;
    let node = Program::start(&[]);
    node.apply(&bundle(&server));
    let file = node.write("sent", "one of many");
    let all: Vec<_> = (0..8).map(|_| send(&node, &file).begin()).collect();
    for request in all {
        request.end().ok();
    }
    assert_eq!(files_in(&server.file("home/api")), 8);
}

#[tokio::test]
async fn who_may_not_call_stores_nothing() {
    let server = server(Brand::Proftpd, Tls::Explicit).await;
    let node = Program::start(&[]);
    node.apply(&bundle(&server));
    let file = node.write("sent", "by a stranger");
    assert_eq!(node.curl("/ftp").file(&file).send().status, 401);
    assert_eq!(node.curl("/ftp").with(&["--user", "clerk:wrong"]).file(&file).send().status, 401);
    assert!(!server.file("home").exists());
    arrives(&node, &server, b"by the clerk");
}
