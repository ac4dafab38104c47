//! A real HTTP server that is not ours: Python's, which keeps what it is sent.

use std::process::Command;
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

use super::process::{Process, eventually, free_port};

/// A server that runs; it ends with this value.
pub(crate) struct Recorder {
    /// Where it is.
    pub(crate) url: String,
    _process: Process,
    folder: TempDir,
}

/// A request that it was sent.
pub(crate) struct Received {
    /// `method`, `path`, and `headers` with lower-case names.
    pub(crate) head: Value,
    /// The body.
    pub(crate) body: Vec<u8>,
}

impl Recorder {
    /// Starts one.
    pub(crate) async fn start() -> Self {
        let (folder, port) = (TempDir::new().expect("a folder"), free_port());
        let mut command = Command::new("python3");
        command.args(["-c", include_str!("recorder.py"), &port.to_string()]).arg(folder.path());
        let mut process = Process::start(&mut command, &folder.path().join("log"));
        eventually(Duration::from_secs(20), "the HTTP server", async || {
            assert!(!process.has_ended(), "it ended:\n{}", process.said());
            tokio::net::TcpStream::connect(("127.0.0.1", port)).await.is_ok()
        })
        .await;
        Self { url: format!("http://127.0.0.1:{port}"), _process: process, folder }
    }

    /// What it was sent, in that order.
    pub(crate) fn received(&self) -> Vec<Received> {
        let read = |number: usize| {
            let file = |ending: &str| self.folder.path().join(format!("{number}.{ending}"));
            let head = std::fs::read(file("json")).ok()?;
            let head = serde_json::from_slice(&head).ok()?;
            Some(Received { head, body: std::fs::read(file("body")).expect("written before") })
        };
        (0..).map_while(read).collect()
    }
}
