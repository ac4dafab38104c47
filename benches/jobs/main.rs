//! What jobs cost: how many slots a second one Redis decides, how late a thousand jobs a second are fired, how many a
//! second three nodes fire, and what a hundred thousand idle ones take of a node.
//!
//! `cargo bench --bench jobs`; `-- --seconds 20 --idle 100000 --many 20000` is what it does if nobody says otherwise.

#![allow(missing_docs, unreachable_pub, dead_code)] // a program, not a library; it shares files with another
#![allow(clippy::disallowed_methods)] // real time is what is measured

#[path = "../cluster/nodes.rs"]
mod nodes;
#[path = "../cluster/wire.rs"]
mod wire;

mod store;

use std::path::Path;
use std::time::{Duration, Instant};

use nodes::{Redis, Served};

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let value = |name: &str| arguments.iter().position(|a| a == name).and_then(|i| arguments.get(i + 1));
    if let (Some(name), Some(store), Some(folder)) = (value("--serve"), value("--store"), value("--folder")) {
        return nodes::serve(name, store, Path::new(folder));
    }
    let number = |name, default: u64| value(name).and_then(|v| v.parse().ok()).unwrap_or(default);
    let seconds = number("--seconds", 20);
    store::decides(seconds);
    late(1_000, seconds);
    fires(number("--many", 20_000), seconds);
    idle(number("--idle", 100_000));
}

/// Applies so many jobs, in bundles that are not too large.
fn apply(node: &Served, jobs: u64, each: &str) {
    for from in (0..jobs).step_by(5_000) {
        let list: String = (from..jobs.min(from + 5_000))
            .map(|n| format!("- {{name: job {n:06}, {each}, service: zeugma.ping}}\n"))
            .collect();
        let (status, body) =
            node.admin().ask("POST", "/api/v1/apply?wait=60s", &format!("jobs:\n{list}")).expect("an answer");
        assert_eq!(status, 200, "{}", body.chars().take(500).collect::<String>());
    }
}

/// The sum of a metric of a node, over the labels that have this text.
fn sum(node: &Served, metric: &str, label: &str) -> f64 {
    let (status, text) = node.admin().ask("GET", "/metrics", "").expect("an answer");
    assert_eq!(status, 200, "{text}");
    let line = |line: &str| {
        let rest = line.strip_prefix(metric)?;
        if !rest.starts_with(['{', ' ']) || !rest.contains(label) {
            return None;
        }
        line.rsplit(' ').next()?.parse::<f64>().ok()
    };
    text.lines().filter_map(line).sum()
}

/// Waits until all jobs have an owner.
fn owned(nodes: &[Served], jobs: u64) {
    let begun = Instant::now();
    while (nodes.iter().map(|node| sum(node, "zeugma_job_owner", "")).sum::<f64>() as u64) < jobs {
        assert!(begun.elapsed() < Duration::from_secs(60), "not every job has an owner");
        std::thread::sleep(Duration::from_millis(200));
    }
}

/// How late jobs are fired on one node.
fn late(jobs: u64, seconds: u64) {
    let folder = tempfile::TempDir::new().expect("a folder");
    let redis = Redis::start(&folder.path().join("redis"));
    let node = [Served::start(folder.path(), redis.port, "a")];
    apply(&node[0], jobs, "type: interval, every: 1s");
    owned(&node, jobs);
    std::thread::sleep(Duration::from_secs(3));
    let metric = "zeugma_job_lateness_seconds_bucket";
    let bounds = ["0.001", "0.002", "0.005", "0.01", "0.02", "0.05", "0.1", "0.25", "1", "+Inf"];
    let read = || bounds.map(|bound| sum(&node[0], metric, &format!("le=\"{bound}\"")));
    let before = read();
    std::thread::sleep(Duration::from_secs(seconds));
    let after = read();
    let fired = after[9] - before[9];
    let share: Vec<String> =
        (0..9).map(|n| format!("{} s {:.2} %", bounds[n], (after[n] - before[n]) / fired * 100.0)).collect();
    println!(
        "{jobs} jobs a second on one node: {:.0} fired a second; no later than {}",
        fired / seconds as f64,
        share.join(", ")
    );
}

/// How many slots a second three nodes fire.
fn fires(jobs: u64, seconds: u64) {
    let folder = tempfile::TempDir::new().expect("a folder");
    let redis = Redis::start(&folder.path().join("redis"));
    let nodes = ["a", "b", "c"].map(|name| Served::start(folder.path(), redis.port, name));
    apply(&nodes[0], jobs, "type: interval, every: 1s");
    owned(&nodes, jobs);
    let read = || nodes.iter().map(|node| sum(node, "zeugma_job_slots_total", "\"fired\"")).sum::<f64>();
    let missed = || nodes.iter().map(|node| sum(node, "zeugma_job_slots_total", "\"missed\"")).sum::<f64>();
    let (begun, before, missed_before) = (Instant::now(), read(), missed());
    std::thread::sleep(Duration::from_secs(seconds));
    let (fired, missed) = (read() - before, missed() - missed_before);
    let took = begun.elapsed().as_secs_f64();
    println!(
        "{jobs} jobs a second on three nodes: {:.0} fired a second, {:.0} missed a second",
        fired / took,
        missed / took
    );
}

/// What very many jobs take that are not due.
fn idle(jobs: u64) {
    let folder = tempfile::TempDir::new().expect("a folder");
    let redis = Redis::start(&folder.path().join("redis"));
    let node = [Served::start(folder.path(), redis.port, "a")];
    let none = resident(node[0].id());
    let begun = Instant::now();
    apply(&node[0], jobs, "type: cron, cron: '0 3 1 1 *'");
    println!("{jobs} jobs defined in {:.1} s", begun.elapsed().as_secs_f64());
    drop(node);
    let begun = Instant::now();
    let node = [Served::start(folder.path(), redis.port, "a")];
    println!("  a node serves {:.2} s after its process started", begun.elapsed().as_secs_f64());
    owned(&node, jobs);
    println!("  and owns all of them after {:.2} s", begun.elapsed().as_secs_f64());
    std::thread::sleep(Duration::from_secs(5));
    let (id, begun) = (node[0].id(), Instant::now());
    let before = busy(id);
    std::thread::sleep(Duration::from_secs(20));
    let share = (busy(id) - before) / begun.elapsed().as_secs_f64() * 100.0;
    println!("  idle: {share:.2} % of a core, {} MB ({none} MB without jobs)", resident(id));
}

/// How long a process has kept a core busy, in seconds.
fn busy(process: u32) -> f64 {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).expect("it runs");
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks = |at: usize| fields.get(at).and_then(|field| field.parse::<f64>().ok()).unwrap_or_default();
    (ticks(11) + ticks(12)) / 100.0
}

/// How much memory a process takes, in megabytes.
fn resident(process: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).expect("it runs");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or_default();
    line.split_whitespace().next().and_then(|kb| kb.parse::<u64>().ok()).unwrap_or_default() / 1_024
}
