//! The kind `connection.ftp`: files on an FTP server, in the clear or over TLS, through a pool of connections.

mod client;
mod failure;
mod listing;
mod pool;
mod session;
mod tickets;
mod transfer;

use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use config::{Fault, Secret, Span};
use schemars::JsonSchema;
use sdk::Result;
use serde::{Deserialize, Serialize};

use crate::connection::tls;
use crate::kind::{Kind, Start};
use crate::line::Line;
use crate::part::Part;

/// Files on an FTP server.
///
/// Transfers are binary always. Connections are opened when they are needed, kept in a pool, kept alive while they
/// are idle and replaced when the server closes them. A server that is away does not keep the definition from
/// starting: calls fail at once until it is back, which is tried again and again, ever more slowly, at most every
/// five seconds or so.
///
/// A file that is being written is there, in part, under its name; a reader that must not see that writes under
/// another name and renames it. When a transfer to the server fails or is given up, the connection is reset, so that
/// the server takes what it has for a failed upload and not for a short file.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Params {
    /// The server's name or address.
    pub host: String,
    /// Its port. Default: 21; 990 if `tls` is `implicit`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    /// Who logs in. Default: `anonymous`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub username: Option<String>,
    /// The password. After the server has refused it, it is not sent again for 30 seconds, so that an account is not
    /// locked by retries.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password: Option<Secret>,
    /// Whether commands and files are encrypted. Default: `none`.
    ///
    /// Both forms of TLS encrypt files as well as commands. The TLS session of the commands is resumed for each file, as
    /// many servers demand; nothing needs to be set there. TLS 1.3 and 1.2 are spoken. With a server that hands out
    /// too few tickets of TLS 1.3 to resume from, such as ProFTPD, only TLS 1.2 is spoken once they have run out.
    #[serde(default)]
    pub tls: Tls,
    /// A PEM file with the CAs that may have signed the server's certificate, on each node. Default: the system's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca: Option<PathBuf>,
    /// Whether the server's certificate is checked. Default: true. Without it, anybody can pose as the server.
    #[serde(default = "yes")]
    pub tls_verify: bool,
    /// The name that must be in the server's certificate. Default: `host`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server_name: Option<String>,
    /// Who opens the connection for each file. Default: `passive`.
    #[serde(default)]
    pub mode: Mode,
    /// To which address connections for files go in the mode `passive`. Default: `control`.
    #[serde(default)]
    pub passive_address: PassiveAddress,
    /// The most connections to the server at a time. Default: 4. Calls that find all of them busy wait, each until
    /// its own deadline; when 25 calls for each connection are waiting already, further ones are refused.
    #[serde(default = "pool")]
    pub pool: u16,
    /// How long the server may take for each command, and for each step of a transfer. Default: 10s. A large file may
    /// take longer, as long as it goes on.
    #[serde(default = "timeout")]
    pub timeout: Span,
    /// How long connecting may take, with TLS and login. Default: 10s.
    #[serde(default = "timeout")]
    pub connect_timeout: Span,
    /// How often the server is asked whether it is there, which also keeps idle connections open. Default: 30s.
    #[serde(default = "keep_alive")]
    pub keep_alive: Span,
    /// After how long a connection that nobody has used is closed. Default: 5m.
    #[serde(default = "idle")]
    pub idle: Span,
}

/// Whether commands and files are encrypted.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Tls {
    /// They are not.
    #[default]
    None,
    /// They are: a connection begins in the clear and is turned to TLS before the login (`AUTH TLS`).
    Explicit,
    /// They are: a connection begins with TLS. An older form, on a port of its own.
    Implicit,
}

/// Who opens the connection for each file.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    /// This node does (`PASV`). Towards an IPv6 address, `extended-passive` is used instead.
    #[default]
    Passive,
    /// This node does, and the server names only a port (`EPSV`): for IPv6, and through NAT.
    ExtendedPassive,
    /// The server does (`PORT`, or `EPRT` over IPv6), to the address from which this node reached it, and from no
    /// other than its own. It must be able to connect to this node.
    Active,
}

/// To which address connections for files go.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum PassiveAddress {
    /// To the one that the commands go to. A server behind NAT often names one that cannot be reached, and a hostile
    /// one could name somebody else's.
    #[default]
    Control,
    /// To the one that the server names: it serves files from another host.
    Server,
}

fn yes() -> bool {
    true
}
fn pool() -> u16 {
    4
}
fn timeout() -> Span {
    Span::secs(10)
}
fn keep_alive() -> Span {
    Span::secs(30)
}
fn idle() -> Span {
    Span::secs(300)
}

/// The kind `connection.ftp`.
pub struct FtpKind;

#[async_trait]
impl Kind for FtpKind {
    const TAG: &'static str = "connection.ftp";
    type Params = Params;

    fn example() -> Params {
        Params {
            host: "127.0.0.1".into(),
            port: Some(2121),
            username: Some("api".into()),
            password: Some(Secret::new("${FTP_PASSWORD}")),
            tls: Tls::None,
            ca: None,
            tls_verify: true,
            server_name: None,
            mode: Mode::Passive,
            passive_address: PassiveAddress::Control,
            pool: pool(),
            timeout: timeout(),
            connect_timeout: timeout(),
            keep_alive: keep_alive(),
            idle: idle(),
        }
    }

    fn check(params: &Params) -> Vec<Fault> {
        check(params)
    }

    fn offers(_: &Params) -> Option<Vec<&'static str>> {
        Some(Vec::new())
    }

    async fn start(params: Params, start: Start) -> Result<Part> {
        let config =
            |versions| tls::client_config_of(versions, params.ca.as_deref(), None, params.tls_verify);
        let tls = match params.tls {
            Tls::None => None,
            form => Some(session::TlsSettings {
                implicit: form == Tls::Implicit,
                newest: config(rustls::DEFAULT_VERSIONS)?,
                tls12: config(tickets::TLS12_ONLY)?,
                name: params.server_name.unwrap_or_else(|| params.host.clone()),
            }),
        };
        let settings = session::Settings {
            port: params.port.unwrap_or(if params.tls == Tls::Implicit { 990 } else { 21 }),
            host: params.host,
            username: params.username.unwrap_or_else(|| "anonymous".into()),
            // What anonymous servers like to be told is a mail address; any text will do.
            password: params.password.unwrap_or_else(|| Secret::new("anonymous@")),
            tls,
            mode: params.mode,
            passive_address: params.passive_address,
            timeout: params.timeout.get(),
            connect_timeout: params.connect_timeout.get(),
            keep_alive: params.keep_alive.get(),
            idle: params.idle.get(),
        };
        let pool = pool::Pool::new(settings, params.pool.into());
        Ok(Part::Connection(Arc::new(client::Client::new(pool, Line::of(&start)))))
    }
}

fn check(params: &Params) -> Vec<Fault> {
    let mut faults = Vec::new();
    let host = params.host.trim();
    if host.is_empty() || host.contains(['/', '@', ' ']) || host != params.host {
        // It is not shown: a whole URL has a password in it.
        let fault = Fault::new("host", "this is no host");
        faults.push(fault.hint("only the name or address: no ftp://, no user, no path"));
    }
    if params.port == Some(0) {
        faults
            .push(Fault::new("port", "0 is no port").hint("leave it out for 21, or 990 with tls: implicit"));
    }
    if params.pool == 0 {
        faults.push(Fault::new("pool", "a pool of 0 lets nothing through").hint("1 or more; 4 by default"));
    }
    if params.password.is_some() && params.username.is_none() {
        faults.push(Fault::new("password", "whose password is not said").hint("give a username"));
    }
    let lines = |text: &str| text.contains(['\r', '\n']);
    if params.username.as_deref().is_some_and(lines) {
        faults.push(Fault::new("username", "it must be one line"));
    }
    if params.password.as_ref().is_some_and(|secret| lines(secret.reveal())) {
        faults.push(Fault::new("password", "it must be one line").hint("does it end with a line feed?"));
    }
    let tls_only = [
        ("ca", params.ca.is_some()),
        ("server_name", params.server_name.is_some()),
        ("tls_verify", !params.tls_verify),
    ];
    for (name, _) in tls_only.iter().filter(|(_, given)| *given && params.tls == Tls::None) {
        faults.push(
            Fault::new(*name, "it means nothing without TLS").hint("add tls: explicit, or take it out"),
        );
    }
    if params.ca.is_some() && !params.tls_verify {
        faults.push(Fault::new("ca", "it means nothing with tls_verify: false").hint("take one of them out"));
    }
    if params.mode != Mode::Passive && params.passive_address == PassiveAddress::Server {
        faults.push(Fault::new("passive_address", "it means something only in the mode passive"));
    }
    let spans = [
        ("timeout", params.timeout),
        ("connect_timeout", params.connect_timeout),
        ("keep_alive", params.keep_alive),
        ("idle", params.idle),
    ];
    for (name, _) in spans.iter().filter(|(_, span)| span.get().is_zero()) {
        faults.push(Fault::new(*name, "it must be longer than nothing"));
    }
    faults
}

#[cfg(test)]
mod tests {
    use config::{Clear, Rules as _};

    use super::*;

    fn faults(params: serde_json::Value) -> Vec<String> {
        let serde_json::Value::Object(params) = params else { panic!("an object") };
        let registry = crate::Registry::new(&[], &[]).expect("a registry");
        let draft = config::Draft {
            id: "connection/my.ftp".parse().expect("an id"),
            kind: FtpKind::TAG.parse().expect("a tag"),
            enabled: true,
            params: Clear(params),
            place: config::Place::default(),
        };
        registry.check(&draft).faults.into_iter().map(|fault| fault.at).collect()
    }

    #[test]
    fn a_host_is_enough_and_each_thing_that_makes_no_sense_is_a_fault() {
        assert!(faults(serde_json::json!({"host": "files.example.com"})).is_empty());
        let bad = serde_json::json!({
            "host": "ftp://files", "port": 0, "password": "two\nlines", "ca": "ca.pem", "tls_verify": false,
            "mode": "active", "passive_address": "server", "pool": 0, "timeout": "0s"
        });
        let expected = [
            "host",
            "port",
            "pool",
            "password",
            "password",
            "ca",
            "tls_verify",
            "ca",
            "passive_address",
            "timeout",
        ];
        assert_eq!(faults(bad), expected);
        assert_eq!(faults(serde_json::json!({"host": "h", "tls": "maybe", "pol": 1})), ["tls", "pol"]);
    }
}
