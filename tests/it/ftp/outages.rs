//! Servers that are away, die in the middle or stop answering: told soon, and over by itself when they are back.

use std::time::Duration;

use sdk::{Error, ErrorKind};
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::Instant;

use super::{LIMIT, engine, ftp, pool};
use crate::kit::engine::Engine;
use crate::kit::ftp::{Brand, FtpServer, Tls};
use crate::kit::process::eventually;

/// A call that fails must say so within this time.
const SOON: Duration = Duration::from_secs(3);
/// The longest pause between two probes is a little over 5 seconds.
const BACK: Duration = Duration::from_secs(15);

/// Writes until it works, and answers how many calls failed before. Each says what happened to it.
async fn until_it_is_back(engine: &Engine, server: &FtpServer) -> Vec<Error> {
    let (mut errors, mut number) = (Vec::new(), 0);
    eventually(BACK, "the connection works again", async || {
        number += 1;
        let name = format!("again {number}.txt");
        match ftp(engine).put(&name, "I am back").await {
            Ok(_) => {
                assert_eq!(
                    std::fs::read(server.file(&name)).expect("what is confirmed is there"),
                    b"I am back"
                );
                true
            }
            Err(error) => {
                errors.push(error);
                false
            }
        }
    })
    .await;
    errors
}

#[tokio::test]
async fn a_server_that_is_away_at_the_start_is_found_when_it_comes() {
    let mut server = FtpServer::start(Brand::Pyftpdlib, Tls::No).await;
    server.kill();
    let engine = engine(&server, json!({})).await;
    let begun = Instant::now();
    for _ in 0..20 {
        let error = ftp(&engine).put("a.txt", "x").await.expect_err("nobody is there");
        assert_eq!(error.kind(), ErrorKind::Upstream, "{error}");
        assert!(error.message().contains(&server.port.to_string()), "{error}");
    }
    assert!(begun.elapsed() < SOON, "each fails at once: {:?}", begun.elapsed());
    server.restart().await;
    let errors = until_it_is_back(&engine, &server).await;
    assert!(errors.iter().all(|error| error.kind() == ErrorKind::Upstream), "{errors:?}");
}

#[tokio::test]
async fn a_server_that_dies_in_an_upload_and_a_download_is_told_of_and_comes_back() {
    let mut server = FtpServer::start(Brand::Pyftpdlib, Tls::No).await;
    let engine = engine(&server, json!({"timeout": "2s"})).await;
    ftp(&engine).put("big.bin", vec![7; 60_000_000]).await.expect("written");
    let mut download = ftp(&engine).get_stream("big.bin").await.expect("begun");
    download.read_exact(&mut [0; 1000]).await.expect("its first bytes");
    let (mut sink, source) = tokio::io::duplex(100_000);
    let handle = ftp(&engine);
    let upload = async { handle.put_stream("up.bin", Box::pin(source)).await };
    let die = async {
        sink.write_all(&[1; 300_000]).await.expect("it is taken");
        server.kill();
        // More than fits anywhere on the way; ends when the upload lets go of its source.
        drop(sink.write_all(&vec![1; 100_000_000]).await);
        Instant::now()
    };
    let (outcome, died) = tokio::join!(upload, die);
    let error = outcome.expect_err("the server is dead");
    assert_eq!(error.kind(), ErrorKind::Upstream, "{error}");
    let mut rest = Vec::new();
    let broken = download.read_to_end(&mut rest).await.expect_err("the server is dead");
    assert!(rest.len() < 59_000_000 && broken.kind() != std::io::ErrorKind::TimedOut, "{broken}");
    assert!(died.elapsed() < SOON, "{:?}", died.elapsed());
    drop(download);
    server.restart().await;
    until_it_is_back(&engine, &server).await;
    let pool = pool(&engine).await;
    assert_eq!(pool["waiting"], 0, "{pool}");
}

#[tokio::test]
async fn a_server_that_stops_answering_costs_one_time_out_and_is_used_again_when_it_goes_on() {
    let server = FtpServer::start(Brand::Pyftpdlib, Tls::No).await;
    let engine = engine(&server, json!({"timeout": "1s", "connect_timeout": "1s", "keep_alive": "1h"})).await;
    ftp(&engine).put("a.txt", "x").await.expect("written");
    server.pause();
    let begun = Instant::now();
    let error = ftp(&engine).get("a.txt").await.expect_err("no answer");
    assert_eq!(error.kind(), ErrorKind::Timeout, "{error}");
    assert!(begun.elapsed() > Duration::from_millis(900) && begun.elapsed() < SOON, "{:?}", begun.elapsed());
    let begun = Instant::now();
    for _ in 0..20 {
        let error = ftp(&engine).get("a.txt").await.expect_err("known to be away");
        assert_eq!(error.kind(), ErrorKind::Upstream, "{error}");
        assert!(error.wait().is_some(), "says when to try again: {error}");
    }
    assert!(begun.elapsed() < Duration::from_millis(500), "they fail at once: {:?}", begun.elapsed());
    server.resume();
    until_it_is_back(&engine, &server).await;
}

#[tokio::test]
async fn a_transfer_that_stands_still_is_ended_and_one_that_goes_on_slowly_is_not() {
    let server = FtpServer::start(Brand::Pyftpdlib, Tls::No).await;
    let engine = engine(&server, json!({"timeout": "1s", "keep_alive": "1h"})).await;
    // Slow, and longer than the time-out in all: the server waits for us, which is no fault of its.
    let (mut sink, source) = tokio::io::duplex(10);
    let handle = ftp(&engine);
    let slowly = async {
        for byte in 0..4 {
            sink.write_all(&[byte; 10]).await.expect("it is taken");
            tokio::time::sleep(Duration::from_millis(400)).await;
        }
        drop(sink);
    };
    let (sent, ()) = tokio::join!(handle.put_stream("slow.bin", Box::pin(source)), slowly);
    assert_eq!(sent.expect("written"), 40);

    ftp(&engine).put("big.bin", vec![7; 30_000_000]).await.expect("written");
    let mut download = ftp(&engine).get_stream("big.bin").await.expect("begun");
    server.pause();
    let begun = Instant::now();
    let still = download.read_to_end(&mut Vec::new()).await.expect_err("it stands still");
    assert_eq!(still.kind(), std::io::ErrorKind::TimedOut, "{still}");
    assert!(begun.elapsed() < SOON, "{:?}", begun.elapsed());
    server.resume();
    until_it_is_back(&engine, &server).await;
}

#[tokio::test]
async fn a_server_whose_every_process_dies_is_found_again_over_tls() {
    let mut server = FtpServer::start(Brand::Proftpd, Tls::Explicit).await;
    let engine = engine(&server, json!({})).await;
    ftp(&engine).put("a.txt", "x").await.expect("written");
    server.kill();
    let error = ftp(&engine).get("a.txt").await.expect_err("it is dead");
    assert_eq!(error.kind(), ErrorKind::Upstream, "{error}");
    server.restart().await;
    until_it_is_back(&engine, &server).await;
    assert_eq!(
        tokio::time::timeout(LIMIT, ftp(&engine).get("a.txt")).await.expect("in time").expect("read"),
        "x"
    );
}
