//! Real servers for the tests: Redis, Valkey and sentinels as processes, and stores on them.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use redis::aio::MultiplexedConnection;
use tempfile::TempDir;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};

use super::super::{Redis, State};
use crate::catalog::Catalog;
use crate::clock::Clock;
use crate::name::{Name, Revision};
use crate::sessions::Sessions;
use crate::settings::StoreUrl;
use crate::store::{Change, CommitError, Entry, Note, Store, StoreError};

/// Longer than anything takes on a busy machine.
pub(crate) const LONG: Duration = Duration::from_secs(20);

/// A program that `tests/servers.sh` installs, or the system has.
pub(crate) fn program(server: &str, path: &str) -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    #[allow(clippy::disallowed_methods, reason = "where servers are is told to tests by the environment")]
    let (servers, paths) = (std::env::var_os("ZEUGMA_TEST_SERVERS"), std::env::var_os("PATH"));
    let servers = servers.map(PathBuf::from).unwrap_or_else(|| root.join("target/servers"));
    let name = Path::new(path).file_name().expect("a name");
    let mut found = vec![servers.join(server).join(path)];
    found.extend(std::env::split_paths(&paths.unwrap_or_default()).map(|folder| folder.join(name)));
    found
        .into_iter()
        .find(|path| path.exists())
        .unwrap_or_else(|| panic!("there is no {}; run: tests/servers.sh {server}", name.display()))
}

/// A port that nobody listens at, below those that the system gives to connections: one of these could be taken by any
/// connection while a server is started anew.
pub(crate) fn free_port() -> u16 {
    let mut tried = std::iter::repeat_with(|| fastrand::u16(10_000..32_000));
    tried
        .find(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok())
        .expect("there is always another one to try")
}

/// A server in a folder of its own. It ends with this value.
pub(crate) struct Server {
    program: PathBuf,
    pub(crate) port: u16,
    arguments: Vec<String>,
    pub(crate) folder: TempDir,
    child: Option<Child>,
}

impl Server {
    /// A Redis that keeps what it is told.
    pub(crate) async fn redis() -> Self {
        Self::with(&[]).await
    }

    /// The same, with more arguments.
    pub(crate) async fn with(arguments: &[&str]) -> Self {
        Self::of(program("redis", "usr/bin/redis-server"), arguments).await
    }

    /// A server of this program.
    pub(crate) async fn of(program: PathBuf, arguments: &[&str]) -> Self {
        let mut server = Self {
            program,
            port: free_port(),
            arguments: arguments.iter().map(|&argument| argument.into()).collect(),
            folder: tempfile::tempdir().expect("a folder"),
            child: None,
        };
        server.start().await;
        server
    }

    /// A sentinel with this configuration, which it rewrites.
    pub(crate) async fn sentinel(configuration: &str) -> Self {
        let mut server = Self {
            program: program("redis", "usr/bin/redis-server"),
            port: free_port(),
            arguments: vec!["sentinel.conf".into(), "--sentinel".into()],
            folder: tempfile::tempdir().expect("a folder"),
            child: None,
        };
        let file = server.folder.path().join("sentinel.conf");
        std::fs::write(file, format!("bind 127.0.0.1\n{configuration}")).expect("writes");
        server.start().await;
        server
    }

    /// Starts it, with what is in its folder.
    pub(crate) async fn start(&mut self) {
        let mut command = Command::new(&self.program);
        let sentinel = self.arguments.iter().any(|argument| argument == "--sentinel");
        if sentinel {
            command.args(&self.arguments);
        }
        command.args(["--port", &self.port.to_string(), "--daemonize", "no", "--logfile", "log"]);
        if !sentinel {
            command.args(["--bind", "127.0.0.1", "--save", "", "--appendonly", "yes"]).args(&self.arguments);
        }
        let child = command
            .current_dir(self.folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        self.child = Some(child.unwrap_or_else(|error| panic!("{}: {error}", self.program.display())));
        let end = Instant::now() + LONG;
        while self.try_client().await.is_err() {
            assert!(Instant::now() < end, "{}", self.said());
            sleep(Duration::from_millis(10)).await;
        }
    }

    fn said(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    /// kill -9.
    pub(crate) fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().and_then(|()| child.wait()).expect("it ends");
        }
    }

    /// Throws away what it has kept; it must not run.
    pub(crate) fn forget(&mut self) {
        assert!(self.child.is_none());
        for entry in std::fs::read_dir(self.folder.path()).expect("a folder").flatten() {
            let path = entry.path();
            if path.is_dir() && path.ends_with("appendonlydir") {
                std::fs::remove_dir_all(path).expect("it goes");
            }
        }
    }

    pub(crate) fn url(&self) -> StoreUrl {
        format!("redis://127.0.0.1:{}", self.port).parse().expect("a URL")
    }

    async fn try_client(&self) -> redis::RedisResult<MultiplexedConnection> {
        let client = redis::Client::open(format!("redis://127.0.0.1:{}/?protocol=resp3", self.port))?;
        let mut connection = client.get_multiplexed_async_connection().await?;
        let _: String = redis::cmd("PING").query_async(&mut connection).await?;
        Ok(connection)
    }

    /// A connection of the test's own.
    pub(crate) async fn client(&self) -> MultiplexedConnection {
        self.try_client().await.expect("it answers")
    }

    /// One command of the test's own, its words separated by spaces.
    pub(crate) async fn tell<T: redis::FromRedisValue>(&self, command: &str) -> T {
        let mut told = redis::Cmd::new();
        for word in command.split(' ') {
            told.arg(word);
        }
        told.query_async(&mut self.client().await).await.unwrap_or_else(|error| panic!("{command}: {error}"))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A store with a data folder of its own.
#[derive(Debug)]
pub(crate) struct Node {
    store: Redis,
    folder: TempDir,
}

impl std::ops::Deref for Node {
    type Target = Redis;
    fn deref(&self) -> &Redis {
        &self.store
    }
}

pub(crate) fn cluster(name: &str) -> Name {
    name.parse().expect("a name")
}

impl Node {
    /// A new node of the cluster `c`.
    pub(crate) async fn join(url: &StoreUrl) -> Self {
        Self::try_join(url, tempfile::tempdir().expect("a folder")).await.expect("opens")
    }

    pub(crate) async fn try_join(url: &StoreUrl, folder: TempDir) -> Result<Self, StoreError> {
        let store = timeout(LONG, Redis::open(url, &cluster("c"), folder.path(), Clock::System)).await;
        Ok(Self { store: store.expect("in time")?, folder })
    }

    /// Ends it, once it has written everything down.
    pub(crate) async fn stop(self) -> TempDir {
        self.store.flush(LONG).await;
        assert_eq!(self.store.health().saved, Some(self.store.health().revision));
        self.folder
    }

    pub(crate) async fn revision(&self) -> u64 {
        self.load().await.expect("loads").revision.0
    }

    /// Waits until it has seen this revision.
    pub(crate) async fn sees(&self, revision: u64) {
        let mut nudges = self.nudges();
        let seen = timeout(LONG, nudges.wait_for(|now| *now >= Revision(revision))).await;
        seen.unwrap_or_else(|_| panic!("revision {revision} has not come: {:?}", self.store))
            .expect("a store");
    }

    /// Waits until its state is such.
    pub(crate) async fn becomes(&self, wanted: impl Fn(&State) -> bool) -> State {
        let mut state = self.state();
        let found = timeout(LONG, state.wait_for(wanted)).await;
        found.unwrap_or_else(|_| panic!("not in time: {:?}", self.store)).expect("a store").clone()
    }

    pub(crate) async fn connected(&self) {
        self.becomes(|state| *state == State::Connected).await;
    }
}

/// A node, and the server that only it uses.
pub(crate) struct Alone {
    node: Node,
    _server: Server,
}

impl Alone {
    pub(crate) async fn new() -> Self {
        let server = Server::redis().await;
        Self { node: Node::join(&server.url()).await, _server: server }
    }
}

#[async_trait]
impl Store for Alone {
    async fn load(&self) -> Result<Arc<Catalog>, StoreError> {
        self.node.load().await
    }
    async fn commit(
        &self,
        expect: Revision,
        change: Change,
        note: Note,
    ) -> Result<Arc<Catalog>, CommitError> {
        self.node.commit(expect, change, note).await
    }
    async fn history(&self, before: Option<Revision>, limit: usize) -> Result<Vec<Entry>, StoreError> {
        self.node.history(before, limit).await
    }
    fn nudges(&self) -> watch::Receiver<Revision> {
        self.node.nudges()
    }
    fn describe(&self) -> String {
        self.node.describe()
    }
    fn journal(&self) -> Arc<dyn crate::Journal> {
        self.node.journal()
    }

    fn sessions(&self) -> Arc<dyn Sessions> {
        self.node.sessions()
    }
    fn health(&self) -> crate::store::Health {
        self.node.health()
    }
}
