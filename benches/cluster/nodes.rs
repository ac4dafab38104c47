//! What the harnesses share: their arguments, and Redis and the nodes, each a process of its own that ends with its value.

#![allow(dead_code, reason = "no harness uses all of it")]

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use config::Secret;
use config::settings::{Environment, Flags, Settings};
use zeugma::app::{Extras, Node};

use super::wire;

/// What a harness was told.
pub struct Arguments(Vec<String>);

impl Arguments {
    /// They; none if this process was to be a node of the harness, and has been one.
    pub fn read() -> Option<Self> {
        let told = Self(std::env::args().collect());
        let (name, store, folder) = (told.value("--serve"), told.value("--store"), told.value("--folder"));
        let (Some(name), Some(store), Some(folder)) = (name, store, folder) else { return Some(told) };
        serve(name, store, Path::new(folder));
        None
    }

    /// What comes after this word.
    pub fn value(&self, name: &str) -> Option<&str> {
        let at = self.0.iter().position(|argument| argument == name)?;
        self.0.get(at + 1).map(String::as_str)
    }

    /// The same as a number, or another one.
    pub fn number(&self, name: &str, default: u64) -> u64 {
        self.value(name).and_then(|value| value.parse().ok()).unwrap_or(default)
    }
}

/// Where `tests/servers.sh` puts them.
#[allow(clippy::disallowed_methods)] // no setting of the engine
pub fn servers() -> PathBuf {
    let told = std::env::var_os("ZEUGMA_TEST_SERVERS").map(PathBuf::from);
    told.unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("target/servers"))
}

/// A port that nobody listens at.
pub fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("an address").port()
}

/// A process that ends with this value.
pub struct Process(Child);

impl Process {
    /// This one.
    pub fn of(child: Child) -> Self {
        Self(child)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It is only to be gone.
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// Redis, writing to disk as one that holds the truth does.
pub struct Redis {
    pub port: u16,
    process: Process,
}

impl Redis {
    /// The number of its process.
    pub fn id(&self) -> u32 {
        self.process.0.id()
    }

    #[allow(clippy::disallowed_methods)] // no setting of the engine; real time
    pub fn start(folder: &Path) -> Self {
        let port = free_port();
        let installed = servers().join("redis/usr/bin/redis-server");
        let program = if installed.exists() { installed } else { PathBuf::from("redis-server") };
        std::fs::create_dir_all(folder).expect("a folder");
        let mut command = Command::new(program);
        command.args([
            "--port",
            &port.to_string(),
            "--bind",
            "127.0.0.1",
            "--save",
            "",
            "--appendonly",
            "yes",
        ]);
        command.args(["--loglevel", "warning", "--dir"]).arg(folder).stdout(Stdio::null());
        let process = Process(command.spawn().expect("redis-server: install it with tests/servers.sh redis"));
        let begun = Instant::now();
        while !wire::redis(port, "PING").is_ok_and(|answer| answer.starts_with("+PONG")) {
            assert!(begun.elapsed() < Duration::from_secs(20), "Redis does not start");
            std::thread::sleep(Duration::from_millis(20));
        }
        Self { port, process }
    }
}

/// A node in a process of its own.
pub struct Served {
    pub data: String,
    pub admin: String,
    /// What its admin listener wants to hear with every request.
    pub token: String,
    process: Process,
}

impl Served {
    /// The number of its process.
    pub fn id(&self) -> u32 {
        self.process.0.id()
    }

    /// Starts one; when this returns, it serves.
    pub fn start(folder: &Path, redis: u16, name: &str) -> Self {
        Self::start_with(folder, &format!("redis://127.0.0.1:{redis}"), name)
    }

    /// The same with this store.
    pub fn start_with(folder: &Path, store: &str, name: &str) -> Self {
        let program = std::env::current_exe().expect("this program");
        let mut child = Command::new(program)
            .args(["--serve", name, "--store", store, "--folder"])
            .arg(folder)
            .stdout(Stdio::piped())
            .spawn()
            .expect("it starts");
        let mut line = String::new();
        BufReader::new(child.stdout.take().expect("its output")).read_line(&mut line).expect("its addresses");
        let words: Vec<&str> = line.split_whitespace().collect();
        let [data, admin] = words[..] else { panic!("node {name} does not start: {line:?}") };
        let token = std::fs::read_to_string(folder.join(name).join("admin.token")).expect("its token");
        let token = format!("authorization: Bearer {}\r\n", token.trim());
        Self { data: data.to_owned(), admin: admin.to_owned(), token, process: Process(child) }
    }

    /// A connection to its admin listener.
    pub fn admin(&self) -> wire::Wire {
        wire::Wire::connect(&self.admin, &self.token).expect("the admin listener answers")
    }

    /// A connection to its data listener.
    pub fn data(&self) -> wire::Wire {
        wire::Wire::connect(&self.data, "").expect("the data listener answers")
    }
}

/// Serves as a node until it is killed; prints where when it answers.
pub fn serve(name: &str, store: &str, folder: &Path) {
    let flags = Flags {
        listen: Some("127.0.0.1:0".into()),
        admin: Some("127.0.0.1:0".into()),
        cluster_listen: (store != "embedded").then(|| "127.0.0.1:0".into()),
        data: Some(folder.join(name)),
        store: Some(Secret::new(store)),
        node: Some(name.into()),
        key_file: Some(folder.join("secret.key")),
        ..Flags::default()
    };
    std::fs::create_dir_all(folder.join(name)).expect("a folder");
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    runtime.expect("a runtime").block_on(async {
        let environment = Environment::default();
        let settings = Settings::load(None, &environment, &flags).expect("settings");
        let node = Node::start(settings, &environment, Extras::default()).await.expect("a node");
        println!("{} {}", node.data, node.admin);
        std::future::pending::<()>().await;
        drop(node);
    });
}
