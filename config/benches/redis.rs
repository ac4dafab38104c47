//! What the store of a cluster costs: how fast a change reaches another node, what an idle node asks for, and how fast a
//! node joins. Starts a Redis of its own: `redis-server` from the path.

#![allow(clippy::disallowed_methods, missing_docs)] // real time is what is measured

use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::json;
use zeugma_config::settings::StoreUrl;
use zeugma_config::store::redis::Redis;
use zeugma_config::{Change, Clock, Definition, Name, Note, Store as _};

struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

fn definition(n: usize, turn: usize) -> Definition {
    serde_json::from_value(json!({
        "id": format!("channel/my.api.get-customer.{n:06}"),
        "kind": "channel.rest",
        "enabled": true,
        "params": {"path": format!("/customer/{n}/{turn}"), "method": "GET", "service": "my.api.get-customer"},
        "needs": ["service/my.api.get-customer"],
        "claims": [format!("route GET /customer/{n}/{turn}")],
    }))
    .expect("a definition")
}

async fn commit(node: &Redis, put: Vec<Definition>) -> u64 {
    let at = node.load().await.expect("loads").revision;
    let change = Change { put, delete: Vec::new() };
    node.commit(at, change, Note::default()).await.expect("commits").revision.0
}

/// How many commands the server has executed, and which.
async fn commands(client: &mut redis::aio::MultiplexedConnection) -> (u64, String) {
    let stats: String = redis::cmd("INFO").arg("commandstats").query_async(client).await.expect("answers");
    let calls = |line: &str| line.split_once("calls=")?.1.split(',').next()?.parse::<u64>().ok();
    (stats.lines().filter_map(calls).sum(), stats)
}

fn told(name: &str, mut times: Vec<Duration>) {
    times.sort_unstable();
    let at = |share: f64| times[((times.len() - 1) as f64 * share) as usize];
    println!("{name}: p50 {:?}, p99 {:?}, most {:?}", at(0.5), at(0.99), at(1.0));
}

async fn propagation(nodes: &[Redis; 2], catalog: usize) {
    let (mut committed, mut seen) = (Vec::new(), Vec::new());
    let mut nudges = nodes[1].nudges();
    for turn in 0..1_000 {
        let begin = Instant::now();
        let at = commit(&nodes[0], vec![definition(turn % catalog.max(1), turn)]).await;
        committed.push(begin.elapsed());
        nudges.wait_for(|now| now.0 >= at).await.expect("a store");
        seen.push(begin.elapsed());
    }
    told(&format!("{catalog} definitions, commit answered"), committed);
    told(&format!("{catalog} definitions, begin of the commit to seen by another node"), seen);
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() {
    let folder = tempfile::tempdir_in(".").expect("a folder");
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("an address").port();
    drop(listener);
    let mut command = Command::new("redis-server");
    command.args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", "", "--appendonly", "yes"]);
    command.current_dir(folder.path()).stdout(Stdio::null());
    let _server = Server(command.spawn().expect("a redis-server in the path"));
    let address = format!("redis://127.0.0.1:{port}");
    let client = redis::Client::open(address.as_str()).expect("a URL");
    let mut client = loop {
        match client.get_multiplexed_async_connection().await {
            Ok(client) => break client,
            Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
        }
    };
    let url: StoreUrl = address.parse().expect("a URL");
    let cluster: Name = "bench".parse().expect("a name");
    let open = |name: &str| {
        let (url, cluster, folder) = (url.clone(), cluster.clone(), folder.path().join(name));
        async move { Redis::open(&url, &cluster, &folder, Clock::System).await.expect("opens") }
    };
    let nodes = [open("one").await, open("two").await];
    propagation(&nodes, 100).await;

    let (before, _) = commands(&mut client).await;
    tokio::time::sleep(Duration::from_secs(10)).await;
    let (after, stats) = commands(&mut client).await;
    println!("idle: {:.2} commands a second for each of 2 nodes", (after - before - 1) as f64 / 20.0);
    if std::env::args().any(|argument| argument == "--stats") {
        println!("{stats}");
    }

    for size in [10_000, 200_000] {
        let begin = Instant::now();
        for first in (0..size).step_by(10_000) {
            commit(&nodes[0], (first..first + 10_000).map(|n| definition(n, 0)).collect()).await;
        }
        println!("{size} definitions, committed by 10,000: {:?}", begin.elapsed());
        let end = nodes[0].load().await.expect("loads").revision;
        nodes[1].nudges().wait_for(|now| *now >= end).await.expect("a store");
        let begin = Instant::now();
        let joined = open(&format!("joins {size}")).await;
        println!("{size} definitions, joining with nothing: {:?}", begin.elapsed());
        joined.flush(Duration::from_secs(60)).await;
        drop(joined);
        let begin = Instant::now();
        let joined = open(&format!("joins {size}")).await;
        println!("{size} definitions, starting again: {:?}", begin.elapsed());
        drop(joined);
        if size == 10_000 {
            propagation(&nodes, size).await;
        }
    }
}
