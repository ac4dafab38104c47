//! The worker processes that services in Python run in, and everything that can happen to them.

mod background;
mod calls;
mod ends;
mod environment;
mod interpreters;
mod limits;
mod locks;
mod page;
mod secrets;

use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::task::JoinHandle;

use crate::kit::process::eventually;
use crate::kit::program::Program;

/// How long any state may take to come about.
const SOON: Duration = Duration::from_secs(30);

/// Deploys a file `work.py` of these services, with these arguments, and mounts each service at its name.
fn deploy(node: &Program, text: &str, arguments: &[&str]) {
    node.write("work.py", text);
    node.good(&[&["deploy", "work.py"], arguments].concat());
    let names: Vec<&str> = text.lines().filter_map(|line| line.trim().strip_prefix("name = '")).collect();
    let channel = |name: &&str| {
        let name = name.trim_end_matches('\'');
        json!({"name": name, "type": "rest", "path": format!("/{name}"), "service": name, "deadline": "3s",
            "data_format": if name.starts_with("json") { "json" } else { "raw" }, "body_limit": "64MB"})
    };
    node.apply(&json!({ "channels": names.iter().map(channel).collect::<Vec<_>>() }));
}

/// The workers, as the node shows them.
fn workers(node: &Program) -> Vec<Value> {
    let stats = node.json(&["actor", "stats", "package", "work"]);
    stats["more"]["workers"].as_array().unwrap_or_else(|| panic!("no workers in {stats}")).clone()
}

/// The ids of their processes; those of workers that do not run are left out.
fn pids(node: &Program) -> Vec<u64> {
    workers(node).iter().filter_map(|worker| worker["pid"].as_u64()).collect()
}

/// How often a worker was replaced, all together.
fn restarts(node: &Program) -> u64 {
    workers(node).iter().filter_map(|worker| worker["restarts"].as_u64()).sum()
}

fn signal(pid: u64, signal: &str) {
    assert!(Command::new("kill").args(["-s", signal, &pid.to_string()]).status().expect("kill").success());
}

/// Whether there is such a process, other than one that has ended and nobody has asked for.
fn runs(pid: u64) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    status.lines().any(|line| line.starts_with("State:") && !line.contains('Z'))
}

/// The process that workers come from.
fn zygote(node: &Program) -> u64 {
    let pid = pids(node)[0];
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("it runs");
    let parent = status.lines().find_map(|line| line.strip_prefix("PPid:")).expect("it has a parent");
    parent.trim().parse().expect("a number")
}

/// Waits until so many workers run and nothing is under way in them.
async fn settled(node: &Program, number: usize) {
    eventually(SOON, "all workers run and are idle", async || {
        let workers = workers(node);
        workers.len() == number
            && workers.iter().all(|worker| worker["state"] == "running" && worker["in_flight"] == 0)
    })
    .await;
}

/// Requests to a path, several at once, one after the other, until it is told to end.
struct Load {
    done: Arc<AtomicBool>,
    answered: Arc<AtomicUsize>,
    tasks: Vec<JoinHandle<Vec<(u16, String)>>>,
}

impl Load {
    fn on(node: &Program, path: &str, at_once: usize) -> Self {
        let client = reqwest::Client::builder().no_proxy().build().expect("a client");
        let (done, answered) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let task = || {
            let (client, url) = (client.clone(), format!("{}{path}", node.data));
            let (done, answered) = (done.clone(), answered.clone());
            tokio::spawn(async move {
                let mut wrong = Vec::new();
                while !done.load(Ordering::SeqCst) {
                    let answer = client.get(&url).send().await.expect("the node answers whatever happens");
                    let (status, text) = (answer.status().as_u16(), answer.text().await.expect("a body"));
                    answered.fetch_add(1, Ordering::SeqCst);
                    if status != 200 {
                        wrong.push((status, text));
                    }
                }
                wrong
            })
        };
        let tasks = (0..at_once).map(|_| task()).collect();
        Self { done, answered, tasks }
    }

    async fn goes_on(&self, more: usize) {
        let from = self.answered.load(Ordering::SeqCst);
        eventually(SOON, "requests are answered", async || {
            self.answered.load(Ordering::SeqCst) >= from + more
        })
        .await;
    }

    /// Ends it; the answers that were not 200.
    async fn end(self) -> Vec<(u16, String)> {
        self.done.store(true, Ordering::SeqCst);
        let mut wrong = Vec::new();
        for task in self.tasks {
            wrong.extend(task.await.expect("it does not panic"));
        }
        assert!(self.answered.load(Ordering::SeqCst) > 0);
        wrong
    }
}
