//! Figures that are not about load: start, idle memory, and how long changes take.

use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::Server;
use super::client::median;
use super::counterparts::Counterparts;
use super::serve::{apply, start};

/// Measures and prints them.
#[allow(clippy::disallowed_methods)] // real time is what is measured
pub fn print() {
    println!();
    let starts = (0..5).map(|_| {
        let begun = Instant::now();
        let server = Server::start("rest", &Counterparts::default(), 2);
        let mut stream = std::net::TcpStream::connect(&server.address).expect("a connection");
        let request = "POST /customer HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 13\r\n\r\n{\"cust_id\":1}";
        std::io::Write::write_all(&mut stream, request.as_bytes()).expect("sent");
        let mut first = [0; 12];
        std::io::Read::read_exact(&mut stream, &mut first).expect("an answer");
        assert_eq!(&first, b"HTTP/1.1 200");
        begun.elapsed().as_secs_f64() * 1000.0
    });
    println!("start of a process to the first answered request (median of 5): {:.0} ms", median(starts));

    let server = Server::start("rest", &Counterparts::default(), 2);
    std::thread::sleep(Duration::from_secs(2)); // idle is what is measured
    let status = std::fs::read_to_string(format!("/proc/{}/status", server.child.id())).expect("a status");
    let kb = status
        .lines()
        .find_map(|l| l.strip_prefix("VmRSS:"))
        .and_then(|l| l.trim().trim_end_matches(" kB").parse::<f64>().ok());
    println!("resident memory of an idle node: {:.1} MB", kb.unwrap_or(f64::NAN) / 1000.0);
    drop(server);

    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let runtime = runtime.expect("a runtime");
    for definitions in [1_000, 10_000] {
        runtime.block_on(changes(definitions));
    }
}

#[allow(clippy::disallowed_methods)] // real time is what is measured
async fn changes(definitions: usize) {
    let folder = tempfile::TempDir::new().expect("a folder");
    let node = start(folder.path(), None).await;
    let list: String = (0..definitions)
        .map(|n| format!("- {{name: c{n}, type: rest, path: /c{n}, service: direct, data_format: json}}\n"))
        .collect();
    let begun = Instant::now();
    apply(&node, &format!("channels:\n{list}")).await;
    println!(
        "{definitions} definitions in one bundle, stored and served: {:.0} ms",
        begun.elapsed().as_secs_f64() * 1000.0
    );

    let mut all = Vec::new();
    for n in 0..200 {
        let begun = Instant::now();
        let channel =
            format!("channels: [{{name: x, type: rest, path: /x{n}, service: direct, data_format: json}}]");
        apply(&node, &channel).await;
        let mut stream = tokio::net::TcpStream::connect(node.data).await.expect("a connection");
        let request = format!(
            "POST /x{n} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 13\r\n\r\n{{\"cust_id\":1}}"
        );
        stream.write_all(request.as_bytes()).await.expect("sent");
        let mut first = [0; 12];
        stream.read_exact(&mut first).await.expect("an answer");
        assert_eq!(&first, b"HTTP/1.1 200");
        all.push(begun.elapsed().as_secs_f64() * 1000.0);
    }
    all.sort_by(f64::total_cmp);
    println!(
        "one change among {definitions} definitions, to its first answered request: median {:.2} ms, 99 % {:.2} ms",
        all[100], all[197]
    );
    assert!(node.stop().await);
}
