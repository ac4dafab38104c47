//! The servers beside a node: Redis for limits that nodes share, OpenBao for callers whom it knows. They are processes of
//! the harness, so that what they cost is not taken for the node's.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

#[path = "../cluster/nodes.rs"]
pub mod nodes;
#[allow(dead_code, reason = "only nodes of the other harnesses are asked")]
#[path = "../cluster/wire.rs"]
mod wire;

use nodes::{Process, Redis};

/// The argument that tells a node where the server beside it is.
pub const BESIDE: &str = "--beside";
/// The token of OpenBao that is used.
pub const TOKEN: &str = "root";

/// See the module.
#[derive(Default)]
pub struct Counterparts {
    redis: Option<Redis>,
    vault: Option<(u16, Process)>,
    _folder: Option<tempfile::TempDir>,
}

impl Counterparts {
    /// Starts those that are installed.
    #[allow(clippy::disallowed_methods)] // real time
    pub fn start() -> Self {
        let folder = tempfile::TempDir::new().expect("a folder");
        let redis = Redis::start(&folder.path().join("redis"));
        let program = nodes::servers().join("openbao/bao");
        if !program.exists() {
            println!("Vault is left out: tests/servers.sh openbao installs it\n");
            return Self { redis: Some(redis), vault: None, _folder: Some(folder) };
        }
        let port = nodes::free_port();
        let mut command = Command::new(program);
        command.args(["server", "-dev", "-dev-no-store-token", &format!("-dev-root-token-id={TOKEN}")]);
        command.arg(format!("-dev-listen-address=127.0.0.1:{port}")).env("HOME", folder.path());
        command.stdout(Stdio::null()).stderr(Stdio::null());
        let vault = Process::of(command.spawn().expect("OpenBao starts"));
        let begun = Instant::now();
        while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(begun.elapsed() < Duration::from_secs(20), "OpenBao does not start");
            std::thread::sleep(Duration::from_millis(20));
        }
        Self { redis: Some(redis), vault: Some((port, vault)), _folder: Some(folder) }
    }

    /// Whether there is what this variant needs.
    pub fn has(&self, variant: &str) -> bool {
        variant != "vault" || self.vault.is_some()
    }

    /// What a node is told that serves this variant.
    pub fn arguments(&self, variant: &str) -> Vec<String> {
        let at = match (variant, &self.redis, &self.vault) {
            ("limited", Some(redis), _) => format!("redis://127.0.0.1:{}", redis.port),
            ("vault", _, Some((port, _))) => format!("http://127.0.0.1:{port}"),
            _ => return Vec::new(),
        };
        vec![BESIDE.into(), at]
    }
}
