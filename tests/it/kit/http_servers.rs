//! HTTP servers that are not ours.

use std::net::{Ipv4Addr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use super::certs::Certificate;
use super::process::{Process, eventually, free_port};

/// Python's, with `http_server.py`, which says what it answers. It ends with this value.
pub(crate) struct PythonHttp {
    folder: tempfile::TempDir,
    port: u16,
    tls: Vec<PathBuf>,
    process: Option<Process>,
}

impl PythonHttp {
    /// One that speaks in the clear.
    pub(crate) async fn start() -> Self {
        let mut server = Self::away(Vec::new());
        server.come().await;
        server
    }

    /// One with this certificate, which demands one from the CA in `client_ca` if that is given.
    pub(crate) async fn start_tls(own: &Certificate, client_ca: Option<&Path>) -> Self {
        let own = [own.certificate.clone(), own.key.clone()].into_iter();
        let mut server = Self::away(own.chain(client_ca.map(Path::to_owned)).collect());
        server.come().await;
        server
    }

    /// One that has a port, and does not run yet.
    pub(crate) fn away(tls: Vec<PathBuf>) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        Self { folder, port: free_port(), tls, process: None }
    }

    /// Starts it.
    pub(crate) async fn come(&mut self) {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/kit/http_server.py");
        let mut command = Command::new("python3");
        command.arg(script).arg(self.port.to_string()).args(&self.tls);
        let process = Process::start(&mut command, &self.folder.path().join("log"));
        self.process = Some(process);
        let port = self.port;
        let listens = async || TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok();
        eventually(Duration::from_secs(10), "Python's HTTP server listens", listens).await;
    }

    /// Ends it, as a crash would. It can come back on the same port.
    pub(crate) fn go(&mut self) {
        self.process = None;
    }

    /// The URL of a path.
    pub(crate) fn url(&self, path: &str) -> String {
        let scheme = if self.tls.is_empty() { "http" } else { "https" };
        format!("{scheme}://127.0.0.1:{}{path}", self.port)
    }
}
