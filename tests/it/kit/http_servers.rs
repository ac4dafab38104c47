//! HTTP servers that are not ours.

use std::net::{Ipv4Addr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use super::certs::Certificate;
use super::process::{Process, eventually, free_port, installed, is_root};

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

/// nginx, over TLS with HTTP/2, and in the clear with HTTP/2 only. It answers with the protocol, the cid and the name in
/// the client's certificate, and closes a connection after five requests. It ends with this value.
pub(crate) struct Nginx {
    _folder: tempfile::TempDir,
    _process: Process,
    /// Where it speaks TLS.
    pub(crate) tls: String,
    /// Where it does not.
    pub(crate) clear: String,
}

impl Nginx {
    /// With this certificate; it asks clients for one of the CA in `client_ca`.
    pub(crate) async fn start(own: &Certificate, client_ca: &Path) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let at = folder.path().display();
        let (tls, clear) = (free_port(), free_port());
        let user = if is_root() { "user root;" } else { "" };
        let (certificate, key, client_ca) =
            (own.certificate.display(), own.key.display(), client_ca.display());
        let config = format!(
            "daemon off; {user} worker_processes 1; pid {at}/pid; error_log stderr;
            events {{}}
            http {{
                access_log off; keepalive_requests 5;
                client_body_temp_path {at}/body; proxy_temp_path {at}/proxy; fastcgi_temp_path {at}/fastcgi;
                uwsgi_temp_path {at}/uwsgi; scgi_temp_path {at}/scgi;
                server {{
                    listen 127.0.0.1:{tls} ssl http2; listen 127.0.0.1:{clear} http2;
                    ssl_certificate {certificate}; ssl_certificate_key {key};
                    ssl_client_certificate {client_ca}; ssl_verify_client optional;
                    location / {{ return 200 '$server_protocol $http_x_zeugma_cid $ssl_client_verify'; }}
                }}
            }}"
        );
        let path = folder.path().join("nginx.conf");
        std::fs::write(&path, config).expect("a file for the configuration");
        let mut command = Command::new(installed("nginx", "usr/sbin/nginx"));
        command.arg("-p").arg(folder.path()).arg("-e").arg("stderr").arg("-c").arg(&path);
        let process = Process::start(&mut command, &folder.path().join("log"));
        let listens = async || TcpStream::connect((Ipv4Addr::LOCALHOST, tls)).is_ok();
        eventually(Duration::from_secs(10), "nginx listens", listens).await;
        let (tls, clear) = (format!("https://127.0.0.1:{tls}"), format!("http://127.0.0.1:{clear}"));
        Self { _folder: folder, _process: process, tls, clear }
    }
}
