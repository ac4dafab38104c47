//! A node that is told to stop lets what is under way finish; told twice, it stops at once.

use std::time::Duration;

use tempfile::TempDir;

use crate::kit::curl::{Answer, UnderWay};
use crate::kit::ftp::{Brand, Tls};
use crate::kit::process::eventually;
use crate::kit::program::Program;

use super::{bundle, send, server, stored};

/// Begins to send 600 kB at this rate, and waits until the node is reading them.
async fn slow_upload(node: &Program, rate: &str) -> UnderWay {
    let file = node.write("sent", &"slow ".repeat(120_000));
    let upload = send(node, &file).with(&["--limit-rate", rate]).begin();
    eventually(Duration::from_secs(10), "the upload is under way", async || {
        node.actor("channel", "ftp-handler")["in_flight"] == 1
    })
    .await;
    upload
}

async fn stopping(node: &Program) {
    eventually(Duration::from_secs(5), "the node has heard it", async || {
        node.log().contains("a second signal stops at once")
    })
    .await;
}

#[tokio::test]
async fn a_slow_upload_is_finished_before_the_node_ends() {
    let server = server(Brand::Proftpd, Tls::No).await;
    let mut node = Program::start(&["--log", "info"]);
    node.apply(&bundle(&server));
    let upload = slow_upload(&node, "120k").await;

    node.signal("TERM");
    stopping(&node).await;
    eventually(Duration::from_secs(5), "nobody new gets in", async || {
        let refused: Answer = node.curl("/ftp").send();
        refused.exit == 7 // curl's word for a connection that is refused
    })
    .await;
    let answer = upload.end().ok().json();
    let there = std::fs::read(stored(&server, &answer)).expect("the file");
    assert_eq!(there.len(), 600_000);
    assert_eq!(node.ended(Duration::from_secs(10)).code(), Some(0), "{}", node.log());
}

#[tokio::test]
async fn a_second_signal_stops_at_once() {
    let server = server(Brand::Proftpd, Tls::No).await;
    let mut node = Program::start(&["--log", "info"]);
    node.apply(&bundle(&server));
    let upload = slow_upload(&node, "10k").await; // a minute, if it were let

    node.signal("TERM");
    stopping(&node).await;
    node.signal("TERM");
    let status = node.ended(Duration::from_secs(5));
    assert_eq!(status.code(), Some(1), "{}", node.log());
    assert!(node.log().contains("stopped at once"), "{}", node.log());
    let cut_off = upload.end();
    assert!(cut_off.exit != 0 && cut_off.status != 200, "{cut_off:?}");
    // The files are in order: what was applied is there.
    let folder = std::mem::replace(&mut node.folder, TempDir::new().expect("a folder"));
    let node = Program::start_in(folder, &[]);
    assert!(node.good(&["get", "connection"]).contains("my.ftp"));
}
