//! What services in Python cost beside their requests: how long a deployment takes until it is served by one node and by
//! three, how long a killed worker takes to be replaced, and how much memory an idle one has.
//!
//! `cargo bench --bench python`; `-- --deploys 50 --kills 20` is what it does if nobody says otherwise. An answer that is not
//! the expected one ends it.

#![allow(missing_docs, unreachable_pub)] // a program, not a library
#![allow(clippy::disallowed_methods)] // real time is what is measured

#[path = "../cluster/nodes.rs"]
mod nodes;
#[path = "../cluster/wire.rs"]
mod wire;

use std::process::Command;
use std::time::{Duration, Instant};

use nodes::{Arguments, Redis, Served};
use serde_json::{Value, json};

/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(30);

fn main() {
    let Some(arguments) = Arguments::read() else { return };
    let number = |name, default| arguments.number(name, default);
    let (count, kills) = (number("--deploys", 50), number("--kills", 20));
    let folder = tempfile::TempDir::new().expect("a folder");

    let alone = Served::start_with(folder.path(), "embedded", "alone");
    deploys("one node", std::slice::from_ref(&alone), count);
    replaced(&alone, kills);
    memory(&alone);
    drop(alone);

    let redis = Redis::start(&folder.path().join("redis"));
    let cluster = ["a", "b", "c"].map(|name| Served::start(folder.path(), redis.port, name));
    let begun = Instant::now();
    while deploy(&cluster[0], "def", 0).1.len() < cluster.len() {
        assert!(begun.elapsed() < PATIENCE, "the nodes do not find each other");
        std::thread::sleep(Duration::from_millis(100));
    }
    deploys("three nodes", &cluster, count);
}

/// Deploys a version of the service `hello` and waits for the receipt: how long that took, and how long each node.
fn deploy(node: &Served, kind: &str, version: u64) -> (Duration, Vec<f64>) {
    let text = format!(
        "from zeugma import Service\n\n\nclass Hello(Service):\n    name = 'hello'\n\n    {kind} handle(self):\n        \
         self.response.payload = 'version {version}'\n"
    );
    let package = json!({"files": {"hello.py": text}, "workers": 1}).to_string();
    let head = format!("{}content-type: application/json\r\n", node.token);
    let mut admin = wire::Wire::connect(&node.admin, &head).expect("the admin listener answers");
    let begun = Instant::now();
    let (status, body) = admin.ask("PUT", "/api/v1/packages/hello.py?wait=10s", &package).expect("an answer");
    let took = begun.elapsed();
    assert!(status == 200 || status == 201, "{status}: {body}");
    let outcome: Value = serde_json::from_str(&body).expect("JSON");
    let nodes = outcome["receipt"]["nodes"].as_array().map(Vec::as_slice).unwrap_or_default();
    (took, nodes.iter().filter_map(|node| node["ms"].as_f64()).collect())
}

/// A channel to `hello`.
fn mount(node: &Served) {
    let channel = json!({"type": "rest", "path": "/hello", "service": "hello"}).to_string();
    let asked = node.admin().ask("PUT", "/api/v1/definitions/channel/hello?wait=10s", &channel);
    let (status, body) = asked.expect("an answer");
    assert!(status == 200 || status == 201, "{status}: {body}");
}

fn hello(node: &mut wire::Wire) -> (u16, String) {
    node.ask("GET", "/hello", "").expect("an answer")
}

/// Deploys again and again, and asks every node for the new version as soon as the receipt is there.
fn deploys(what: &str, nodes: &[Served], count: u64) {
    deploy(&nodes[0], "def", 0);
    mount(&nodes[0]);
    let (mut by_client, mut by_receipt) = (Vec::new(), Vec::new());
    for version in 1..=count {
        let (took, each) = deploy(&nodes[0], "def", version);
        assert_eq!(each.len(), nodes.len(), "version {version} is not served by all");
        for node in nodes {
            assert_eq!(hello(&mut node.data()), (200, format!("version {version}")));
        }
        by_client.push(took.as_secs_f64() * 1000.0);
        by_receipt.push(each.into_iter().fold(0.0, f64::max));
    }
    print(&format!("deployed to {what}, request to receipt, at the client"), by_client);
    print(&format!("deployed to {what}, commit to served, by the receipt"), by_receipt);
}

fn print(what: &str, mut all: Vec<f64>) {
    all.sort_by(f64::total_cmp);
    let at = |share: f64| all[((all.len() - 1) as f64 * share) as usize];
    println!("{what}: p50 {:.1} ms, p90 {:.1} ms, most {:.1} ms", at(0.5), at(0.9), at(1.0));
}

/// The only worker of the package, if it runs.
fn worker(node: &Served) -> Option<u64> {
    let asked = node.admin().ask("POST", "/api/v1/actors/package/hello/stats", "");
    let (status, body) = asked.expect("an answer");
    assert_eq!(status, 200, "{body}");
    find(&serde_json::from_str(&body).expect("JSON"))
}

/// The first `pid` in it.
fn find(value: &Value) -> Option<u64> {
    match value {
        Value::Object(map) => map.get("pid").and_then(Value::as_u64).or_else(|| map.values().find_map(find)),
        Value::Array(all) => all.iter().find_map(find),
        _ => None,
    }
}

fn running(node: &Served) -> u64 {
    let begun = Instant::now();
    loop {
        if let Some(pid) = worker(node) {
            return pid;
        }
        assert!(begun.elapsed() < PATIENCE, "no worker runs");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Kills the only worker of a package and asks until the next one answers. Each time it is a new deployment: a worker that
/// ends again and again is replaced after a pause.
fn replaced(node: &Served, count: u64) {
    let mut all = Vec::new();
    for round in 0..count {
        deploy(node, "def", 10_000 + round);
        let (mut client, expected) = (node.data(), (200, format!("version {}", 10_000 + round)));
        assert_eq!(hello(&mut client), expected);
        let pid = running(node);
        let killed = Command::new("kill").args(["-9", &pid.to_string()]).status();
        let begun = Instant::now();
        assert!(killed.expect("kill runs").success());
        // What reached the dead one before that was seen is answered 500.
        while hello(&mut client) != expected {
            assert!(begun.elapsed() < PATIENCE, "it is not replaced");
        }
        all.push(begun.elapsed().as_secs_f64() * 1000.0);
        assert_ne!(running(node), pid);
    }
    print("worker killed to the next one having answered", all);
}

/// What an idle worker has in memory: as it started, and after requests.
fn memory(node: &Served) {
    for (kind, what) in [("def", "def handle"), ("async def", "async def handle")] {
        // The second one is forked from a process that has learnt what the first one needs.
        deploy(node, kind, 20_000);
        deploy(node, kind, 20_001);
        let pid = running(node);
        let fresh = used(pid);
        let mut client = node.data();
        for _ in 0..1_000 {
            assert_eq!(hello(&mut client).0, 200);
        }
        std::thread::sleep(Duration::from_secs(1));
        let later = used(pid);
        println!(
            "idle worker, {what}: PSS {:.1} MB, RSS {:.1} MB; after 1000 requests PSS {:.1} MB, RSS {:.1} MB",
            fresh.0, fresh.1, later.0, later.1
        );
    }
}

/// PSS and RSS of a process, in MB.
fn used(pid: u64) -> (f64, f64) {
    let text = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).expect("it runs");
    let of = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name)).expect("a line");
        line.split_whitespace().next().and_then(|number| number.parse::<f64>().ok()).expect("a number")
            / 1024.0
    };
    (of("Pss:"), of("Rss:"))
}
