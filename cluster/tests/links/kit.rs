//! Starts nodes, tells them what to do, and waits for states with a deadline.

use std::collections::HashMap;
use std::process::Stdio;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use config::Name;
use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::process::{Child, ChildStdin, Command};
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep, timeout};

use crate::node::{MARK, Order, Start};

/// What every node of these tests knows.
pub(crate) const SECRET: &str = "correct horse battery staple";
/// How long anything may take that should not take long.
pub(crate) const SOON: Duration = Duration::from_secs(10);

type Waiting = Arc<Mutex<HashMap<u64, oneshot::Sender<Value>>>>;

/// A node in another process.
pub(crate) struct Node {
    pub(crate) start: Start,
    pub(crate) address: String,
    child: Child,
    input: tokio::sync::Mutex<ChildStdin>,
    waiting: Waiting,
    log: Arc<Mutex<String>>,
    last: AtomicU64,
}

pub(crate) fn name(text: &str) -> Name {
    text.parse().expect("a name")
}

/// How a node is started that differs in nothing.
pub(crate) fn start(node: &str) -> Start {
    Start {
        cluster: name("blue"),
        node: name(node),
        incarnation: 1,
        secret: SECRET.into(),
        port: 0,
        tls: None,
        tls_name: None,
        versions: None,
        message: None,
        calls: None,
    }
}

impl Node {
    pub(crate) async fn start(start: Start) -> Self {
        let mut child = Command::new(std::env::current_exe().expect("this program"))
            .args(["--exact", "node::process", "--ignored", "--nocapture"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("a process");
        let mut input = child.stdin.take().expect("its input");
        let waiting = Waiting::default();
        let log = Arc::new(Mutex::new(String::new()));
        let (hello, started) = oneshot::channel();
        waiting.lock().expect("a lock").insert(0, hello);
        let (found, mut out) =
            (Arc::clone(&waiting), BufReader::new(child.stdout.take().expect("its output")).lines());
        let (kept, mut err) =
            (Arc::clone(&log), BufReader::new(child.stderr.take().expect("its log")).lines());
        let mut readers = tokio::task::JoinSet::new();
        readers.spawn(async move {
            while let Ok(Some(line)) = out.next_line().await {
                let Some(line) = line.split_once(MARK).map(|(_, json)| json) else { continue };
                let value: Value = serde_json::from_str(line).expect("JSON");
                let id = value["id"].as_u64().expect("a number");
                if let Some(waits) = found.lock().expect("a lock").remove(&id) {
                    drop(waits.send(value));
                }
            }
            found.lock().expect("a lock").clear(); // it has ended: nobody is to wait for its answer
        });
        readers.spawn(async move {
            while let Ok(Some(line)) = err.next_line().await {
                let mut log = kept.lock().expect("a lock");
                log.push_str(&line);
                log.push('\n');
            }
        });
        readers.detach_all();
        let line = format!("{}\n", serde_json::to_string(&start).expect("JSON"));
        input.write_all(line.as_bytes()).await.expect("its input");
        let started = timeout(SOON, started).await.expect("in time");
        let started = started.unwrap_or_else(|_| panic!("{} does not start", start.node));
        let address = started["address"].as_str().expect("an address").to_owned();
        let input = tokio::sync::Mutex::new(input);
        Self { start, address, child, input, waiting, log, last: AtomicU64::new(0) }
    }

    pub(crate) async fn tell(&self, order: Order) -> Value {
        let id = self.last.fetch_add(1, Ordering::Relaxed) + 1;
        let (answer, answered) = oneshot::channel();
        self.waiting.lock().expect("a lock").insert(id, answer);
        let line = format!("{}\n", serde_json::to_string(&(id, order)).expect("JSON"));
        self.input.lock().await.write_all(line.as_bytes()).await.expect("its input");
        let mut value = timeout(3 * SOON, answered).await.expect("in time").expect("an answer");
        value["answer"].take()
    }

    pub(crate) async fn call(&self, to: &str, text: &str) -> Value {
        self.tell(Order::Call(name(to), text.into(), 0, 5_000)).await
    }

    /// The link to another node, as this one sees it.
    pub(crate) async fn peer(&self, node: &str) -> Value {
        let peers = self.tell(Order::Peers).await;
        let found = peers.as_array().expect("a list").iter().find(|peer| peer["node"] == node).cloned();
        found.unwrap_or_default()
    }

    /// Waits until the link is as it should be; gives how long that took.
    pub(crate) async fn until(&self, node: &str, wanted: impl Fn(&Value) -> bool) -> Duration {
        let begun = Instant::now();
        loop {
            let peer = self.peer(node).await;
            if wanted(&peer) {
                return begun.elapsed();
            }
            assert!(begun.elapsed() < SOON, "{} sees {peer}\n{}", self.start.node, self.log());
            sleep(Duration::from_millis(20)).await;
        }
    }

    pub(crate) async fn until_up(&self, node: &str) -> Duration {
        self.until(node, |peer| peer["up"] == true).await
    }

    pub(crate) async fn until_trouble(&self, node: &str, text: &str) {
        self.until(node, |peer| peer["trouble"].as_str().is_some_and(|said| said.contains(text))).await;
    }

    pub(crate) fn member(&self) -> (Name, u64, String) {
        (self.start.node.clone(), self.start.incarnation, self.address.clone())
    }

    /// Waits until the log says so.
    pub(crate) async fn until_logged(&self, text: &str) {
        let begun = Instant::now();
        while !self.log().contains(text) {
            assert!(begun.elapsed() < SOON, "{text} is not in\n{}", self.log());
            sleep(Duration::from_millis(20)).await;
        }
    }

    pub(crate) fn log(&self) -> String {
        self.log.lock().expect("a lock").clone()
    }

    pub(crate) async fn kill(&mut self) {
        self.child.kill().await.expect("killed");
    }

    /// The TCP ports on which the process listens.
    pub(crate) fn listens(&self) -> Vec<u16> {
        let process = format!("/proc/{}", self.child.id().expect("it runs"));
        let files = std::fs::read_dir(format!("{process}/fd")).expect("its files");
        let open: Vec<String> = files
            .flatten()
            .flat_map(|file| std::fs::read_link(file.path()))
            .map(|target| target.display().to_string())
            .collect();
        let table = std::fs::read_to_string(format!("{process}/net/tcp")).expect("the sockets");
        let listening = |line: &str| {
            // Address, state and inode are the second, the fourth and the tenth column; 0A is "listening".
            let column: Vec<&str> = line.split_whitespace().collect();
            let port =
                column.get(1)?.split_once(':').and_then(|(_, port)| u16::from_str_radix(port, 16).ok());
            let ours = open.contains(&format!("socket:[{}]", column.get(9)?));
            port.filter(|_| ours && column[3] == "0A")
        };
        table.lines().filter_map(listening).collect()
    }

    /// Sends a signal, such as `STOP`.
    pub(crate) async fn signal(&self, signal: &str) {
        let pid = self.child.id().expect("it runs").to_string();
        let sent = Command::new("kill").args([format!("-{signal}"), pid]).status().await.expect("kill");
        assert!(sent.success());
    }
}

/// Tells each of the nodes who all of them are.
pub(crate) async fn introduce(nodes: &[&Node]) {
    let members: Vec<_> = nodes.iter().map(|node| node.member()).collect();
    for node in nodes {
        node.tell(Order::Members(members.clone())).await;
    }
}

/// Nodes that all know and reach each other.
pub(crate) async fn linked<const N: usize>(starts: [Start; N]) -> [Node; N] {
    let mut nodes = Vec::new();
    for start in starts {
        nodes.push(Node::start(start).await);
    }
    introduce(&nodes.iter().collect::<Vec<_>>()).await;
    for node in &nodes {
        for other in nodes.iter().filter(|other| other.start.node != node.start.node) {
            node.until_up(other.start.node.as_str()).await;
        }
    }
    nodes.try_into().unwrap_or_else(|_| unreachable!("as many as before"))
}
