//! What a cluster costs: Redis and three nodes as processes. How long a change takes until all of them serve it while
//! each is under load, how long a node takes to join with 10,000 definitions, and what an idle node asks of Redis.
//!
//! `cargo bench --bench cluster`; `-- --changes 1000 --connections 2 --pause-ms 2 --definitions 10000` is what it does if
//! nobody says otherwise. A request that is answered by anything but what is expected ends it.

#![allow(missing_docs, unreachable_pub)] // a program, not a library
#![allow(clippy::disallowed_methods)] // real time is what is measured

mod nodes;
mod wire;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use nodes::{Arguments, Redis, Served};
use serde_json::Value;

fn main() {
    let Some(arguments) = Arguments::read() else { return };
    let number = |name, default| arguments.number(name, default);
    let folder = tempfile::TempDir::new().expect("a folder");
    let redis = Redis::start(&folder.path().join("redis"));
    let start = |name: &str| Served::start(folder.path(), redis.port, name);
    let cluster = ["a", "b", "c"].map(start);
    settle(&cluster);

    idle(redis.port, cluster.len());
    let (connections, pause) = (number("--connections", 2), Duration::from_millis(number("--pause-ms", 2)));
    changes(&cluster, number("--changes", 1_000), connections, pause);
    joins(&cluster[0], number("--definitions", 10_000), start);
}

/// Waits until each node knows of all the others, and all serve a first channel.
fn settle(cluster: &[Served]) {
    let begun = Instant::now();
    for node in cluster {
        while change(node, "/first").1 < cluster.len() {
            assert!(begun.elapsed() < Duration::from_secs(30), "the nodes do not find each other");
            std::thread::sleep(Duration::from_millis(100));
        }
    }
}

fn channel(path: &str) -> String {
    format!(r#"{{"type": "rest", "path": "{path}", "service": "zeugma.ping"}}"#)
}

/// Makes one change and waits for its receipt: the longest time of a node, in milliseconds, and how many serve it.
fn change(node: &Served, path: &str) -> (f64, usize) {
    put(&mut node.admin(), path)
}

fn put(admin: &mut wire::Wire, path: &str) -> (f64, usize) {
    let name = path.trim_start_matches('/');
    let address =
        format!("/api/v1/definitions/channel/{}?wait=10s", if name == "first" { "first" } else { "x" });
    let (status, body) = admin.ask("PUT", &address, &channel(path)).expect("an answer");
    assert!(status == 200 || status == 201, "{status}: {body}");
    let outcome: Value = serde_json::from_str(&body).expect("JSON");
    let receipt = &outcome["receipt"];
    assert_eq!(receipt["settled"], true, "{outcome}");
    let nodes = receipt["nodes"].as_array().expect("a list");
    let longest = nodes.iter().filter_map(|node| node["ms"].as_f64()).fold(0.0, f64::max);
    (longest, nodes.len())
}

/// Changes one channel again and again, under load, and asks every node for the new path as soon as the receipt is there.
fn changes(cluster: &[Served], count: u64, connections: u64, pause: Duration) {
    let stop = Arc::new(AtomicBool::new(false));
    let (answered, failed) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let load: Vec<_> = cluster
        .iter()
        .flat_map(|node| (0..connections).map(|_| node.data()))
        .map(|mut wire| {
            let (stop, answered, failed) = (stop.clone(), answered.clone(), failed.clone());
            std::thread::spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    match wire.ask("GET", "/first", "") {
                        Ok((200, body)) if body.contains("pong") => answered.fetch_add(1, Ordering::Relaxed),
                        other => {
                            eprintln!("a request failed: {other:?}");
                            failed.fetch_add(1, Ordering::Relaxed)
                        }
                    };
                    std::thread::sleep(pause);
                }
            })
        })
        .collect();
    let mut admin = cluster[0].admin();
    let mut visitors: Vec<_> = cluster.iter().map(Served::data).collect();
    let (mut by_client, mut by_receipt) = (Vec::new(), Vec::new());
    let begun = Instant::now();
    for n in 0..count {
        let asked = Instant::now();
        let path = format!("/changed{n}");
        let (longest, nodes) = put(&mut admin, &path);
        by_client.push(asked.elapsed().as_secs_f64() * 1000.0);
        by_receipt.push(longest);
        assert_eq!(nodes, cluster.len(), "change {n}");
        for (at, visitor) in visitors.iter_mut().enumerate() {
            let (status, body) = visitor.ask("GET", &path, "").expect("an answer");
            if status != 200 {
                eprintln!("change {n} is not served by node {at}, in spite of its receipt: {status} {body}");
                failed.fetch_add(1, Ordering::Relaxed);
            }
        }
    }
    let took = begun.elapsed().as_secs_f64();
    stop.store(true, Ordering::Relaxed);
    load.into_iter().for_each(|thread| thread.join().expect("a client"));
    let answered = answered.load(Ordering::Relaxed);
    println!(
        "{count} changes on 3 nodes in {took:.1} s, with {:.0} requests/s beside them",
        answered as f64 / took
    );
    for (what, mut all) in [
        ("commit to served on 3 of 3, by the receipt", by_receipt),
        ("request to receipt, at the client", by_client),
    ] {
        all.sort_by(f64::total_cmp);
        let at = |share: f64| all[((all.len() - 1) as f64 * share) as usize];
        println!("  {what}: p50 {:.2} ms, p99 {:.2} ms, most {:.2} ms", at(0.5), at(0.99), at(1.0));
    }
    println!("  failed requests: {} of {}", failed.load(Ordering::Relaxed), answered + count * 3);
}

/// What nodes ask of Redis while nothing happens.
fn idle(port: u16, nodes: usize) {
    const SECONDS: u64 = 10;
    std::thread::sleep(Duration::from_secs(3));
    wire::redis(port, "CONFIG RESETSTAT").expect("Redis answers");
    std::thread::sleep(Duration::from_secs(SECONDS));
    let stats = wire::redis(port, "INFO commandstats").expect("Redis answers");
    let mut all: Vec<(u64, &str)> = stats
        .lines()
        .filter_map(|line| line.strip_prefix("cmdstat_")?.split_once(":calls="))
        .filter(|(name, _)| !name.starts_with("info") && !name.starts_with("config"))
        .filter_map(|(name, rest)| Some((rest.split(',').next()?.parse().ok()?, name)))
        .collect();
    all.sort_unstable_by(|a, b| b.cmp(a));
    let per_node = |calls: u64| calls as f64 / SECONDS as f64 / nodes as f64;
    let each: Vec<String> =
        all.iter().map(|(calls, name)| format!("{name} {:.1}", per_node(*calls))).collect();
    let total: u64 = all.iter().map(|(calls, _)| calls).sum();
    println!(
        "an idle node asks Redis for {:.1} commands a second, those within scripts included:",
        per_node(total)
    );
    println!("  {}", each.join(", "));
}

/// How long a node takes from the start of its process to its first answer, with this many definitions in the store.
fn joins(node: &Served, definitions: u64, start: impl Fn(&str) -> Served) {
    let list: String = (0..definitions)
        .map(|n| format!("- {{name: c{n}, type: rest, path: /c{n}, service: zeugma.ping}}\n"))
        .collect();
    let begun = Instant::now();
    let (status, body) =
        node.admin().ask("POST", "/api/v1/apply?wait=60s", &format!("channels:\n{list}")).expect("an answer");
    assert_eq!(status, 200, "{}", body.chars().take(500).collect::<String>());
    println!(
        "{definitions} definitions in one bundle, served on 3 of 3: {:.0} ms",
        begun.elapsed().as_secs_f64() * 1000.0
    );
    for (name, how) in [("d", "new"), ("d", "with what it saw last"), ("e", "new"), ("f", "new")] {
        let begun = Instant::now();
        let joined = start(name);
        let (status, body) =
            joined.data().ask("GET", &format!("/c{}", definitions - 1), "").expect("an answer");
        assert_eq!(status, 200, "{body}");
        println!(
            "  a node ({how}) serves all of them {:.0} ms after its process started",
            begun.elapsed().as_secs_f64() * 1000.0
        );
    }
}
