//! What jobs cost: how many slots a second one Redis decides, how late a thousand jobs a second are fired, how many a
//! second three nodes fire, how soon others fire the jobs of a node that was killed, and what a hundred thousand idle
//! ones take of a node.
//!
//! `cargo bench --bench jobs`; `-- --seconds 20 --idle 100000 --many 20000` is what it does if nobody says otherwise, and
//! with `--only fires` it does only that: `decides`, `late`, `fires`, `killed` or `idle`.

#![allow(missing_docs, unreachable_pub)] // a program, not a library
#![allow(clippy::disallowed_methods)] // real time is what is measured

#[path = "../cluster/nodes.rs"]
mod nodes;
#[path = "../cluster/wire.rs"]
mod wire;

mod killed;
mod store;

use std::time::{Duration, Instant};

use nodes::{Arguments, Redis, Served};

fn main() {
    let Some(arguments) = Arguments::read() else { return };
    let number = |name, default| arguments.number(name, default);
    let wanted = |name: &str| arguments.value("--only").is_none_or(|only| only == name);
    let seconds = number("--seconds", 20);
    if wanted("decides") {
        store::decides(seconds);
    }
    if wanted("late") {
        late(1_000, seconds);
    }
    if wanted("fires") {
        fires(number("--many", 20_000), seconds);
    }
    if wanted("killed") {
        killed::goes_on(300);
    }
    if wanted("idle") {
        idle(number("--idle", 100_000));
    }
}

/// Applies so many jobs, in bundles that are not too large.
fn apply(node: &Served, jobs: u64, each: &str) {
    for from in (0..jobs).step_by(5_000) {
        let list: String = (from..jobs.min(from + 5_000))
            .map(|n| format!("- {{name: job-{n:06}, {each}, service: zeugma.ping}}\n"))
            .collect();
        let (status, body) =
            node.admin().ask("POST", "/api/v1/apply?wait=60s", &format!("jobs:\n{list}")).expect("an answer");
        assert_eq!(status, 200, "{}", body.chars().take(500).collect::<String>());
    }
}

/// What a node tells Prometheus.
fn metrics(node: &Served) -> String {
    let (status, text) = node.admin().ask("GET", "/metrics", "").expect("an answer");
    assert_eq!(status, 200, "{text}");
    text
}

/// The sum of a metric, over the labels that have this text.
fn total(metrics: &str, metric: &str, label: &str) -> f64 {
    let value = |line: &str| {
        let rest = line.strip_prefix(metric)?;
        if !rest.starts_with(['{', ' ']) || !rest.contains(label) {
            return None;
        }
        line.rsplit(' ').next()?.parse::<f64>().ok()
    };
    metrics.lines().filter_map(value).sum()
}

/// Waits until all jobs have an owner.
fn owned(nodes: &[Served], jobs: u64) {
    let begun = Instant::now();
    while (nodes.iter().map(|node| total(&metrics(node), "zeugma_job_owner", "")).sum::<f64>() as u64) < jobs
    {
        assert!(begun.elapsed() < Duration::from_secs(60), "not every job has an owner");
        std::thread::sleep(Duration::from_millis(200));
    }
}

/// The sums of two outcomes of slots over all nodes, each of which is asked once.
fn fired_and_missed(nodes: &[Served]) -> [f64; 2] {
    let metric = "zeugma_job_slots_total";
    let mut sums = [0.0; 2];
    for node in nodes {
        let text = metrics(node);
        for (sum, label) in sums.iter_mut().zip(["\"fired\"", "\"missed\""]) {
            *sum += total(&text, metric, label);
        }
    }
    sums
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
    let read = || {
        let text = metrics(&node[0]);
        bounds.map(|bound| total(&text, metric, &format!("le=\"{bound}\"")))
    };
    let before = read();
    std::thread::sleep(Duration::from_secs(seconds));
    let after = read();
    let fired = after[9] - before[9];
    let shares: Vec<f64> = (0..10).map(|n| (after[n] - before[n]) / fired).collect();
    let p99 = (0..10).find(|n| shares[*n] >= 0.99).map_or("?", |n| bounds[n]);
    let share: Vec<String> = (0..9).map(|n| format!("{} s {:.2} %", bounds[n], shares[n] * 100.0)).collect();
    println!(
        "{jobs} jobs a second on one node: {:.0} fired a second; 99 % no later than {p99} s; no later than {}",
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
    std::thread::sleep(Duration::from_secs(3));
    let before = fired_and_missed(&nodes);
    let begun = Instant::now();
    let busy_before: Vec<f64> = nodes.iter().map(|node| busy(node.id())).collect();
    let redis_before = busy(redis.id());
    std::thread::sleep(Duration::from_secs(seconds));
    let took = begun.elapsed().as_secs_f64();
    let share = |from: f64, to: f64| format!("{:.0} %", (to - from) / took * 100.0);
    let of_redis = share(redis_before, busy(redis.id()));
    let of_nodes: Vec<String> =
        nodes.iter().zip(busy_before).map(|(node, from)| share(from, busy(node.id()))).collect();
    // Nothing is waited for in between: what is fired while nodes are asked is in the figures, and its time as well.
    let after = fired_and_missed(&nodes);
    let took = begun.elapsed().as_secs_f64();
    println!(
        "{jobs} jobs a second on three nodes: {:.0} fired a second, {:.0} missed a second; \
         of a core, Redis takes {of_redis}, the nodes {}",
        (after[0] - before[0]) / took,
        (after[1] - before[1]) / took,
        of_nodes.join(", ")
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
    println!(
        "  a node that was killed serves {:.2} s after its process started anew",
        begun.elapsed().as_secs_f64()
    );
    owned(&node, jobs);
    println!("  and owns all of them after {:.2} s", begun.elapsed().as_secs_f64());
    drop(node);
    // Nobody asks this one for its metrics before it was looked at: a page of so many takes memory of its own.
    let node = [Served::start(folder.path(), redis.port, "a")];
    std::thread::sleep(Duration::from_secs(15));
    let (id, begun) = (node[0].id(), Instant::now());
    let before = busy(id);
    std::thread::sleep(Duration::from_secs(20));
    let share = (busy(id) - before) / begun.elapsed().as_secs_f64() * 100.0;
    let plain = resident(id);
    owned(&node, jobs);
    println!(
        "  idle: {share:.2} % of a core, {plain} MB ({none} MB without jobs, {} MB once its metrics were read)",
        resident(id)
    );
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
