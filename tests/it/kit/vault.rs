//! A real server that speaks as Vault does: OpenBao. And, in front of it, the two log-ins that it does not have.

use std::net::{Ipv4Addr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};

use super::certs::Certificate;
use super::process::{Process, eventually, free_port, installed};

/// OpenBao in memory, unsealed, with the log-in by user name and both key-value engines. It ends with this value.
pub(crate) struct Bao {
    folder: tempfile::TempDir,
    port: u16,
    tls_port: u16,
    tls: Option<(PathBuf, PathBuf, PathBuf)>,
    process: Option<Process>,
    client: reqwest::Client,
}

impl Bao {
    /// One that speaks in the clear.
    pub(crate) async fn start() -> Self {
        let mut bao = Self::away(None);
        bao.come().await;
        bao
    }

    /// One that also speaks TLS, and there demands a certificate from the CA in `client_ca`.
    pub(crate) async fn start_tls(own: &Certificate, client_ca: &Path) -> Self {
        let mut bao = Self::away(Some((own.certificate.clone(), own.key.clone(), client_ca.to_owned())));
        bao.come().await;
        bao
    }

    /// One that has a port, and does not run yet.
    pub(crate) fn away(tls: Option<(PathBuf, PathBuf, PathBuf)>) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let client = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(20)).build();
        let client = client.expect("a client");
        Self { folder, port: free_port(), tls_port: free_port(), tls, process: None, client }
    }

    /// Starts it, with nothing in it.
    pub(crate) async fn come(&mut self) {
        let mut command = Command::new(installed("openbao", "bao"));
        command.args(["server", "-dev", "-dev-root-token-id=root", "-dev-no-store-token"]);
        command.arg(format!("-dev-listen-address=127.0.0.1:{}", self.port)).env("HOME", self.folder.path());
        if let Some((certificate, key, client_ca)) = &self.tls {
            let (certificate, key, ca) = (certificate.display(), key.display(), client_ca.display());
            let config = format!(
                r#"listener "tcp" {{
                    address = "127.0.0.1:{}"
                    tls_cert_file = "{certificate}"
                    tls_key_file = "{key}"
                    tls_client_ca_file = "{ca}"
                    tls_require_and_verify_client_cert = true
                }}"#,
                self.tls_port
            );
            let path = self.folder.path().join("bao.hcl");
            std::fs::write(&path, config).expect("a file for the configuration");
            command.arg(format!("-config={}", path.display()));
        }
        self.process = Some(Process::start(&mut command, &self.folder.path().join("log")));
        let health = format!("{}/v1/sys/health", self.url());
        let client = self.client.clone();
        eventually(Duration::from_secs(30), "OpenBao is ready", async || {
            client.get(&health).send().await.is_ok_and(|answer| answer.status().is_success())
        })
        .await;
        self.root(Method::POST, "sys/auth/userpass", json!({"type": "userpass"})).await;
        self.root(Method::POST, "sys/auth/approle", json!({"type": "approle"})).await;
        self.root(Method::POST, "sys/mounts/kv1", json!({"type": "kv", "options": {"version": "1"}})).await;
    }

    /// Ends it, as a crash would; what was in it is lost. It can come back on the same port.
    pub(crate) fn go(&mut self) {
        self.process = None;
    }

    /// Sends a signal to its process.
    pub(crate) fn signal(&self, signal: &str) {
        self.process.as_ref().expect("it runs").signal(signal);
    }

    /// Where it speaks in the clear.
    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Where it speaks TLS.
    pub(crate) fn tls_url(&self) -> String {
        format!("https://127.0.0.1:{}", self.tls_port)
    }

    /// A request with the root token, which must be granted.
    pub(crate) async fn root(&self, method: Method, path: &str, body: Value) -> Value {
        let request =
            self.client.request(method, format!("{}/v1/{path}", self.url())).header("X-Vault-Token", "root");
        let answer = request.json(&body).send().await.expect("an answer");
        let (status, text) = (answer.status(), answer.text().await.expect("text"));
        assert!(status.is_success(), "{path}: {status} {text}");
        if text.is_empty() { Value::Null } else { serde_json::from_str(&text).expect("JSON") }
    }

    /// A user with this password, whose tokens have this policy and live this long.
    pub(crate) async fn user(&self, name: &str, password: &str, policy: &str, ttl: &str) {
        let user = json!({"password": password, "token_policies": [policy], "token_ttl": ttl});
        self.root(Method::POST, &format!("auth/userpass/users/{name}"), user).await;
    }

    /// A policy of this text.
    pub(crate) async fn policy(&self, name: &str, text: &str) {
        self.root(Method::POST, &format!("sys/policies/acl/{name}"), json!({ "policy": text })).await;
    }

    /// A token with these properties.
    pub(crate) async fn token(&self, properties: Value) -> String {
        let made = self.root(Method::POST, "auth/token/create", properties).await;
        made["auth"]["client_token"].as_str().expect("a token").to_owned()
    }

    /// Revokes a token.
    pub(crate) async fn revoke(&self, token: &str) {
        self.root(Method::POST, "auth/token/revoke", json!({ "token": token })).await;
    }

    /// Writes a secret into the engine that keeps versions.
    pub(crate) async fn put(&self, path: &str, fields: Value) {
        self.root(Method::POST, &format!("secret/data/{path}"), json!({ "data": fields })).await;
    }

    /// Seals it.
    pub(crate) async fn seal(&self) {
        self.root(Method::PUT, "sys/seal", json!({})).await;
    }

    /// Unseals it.
    pub(crate) async fn unseal(&self) {
        let said = self.process.as_ref().expect("it runs").said();
        let key = said.lines().find_map(|line| line.trim().strip_prefix("Unseal Key: ")).expect("its key");
        let unsealed =
            self.client.put(format!("{}/v1/sys/unseal", self.url())).json(&json!({"key": key.trim()}));
        let answer: Value = unsealed.send().await.expect("an answer").json().await.expect("JSON");
        assert_eq!(answer["sealed"], false, "{answer}");
    }
}

/// A real directory that knows `clerk` by the password `d1rectory`. It ends with this value.
pub(crate) struct Slapd {
    _folder: tempfile::TempDir,
    _process: Process,
    port: u16,
}

impl Slapd {
    pub(crate) async fn start() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let at = folder.path().display();
        let home = installed("slapd", "usr");
        let (home, port) = (home.parent().expect("a folder").display().to_string(), free_port());
        std::fs::create_dir(folder.path().join("db")).expect("a folder");
        let config = format!(
            "include {home}/etc/ldap/schema/core.schema\ninclude {home}/etc/ldap/schema/cosine.schema\n\
             include {home}/etc/ldap/schema/inetorgperson.schema\npidfile {at}/pid\nmodulepath {home}/usr/lib/ldap\n\
             moduleload back_mdb.so\ndatabase mdb\nsuffix \"dc=test\"\ndirectory {at}/db\n"
        );
        let people = "dn: dc=test\nobjectClass: dcObject\nobjectClass: organization\ndc: test\no: test\n\n\
                      dn: uid=clerk,dc=test\nobjectClass: inetOrgPerson\nuid: clerk\ncn: clerk\nsn: clerk\n\
                      userPassword: d1rectory\n";
        std::fs::write(folder.path().join("slapd.conf"), config).expect("a file");
        std::fs::write(folder.path().join("people.ldif"), people).expect("a file");
        let libraries = format!("{home}/usr/lib/x86_64-linux-gnu:{home}/usr/lib/aarch64-linux-gnu");
        let config = format!("{at}/slapd.conf");
        let mut add = Command::new(format!("{home}/usr/sbin/slapadd"));
        let add =
            add.args(["-f", &config, "-l", &format!("{at}/people.ldif")]).env("LD_LIBRARY_PATH", &libraries);
        assert!(add.status().expect("slapadd runs").success());
        let mut command = Command::new(format!("{home}/usr/sbin/slapd"));
        command.args(["-d", "0", "-h", &format!("ldap://127.0.0.1:{port}"), "-f", &config]);
        let process = Process::start(command.env("LD_LIBRARY_PATH", &libraries), &folder.path().join("log"));
        let listens = async || TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok();
        eventually(Duration::from_secs(10), "slapd listens", listens).await;
        Self { _folder: folder, _process: process, port }
    }
}

/// OpenBao with log-ins by LDAP, against a real directory, and by GitHub, which is a stand-in. See `vault_facade.py`.
pub(crate) struct Facade {
    _process: Process,
    _folder: tempfile::TempDir,
    port: u16,
}

impl Facade {
    pub(crate) async fn before(bao: &Bao, slapd: &Slapd) -> Self {
        let (folder, port) = (tempfile::tempdir().expect("a folder"), free_port());
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/kit/vault_facade.py");
        let mut command = Command::new("python3");
        command.arg(script).args([&port.to_string(), &bao.url(), "root"]);
        command.arg(installed("slapd", "usr/bin/ldapwhoami")).arg(format!("ldap://127.0.0.1:{}", slapd.port));
        let process = Process::start(&mut command, &folder.path().join("log"));
        let listens = async || TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok();
        eventually(Duration::from_secs(10), "the facade listens", listens).await;
        Self { _process: process, _folder: folder, port }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }
}
