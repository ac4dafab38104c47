//! What servers refuse, and what they do in the middle: the caller is told, and the pool stays in order.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use sdk::{ErrorKind, Ftp};
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::Instant;
use tracing_subscriber::util::SubscriberInitExt as _;

use super::{LIMIT, engine, engine_to, ftp, pool};
use crate::kit::ftp::{Brand, FtpServer, PASSWORD, Tls, USER};
use crate::kit::ftp_script::{self, Act};
use crate::kit::process::eventually;

/// No probe comes in between.
const QUIET: &str = "1h";

#[tokio::test]
async fn a_wrong_password_is_told_without_the_password_and_not_tried_again_at_once() {
    let server = FtpServer::start(Brand::Pyftpdlib, Tls::No).await;
    let engine = engine(&server, json!({"password": "Wr0ng-Word"})).await;
    for _ in 0..5 {
        let error = ftp(&engine).get("a.txt").await.expect_err("it must not be let in");
        assert_eq!(error.kind(), ErrorKind::Upstream, "{error}");
        let shown = format!("{error} {error:?}");
        assert!(shown.contains(USER) && !shown.contains("Wr0ng-Word"), "{shown}");
    }
    let tries = server.said().matches("Authentication failed").count();
    assert!(tries <= 2, "the first probe and the first call, no more: {tries}\n{}", server.said());
    let right = json!({"host": "127.0.0.1", "port": server.port, "username": USER, "password": PASSWORD});
    assert_eq!(engine.apply("connection/my.ftp", "connection.ftp", right).await, []);
    ftp(&engine).put("a.txt", "x").await.expect("the right one is tried at once");
}

#[tokio::test]
async fn the_password_is_in_no_log_however_much_is_logged() {
    let log = tempfile::NamedTempFile::new().expect("a file");
    let file = Arc::new(log.reopen().expect("the same file"));
    let lines = tracing_subscriber::fmt().with_max_level(tracing::Level::TRACE).with_writer(file);
    let _listens = lines.finish().set_default();
    let server = FtpServer::start(Brand::Proftpd, Tls::Explicit).await;
    let right = engine(&server, json!({})).await;
    ftp(&right).put("a.txt", "x").await.expect("written");
    let wrong = engine(&server, json!({"password": "Wr0ng-Word"})).await;
    ftp(&wrong).put("a.txt", "x").await.expect_err("it must not be let in");
    let log = std::fs::read_to_string(log.path()).expect("a log");
    assert!(log.contains("CC OUT: STOR a.txt"), "the library logs each command:\n{log}");
    assert!(!log.contains(PASSWORD) && !log.contains("Wr0ng-Word"), "{log}");
}

#[tokio::test]
async fn more_calls_than_connections_wait_for_their_turn() {
    let server = FtpServer::start(Brand::Pyftpdlib, Tls::No).await;
    let engine = engine(&server, json!({"pool": 2, "keep_alive": QUIET})).await;
    let ftp = ftp(&engine);
    let round = async |number: usize| {
        let (name, data) = (format!("{number}.bin"), vec![number as u8; 300_000]);
        ftp.put(&name, data.clone()).await.expect("written");
        assert_eq!(ftp.get(&name).await.expect("read"), data);
    };
    join_all((0..16).map(round)).await;
    let pool = pool(&engine).await;
    assert!(pool["connects"].as_u64() <= Some(2), "{pool}");
    assert_eq!((&pool["in_use"], &pool["waiting"]), (&json!(0), &json!(0)), "{pool}");
}

#[tokio::test]
async fn who_waits_too_long_or_behind_too_many_is_told_so() {
    let server = FtpServer::start(Brand::Pyftpdlib, Tls::No).await;
    let engine = engine(&server, json!({"pool": 1, "keep_alive": QUIET})).await;
    ftp(&engine).put("big.bin", vec![7; 30_000_000]).await.expect("written");
    let mut stream = ftp(&engine).get_stream("big.bin").await.expect("begun");
    stream.read_exact(&mut [0; 10]).await.expect("its first bytes");

    let short: Ftp = engine.connection("my.ftp", Duration::from_millis(300));
    let late = short.size("big.bin").await.expect_err("the only connection is busy");
    assert_eq!(late.kind(), ErrorKind::Timeout, "{late}");
    assert!(late.message().contains("busy"), "{late}");

    let short: Ftp = engine.connection("my.ftp", Duration::from_secs(2));
    let outcomes = join_all((0..40).map(|_| short.size("big.bin"))).await;
    let kinds: Vec<ErrorKind> = outcomes.into_iter().map(|o| o.expect_err("busy").kind()).collect();
    let refused = kinds.iter().filter(|kind| **kind == ErrorKind::Unavailable).count();
    assert_eq!(refused, 15, "25 wait, the others are refused: {kinds:?}");

    drop(stream);
    assert_eq!(ftp(&engine).size("big.bin").await.expect("free again"), 30_000_000);
    let pool = pool(&engine).await;
    assert_eq!((&pool["in_use"], &pool["idle"]), (&json!(0), &json!(1)), "{pool}");
}

#[tokio::test]
async fn an_upload_that_is_given_up_or_whose_source_fails_leaves_the_pool_in_order() {
    let server = FtpServer::start(Brand::Pyftpdlib, Tls::No).await;
    let engine = engine(&server, json!({"pool": 1, "keep_alive": QUIET})).await;
    let (mut sink, source) = tokio::io::duplex(1 << 20);
    sink.write_all(&[1; 100_000]).await.expect("room for it");
    let short: Ftp = engine.connection("my.ftp", Duration::from_millis(500));
    let late = short.put_stream("half.bin", Box::pin(source)).await.expect_err("it never ends");
    assert_eq!(late.kind(), ErrorKind::Timeout, "{late}");
    ftp(&engine).put("whole.bin", "whole").await.expect("the pool is in order");

    let broken = tokio_util::io::StreamReader::new(futures_util::stream::iter([
        Ok(bytes::Bytes::from_static(b"some")),
        Err(std::io::Error::other("no more of it")),
    ]));
    let error = ftp(&engine).put_stream("half.bin", Box::pin(broken)).await.expect_err("the source failed");
    assert!(error.to_string().contains("no more of it"), "{error}");
    assert_eq!(ftp(&engine).get("whole.bin").await.expect("the pool is in order"), "whole");
}

#[tokio::test]
async fn an_upload_that_is_given_up_does_not_look_like_a_short_file() {
    let (told, mut ends) = tokio::sync::mpsc::unbounded_channel();
    let params = ftp_script::start(move |_, _, line| match line {
        "STOR half" => Act::TakeAll(told.clone()),
        _ => Act::Usual,
    })
    .await;
    let engine = engine_to(params, json!({"keep_alive": QUIET})).await;
    let (mut sink, source) = tokio::io::duplex(1 << 20);
    sink.write_all(&[1; 100_000]).await.expect("room for it");
    let short: Ftp = engine.connection("my.ftp", Duration::from_millis(500));
    short.put_stream("half", Box::pin(source)).await.expect_err("it never ends");
    let end = ends.recv().await.expect("told");
    assert_eq!(end.expect_err("not the end of a file").kind(), std::io::ErrorKind::ConnectionReset);
    assert_eq!(ftp(&engine).put("half", "whole").await.expect("written"), 5);
    assert_eq!(ends.recv().await.expect("told").expect("the end of a file"), 5);
}

#[tokio::test]
async fn a_connection_that_the_server_closed_while_idle_is_replaced() {
    let server = FtpServer::start_with_idle(Brand::Pyftpdlib, Tls::No, 1).await;
    let engine = engine(&server, json!({"keep_alive": QUIET})).await;
    ftp(&engine).put("a.txt", "x").await.expect("written");
    eventually(LIMIT, "the server closes it", async || server.said().contains("timed out")).await;
    assert_eq!(ftp(&engine).get("a.txt").await.expect("on another one"), "x");
}

#[tokio::test]
async fn a_connection_that_is_closed_under_the_first_command_is_replaced_once() {
    let params = ftp_script::start(|connection, _, line| match (connection, line) {
        (_, "SIZE first") => Act::Say("213 1"),
        (0 | 1, "SIZE second") => Act::HangUp,
        (_, "SIZE second") => Act::Say("213 2"),
        (_, "SIZE never") => Act::HangUp,
        _ => Act::Usual,
    })
    .await;
    let engine = engine_to(params, json!({"pool": 1, "keep_alive": QUIET})).await;
    let ftp = ftp(&engine);
    assert_eq!(ftp.size("first").await.expect("a size"), 1);
    // The second connection hangs up as well: that is not what servers do to idle ones, so the caller is told.
    let error = ftp.size("second").await.expect_err("it hangs up twice");
    assert_eq!(error.kind(), ErrorKind::Upstream, "{error}");
    assert_eq!(ftp.size("second").await.expect("a size"), 2);
    let error = ftp.size("never").await.expect_err("it hangs up always");
    assert_eq!(error.kind(), ErrorKind::Upstream, "{error}");
    assert_eq!(ftp.size("first").await.expect("a size"), 1, "and is still there for others");
}

#[tokio::test]
async fn a_transfer_counts_only_when_the_server_confirms_it_and_its_reason_is_told() {
    let params = ftp_script::start(|_, _, line| match line {
        "STOR full" => Act::TakeThenSay(70_000, "452 No space left on the device"),
        "RETR half" => Act::SendThenSay("half of it", "426 Connection closed; transfer aborted"),
        "RETR whole" => Act::SendThenSay("all of it", "226 done"),
        "RETR none" => Act::SendThenSay("", "550 File not found"),
        "RETR lost" => Act::SendThenSay("half", "550 File not found any more"),
        _ => Act::Usual,
    })
    .await;
    let engine = engine_to(params, json!({"keep_alive": QUIET})).await;
    let ftp = ftp(&engine);
    let full = ftp.put("full", vec![1; 20_000_000]).await.expect_err("it is full");
    assert_eq!(full.kind(), ErrorKind::Upstream, "{full}");
    assert!(full.message().contains("452 No space left on the device"), "{full}");
    let half = ftp.get("half").await.expect_err("not confirmed");
    assert_eq!(half.kind(), ErrorKind::Upstream, "{half}");
    assert!(half.message().contains("426 Connection closed"), "{half}");
    assert_eq!(ftp.get("whole").await.expect("confirmed"), "all of it");
    let none = ftp.get("none").await.expect_err("it looks for the file only then");
    assert_eq!(none.kind(), ErrorKind::NotFound, "{none}");
    let lost = ftp.get("lost").await.expect_err("not confirmed");
    assert_eq!(lost.kind(), ErrorKind::Upstream, "a file that was there is not missing: {lost}");
}

#[tokio::test]
async fn a_server_that_repeats_the_password_is_not_quoted_and_one_without_size_is_asked_otherwise() {
    let params = ftp_script::start(|_, _, line| match line {
        "PASS s3cret-Word" => Act::Say("530 s3cret-Word is wrong"),
        "PASS other" => Act::Say("230 come in"),
        "MLST a b" => Act::Say("250-here\r\n type=file;size=42; a b\r\n250 there"),
        _ => Act::Usual,
    })
    .await;
    let refused = engine_to(params.clone(), json!({})).await;
    let error = ftp(&refused).size("a b").await.expect_err("it must not be let in");
    assert!(error.message().contains("api") && !format!("{error:?}").contains("s3cret-Word"), "{error:?}");
    let engine = engine_to(params, json!({"password": "other"})).await;
    assert_eq!(ftp(&engine).size("a b").await.expect("a size"), 42);
}

#[tokio::test]
async fn a_deleted_connection_says_goodbye() {
    let server = FtpServer::start(Brand::Pyftpdlib, Tls::No).await;
    let engine = engine(&server, json!({"keep_alive": QUIET})).await;
    ftp(&engine).put("a.txt", "x").await.expect("written");
    let begun = Instant::now();
    assert_eq!(engine.delete("connection/my.ftp").await, []);
    assert!(begun.elapsed() < Duration::from_secs(5));
    let closed = || server.said().matches("FTP session closed (disconnect)").count();
    let opened = server.said().matches("FTP session opened (connect)").count();
    eventually(LIMIT, "all sessions are closed", async || closed() == opened).await;
}
