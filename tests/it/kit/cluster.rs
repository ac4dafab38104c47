//! A cluster of real processes: Redis with its append-only file, and nodes that share it, which tests kill and stop.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use reqwest::StatusCode;
use serde_json::Value;
use tempfile::TempDir;

use super::process::{Process, eventually, free_port, installed};
use super::program::{Program, command};

/// How long a state may take to come about.
pub(crate) const SOON: Duration = Duration::from_secs(20);

/// A Redis that keeps everything it has confirmed.
pub(crate) struct Redis {
    process: Process,
    /// Its port; the same after a restart.
    pub(crate) port: u16,
    folder: TempDir,
}

impl Redis {
    async fn start() -> Self {
        for _ in 0..5 {
            let (port, folder) = (free_port(), TempDir::new().expect("a folder"));
            let process = Self::launch(port, folder.path());
            let mut redis = Self { process, port, folder };
            if redis.answers().await {
                return redis;
            }
        }
        panic!("no Redis starts");
    }

    fn launch(port: u16, folder: &Path) -> Process {
        let mut command = Command::new(installed("redis", "usr/bin/redis-server"));
        command.args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", ""]);
        // What it has confirmed survives a crash, and a copy of it is as it was written.
        command.args(["--appendonly", "yes", "--appendfsync", "always", "--rdbcompression", "no"]);
        command.arg("--dir").arg(folder);
        Process::start(&mut command, &folder.join("redis.log"))
    }

    async fn answers(&mut self) -> bool {
        for _ in 0..500 {
            if self.process.has_ended() {
                return false; // somebody else has taken its port
            }
            if self.ask(&["PING"]).trim() == "PONG" {
                return true;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        false
    }

    /// What `redis-cli` answers to this.
    pub(crate) fn ask(&self, words: &[&str]) -> String {
        let port = self.port.to_string();
        let output = Command::new(installed("redis", "usr/bin/redis-cli"))
            .args(["-p", &port])
            .args(words)
            .output()
            .expect("redis-cli");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// Everything that it holds and has written to disk, byte for byte.
    pub(crate) fn everything(&self) -> Vec<u8> {
        let copy = self.folder.path().join("copy.rdb");
        self.ask(&["--rdb", copy.to_str().expect("text")]);
        let mut all = std::fs::read(&copy).expect("a copy");
        for file in std::fs::read_dir(self.folder.path().join("appendonlydir")).expect("its files") {
            all.extend(std::fs::read(file.expect("a file").path()).expect("its content"));
        }
        all
    }

    /// Ends it at once, as a crash would.
    pub(crate) fn kill(&mut self) {
        self.process.kill();
    }

    /// Starts it again, at the same port and with the same files.
    pub(crate) async fn restart(&mut self) {
        self.process = Self::launch(self.port, self.folder.path());
        assert!(self.answers().await, "Redis does not start again: {}", self.process.said());
    }

    /// Removes its files, as a lost disk would.
    pub(crate) fn lose_its_data(&self) {
        std::fs::remove_dir_all(self.folder.path().join("appendonlydir")).expect("removed");
    }
}

/// A cluster: `node(1)` is called n1, and so on.
pub(crate) struct Cluster {
    /// Its store.
    pub(crate) redis: Redis,
    nodes: BTreeMap<usize, Program>,
    down: BTreeMap<usize, TempDir>,
    shared: TempDir,
    client: reqwest::Client,
}

impl Cluster {
    /// Starts one of so many nodes, and waits until each knows of all.
    pub(crate) async fn of(nodes: usize) -> Self {
        let client = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(30)).build();
        let mut cluster = Self {
            redis: Redis::start().await,
            nodes: BTreeMap::new(),
            down: BTreeMap::new(),
            shared: TempDir::new().expect("a folder"),
            client: client.expect("a client"),
        };
        for n in 1..=nodes {
            cluster.add(n, &[], &[]);
        }
        cluster.complete().await;
        cluster
    }

    /// Starts one more node, with these arguments and variables too.
    pub(crate) fn add(&mut self, n: usize, arguments: &[&str], variables: &[(&str, &str)]) {
        self.add_by(n, self.redis.port, arguments, variables);
    }

    /// The same for a node whose variables say where others reach it.
    pub(crate) fn add_at(&mut self, n: usize, variables: &[(&str, &str)]) {
        self.launch(n, self.redis.port, &[], variables);
    }

    /// The same for a node that reaches Redis by another port.
    pub(crate) fn add_by(&mut self, n: usize, port: u16, arguments: &[&str], variables: &[(&str, &str)]) {
        let own = ["--cluster-listen", "127.0.0.1:0"];
        self.launch(n, port, &[&own, arguments].concat(), variables);
    }

    fn launch(&mut self, n: usize, port: u16, arguments: &[&str], variables: &[(&str, &str)]) {
        let folder = self.down.remove(&n).unwrap_or_else(|| TempDir::new().expect("a folder"));
        let store = format!("redis://127.0.0.1:{port}");
        let (name, keys) = (format!("n{n}"), self.shared.path().join("secret.key"));
        let mut own = vec!["--store", &store, "--node", &name];
        own.extend(["--key-file", keys.to_str().expect("text")]);
        own.extend(arguments);
        let mut command = command(folder.path());
        command.envs(variables.iter().copied());
        self.nodes.insert(n, Program::launch(command, folder, &own));
    }

    /// The node of this number, which must run.
    pub(crate) fn node(&self, n: usize) -> &Program {
        &self.nodes[&n]
    }

    /// Those that run.
    pub(crate) fn running(&self) -> impl Iterator<Item = &Program> {
        self.nodes.values()
    }

    /// What the nodes that are down have logged.
    pub(crate) fn logs_of_those_down(&self) -> impl Iterator<Item = String> {
        self.down.values().map(super::program::logged)
    }

    /// Ends a node at once, as a crash would.
    pub(crate) fn kill(&mut self, n: usize) {
        let node = self.nodes.remove(&n).expect("it runs");
        self.down.insert(n, node.crash());
    }

    /// Tells a node to stop and waits for it.
    pub(crate) fn stop(&mut self, n: usize) -> i32 {
        let (code, folder) = self.nodes.remove(&n).expect("it runs").stop_and_keep();
        self.down.insert(n, folder);
        code
    }

    /// Waits until each node knows of each other, and has a link to it.
    pub(crate) async fn complete(&self) {
        let count = self.nodes.len();
        let known = |nodes: &Value| {
            let nodes = nodes.as_array().expect("a list");
            let there = nodes.iter().filter(|node| node["alive"] == true);
            let linked = |node: &&Value| node["asked"] == true || node["link_ms"].is_number();
            there.filter(linked).count() == count
        };
        for (n, node) in &self.nodes {
            eventually(SOON, &format!("n{n} knows {count} nodes"), async || {
                let nodes = self.admin(node, "nodes").await;
                let settled = self.admin(node, "revision").await;
                known(&nodes) && settled["nodes"].as_array().is_some_and(|nodes| nodes.len() == count)
            })
            .await;
        }
    }

    /// Waits until a node has this revision on its own disk.
    pub(crate) async fn disk_has(&self, n: usize, revision: u64) {
        let file = self.node(n).folder.path().join("zeugma-data/last-good.json");
        eventually(SOON, &format!("revision {revision} is on the disk of n{n}"), async || {
            let text = std::fs::read(&file).unwrap_or_default();
            serde_json::from_slice::<Value>(&text).is_ok_and(|held| held["revision"] == revision)
        })
        .await;
    }

    /// What the admin API of a node answers to a GET.
    pub(crate) async fn admin(&self, node: &Program, path: &str) -> Value {
        let url = format!("{}/api/v1/{path}", node.admin);
        let answer = self.client.get(url).bearer_auth(node.token()).send().await.expect("an answer");
        answer.json().await.expect("JSON")
    }

    /// Changes something through the admin API of a node.
    pub(crate) async fn change(&self, node: &Program, path: &str, body: &Value) -> (StatusCode, Value) {
        let url = format!("{}/api/v1/{path}", node.admin);
        let request = self.client.post(url).bearer_auth(node.token());
        let request = request.header("content-type", "application/json").body(body.to_string());
        let answer = request.send().await.expect("an answer");
        (answer.status(), answer.json().await.expect("JSON"))
    }

    /// The status and the body that a node answers to a GET of this path.
    pub(crate) async fn get(&self, node: &Program, path: &str) -> (u16, String) {
        let answer = self.client.get(format!("{}{path}", node.data)).send().await.expect("an answer");
        (answer.status().as_u16(), answer.text().await.expect("text"))
    }

    /// Waits until every node that runs answers this path with this status.
    pub(crate) async fn all_answer(&self, path: &str, status: u16) {
        for node in self.running() {
            eventually(SOON, &format!("{path} answers {status}\n{}", node.log()), async || {
                self.get(node, path).await.0 == status
            })
            .await;
        }
    }
}

/// A bundle of one channel, at the path of the same name.
pub(crate) fn channel(name: &str) -> Value {
    let path = format!("/{name}");
    serde_json::json!({"channels": [{"name": name, "type": "rest", "path": path, "service": "zeugma.ping"}]})
}
