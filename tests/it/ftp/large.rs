//! Large files: they pass through, and this process stays small.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use serde_json::json;
use tokio::io::{AsyncRead, AsyncReadExt as _, ReadBuf};

use super::{engine, ftp, pool};
use crate::kit::ftp::{Brand, FtpServer, Tls};
use crate::kit::process::{alone, memory};

/// How much this process may grow, whatever the size of the file.
const GROWTH: u64 = 60_000_000;
/// The length of the pattern; a prime, so that no buffer's size divides it.
const PERIOD: usize = 65_537;

/// Bytes that tell where in the file they are, made as they are read.
struct Pattern {
    block: Vec<u8>,
    at: usize,
    size: usize,
}

impl Pattern {
    fn new(size: usize) -> Self {
        let block = (0..PERIOD).map(|i| (i * 31 + i / 256) as u8).collect();
        Self { block, at: 0, size }
    }

    /// The next bytes, at most so many.
    fn next(&mut self, most: usize) -> &[u8] {
        let begin = self.at % PERIOD;
        let end = (begin + most.min(self.size - self.at)).min(PERIOD);
        self.at += end - begin;
        &self.block[begin..end]
    }
}

impl AsyncRead for Pattern {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let bytes = self.next(buf.remaining());
        buf.put_slice(bytes);
        Poll::Ready(Ok(()))
    }
}

async fn there_and_back(brand: Brand, tls: Tls, size: usize) {
    let server = FtpServer::start(brand, tls).await;
    let engine = engine(&server, json!({"timeout": "5s"})).await;
    ftp(&engine).put("warm.bin", vec![1; 1_000_000]).await.expect("written");
    let (before, _) = memory();
    let sent = ftp(&engine).put_stream("large.bin", Box::pin(Pattern::new(size))).await.expect("written");
    assert_eq!(sent, size as u64);
    assert_eq!(std::fs::metadata(server.file("large.bin")).expect("it is there").len(), size as u64);
    let mut stream = ftp(&engine).get_stream("large.bin").await.expect("begun");
    let (mut expected, mut chunk) = (Pattern::new(size), vec![0; 256 * 1024]);
    loop {
        let read = stream.read(&mut chunk).await.expect("read");
        if read == 0 {
            break;
        }
        let mut got = &chunk[..read];
        while !got.is_empty() {
            let part = expected.next(got.len());
            assert!(!part.is_empty() && got.starts_with(part), "another byte before {}", expected.at);
            got = &got[part.len()..];
        }
    }
    assert_eq!(expected.at, size);
    let (_, most) = memory();
    assert!(most < before + GROWTH, "from {before} to {most} bytes of memory");
    let pool = pool(&engine).await;
    assert!(pool["connects"].as_u64() <= Some(3), "{pool}");
}

#[tokio::test]
async fn two_hundred_megabytes_in_the_clear() {
    if alone("ftp::large::two_hundred_megabytes_in_the_clear") {
        there_and_back(Brand::Vsftpd, Tls::No, 200_000_000).await;
    }
}

#[tokio::test]
async fn two_hundred_megabytes_with_tls() {
    if alone("ftp::large::two_hundred_megabytes_with_tls") {
        there_and_back(Brand::Vsftpd, Tls::Explicit, 200_000_000).await;
    }
}

#[tokio::test]
async fn fifty_megabytes_with_tls_the_older_way() {
    if alone("ftp::large::fifty_megabytes_with_tls_the_older_way") {
        there_and_back(Brand::Proftpd, Tls::Implicit, 50_000_000).await;
    }
}
