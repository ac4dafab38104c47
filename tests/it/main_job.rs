//! The main job with the real program, real FTP servers and curl: what comes in by REST is stored on an FTP server,
//! byte for byte, while everything is changed, crashes, goes away, comes back and stops.

mod billing;
mod crash;
mod live;
mod outage;
mod stop;
mod stores;

use std::path::PathBuf;

use serde_json::{Value, json};

use crate::kit::ftp::{Brand, FtpServer, Tls};
use crate::kit::process::is_root;
use crate::kit::program::{PASSWORD, Program};

/// A server whose folder is `/` to its users, which ProFTPD can do if it is run by root.
async fn server(brand: Brand, tls: Tls) -> FtpServer {
    FtpServer::start(if is_root() { brand } else { Brand::Pyftpdlib }, tls).await
}

/// The connection `my.ftp` to this server.
fn my_ftp(server: &FtpServer) -> Value {
    let mut connection = server.params();
    connection["name"] = "my.ftp".into();
    connection["type"] = "ftp".into();
    connection
}

/// The log-in of the callers.
fn clerk() -> Value {
    json!({"name": "clerk", "type": "basic", "username": "clerk", "password": "${CLERK_PASSWORD}"})
}

/// The channel at `/ftp`.
fn ftp_handler() -> Value {
    json!({"name": "ftp-handler", "type": "rest", "path": "/ftp", "method": "POST", "service": "ftp-handler",
           "security": "clerk", "body_limit": "64MB"})
}

/// Everything that the main job needs.
fn bundle(server: &FtpServer) -> Value {
    json!({"security": [clerk()], "connections": [my_ftp(server)], "channels": [ftp_handler()]})
}

/// The arguments of curl that log in.
fn login() -> [String; 2] {
    ["--user".into(), format!("clerk:{PASSWORD}")]
}

/// Sends a file to `/ftp` with curl.
fn send(node: &Program, file: &std::path::Path) -> crate::kit::curl::Curl {
    let [flag, user] = login();
    node.curl("/ftp").with(&[&flag, &user]).file(file)
}

/// Where the file that this answer speaks of is on the server's disk.
fn stored(server: &FtpServer, answer: &Value) -> PathBuf {
    let path = answer["path"].as_str().expect("a path");
    server.file(path.strip_prefix('/').expect("an absolute path"))
}
