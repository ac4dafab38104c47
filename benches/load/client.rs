//! The client of the load harness: keep-alive connections that each send one request after another.

use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// What one round of one server gave.
pub struct Sample {
    pub per_second: f64,
    pub p50_us: f64,
    pub p99_us: f64,
    /// User and system time of the server, per request.
    pub cpu_us: f64,
}

/// The middle one.
pub fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut all: Vec<f64> = values.collect();
    all.sort_by(f64::total_cmp);
    all.get(all.len() / 2).copied().unwrap_or(f64::NAN)
}

/// Loads the server at `address`, whose process is `pid`, as much as it can take for this time.
#[allow(clippy::disallowed_methods)] // a program of its own
pub fn load(address: &str, pid: u32, variant: &str, connections: usize, time: Duration) -> Sample {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let request = request(variant, address);
    runtime.block_on(async {
        let before = cpu_ns(pid);
        let begun = Instant::now();
        let end = begun + time;
        let tasks: Vec<_> = (0..connections)
            .map(|_| tokio::spawn(client(address.to_owned(), request.clone(), end)))
            .collect();
        let mut latencies = Vec::new();
        for task in tasks {
            latencies.extend(task.await.expect("a client"));
        }
        sample(latencies, begun.elapsed(), cpu_ns(pid) - before)
    })
}

/// What these latencies, in nanoseconds, come to, and the time that the server has spent.
#[allow(clippy::cast_precision_loss)] // figures for people
pub fn sample(mut latencies: Vec<u64>, took: Duration, spent_ns: u64) -> Sample {
    latencies.sort_unstable();
    let count = latencies.len();
    let at = |share: f64| latencies[((count - 1) as f64 * share) as usize] as f64 / 1000.0;
    Sample {
        per_second: count as f64 / took.as_secs_f64(),
        p50_us: at(0.5),
        p99_us: at(0.99),
        cpu_us: spent_ns as f64 / 1000.0 / count as f64,
    }
}

/// The same request for all: about 200 bytes, a JSON object.
pub fn request(variant: &str, address: &str) -> Vec<u8> {
    let body = format!(r#"{{"cust_id": 17, "verbose": true, "note": "{}"}}"#, "x".repeat(150));
    // clerk:s3cret
    let authorization = match variant {
        "basic" | "hashed" => "authorization: Basic Y2xlcms6czNjcmV0\r\n".to_owned(),
        "key" | "limited" => "x-api-key: s3cret\r\n".to_owned(),
        "vault" => format!("x-zato-vault-token: {}\r\n", super::counterparts::TOKEN),
        "jwt" => format!("authorization: Bearer {}\r\n", token(address)),
        _ => String::new(),
    };
    let path = if variant.starts_with("route") { "/customer5000/x" } else { "/customer" };
    format!(
        "POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n{authorization}content-length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

/// A token of the server.
fn token(address: &str) -> String {
    let body = r#"{"username": "web", "password": "s3cret"}"#;
    let mut stream = std::net::TcpStream::connect(address).expect("a connection");
    let head =
        "POST /api/token HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-type: application/json";
    std::io::Write::write_all(
        &mut stream,
        format!("{head}\r\ncontent-length: {}\r\n\r\n{body}", body.len()).as_bytes(),
    )
    .expect("sent");
    let mut answer = String::new();
    std::io::Read::read_to_string(&mut stream, &mut answer).expect("an answer");
    let token = answer.lines().find_map(|line| line.strip_prefix("authorization: "));
    token.unwrap_or_else(|| panic!("no token: {answer}")).to_owned()
}

/// One connection until `end`; returns the latency of each request in nanoseconds.
#[allow(clippy::disallowed_methods)] // real time is what is measured
async fn client(address: String, request: Vec<u8>, end: Instant) -> Vec<u64> {
    let mut stream = TcpStream::connect(&address).await.expect("a connection");
    stream.set_nodelay(true).expect("no delay");
    let (mut latencies, mut buffer) = (Vec::with_capacity(100_000), Vec::with_capacity(4096));
    while Instant::now() < end {
        let begun = Instant::now();
        stream.write_all(&request).await.expect("sent");
        buffer.clear();
        loop {
            assert!(stream.read_buf(&mut buffer).await.expect("read") > 0, "the server has hung up");
            if let Some(length) = whole(&buffer) {
                assert!(buffer.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&buffer));
                assert_eq!(buffer.len(), length);
                break;
            }
        }
        latencies.push(u64::try_from(begun.elapsed().as_nanos()).unwrap_or(u64::MAX));
    }
    latencies
}

/// The length of a whole response, once it is there.
pub fn whole(buffer: &[u8]) -> Option<usize> {
    let head = buffer.windows(4).position(|w| w == b"\r\n\r\n")? + 4;
    let text = std::str::from_utf8(&buffer[..head]).ok()?;
    let named = |line: &str| {
        let (name, value) = line.split_once(": ")?;
        name.eq_ignore_ascii_case("content-length").then(|| value.parse::<usize>().ok())?
    };
    let length = text.lines().find_map(named)?;
    (buffer.len() >= head + length).then_some(head + length)
}

/// What a process and those that it has started have spent on processors so far, in nanoseconds.
pub fn cpu_ns(pid: u32) -> u64 {
    let mut tree = vec![pid];
    let started: Vec<(u32, u32)> =
        std::fs::read_dir("/proc").expect("processes").filter_map(parentage).collect();
    let mut at = 0;
    while let Some(parent) = tree.get(at).copied() {
        tree.extend(started.iter().filter(|(_, by)| *by == parent).map(|(pid, _)| *pid));
        at += 1;
    }
    tree.into_iter().map(spent_ns).sum()
}

/// A process, and the one that has started it.
fn parentage(entry: std::io::Result<std::fs::DirEntry>) -> Option<(u32, u32)> {
    let path = entry.ok()?.path();
    let pid = path.file_name()?.to_str()?.parse().ok()?;
    let stat = std::fs::read_to_string(path.join("stat")).ok()?;
    // Behind the name, which may hold anything: state, parent.
    let parent = stat.rsplit_once(") ")?.1.split(' ').nth(1)?.parse().ok()?;
    Some((pid, parent))
}

/// What the threads of one process have spent: by the scheduler's own count, since the times in `stat` are only sampled a
/// hundred times a second.
fn spent_ns(pid: u32) -> u64 {
    let Ok(tasks) = std::fs::read_dir(format!("/proc/{pid}/task")) else { return 0 };
    let spent = |task: std::io::Result<std::fs::DirEntry>| {
        let stat = std::fs::read_to_string(task.ok()?.path().join("schedstat")).ok()?;
        stat.split(' ').next()?.parse::<u64>().ok()
    };
    tasks.filter_map(spent).sum()
}
