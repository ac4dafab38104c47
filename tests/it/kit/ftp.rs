//! Real FTP servers: vsftpd, ProFTPD and pyftpdlib, each in the clear or with TLS, for one test each.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};
use suppaftp::tokio::{AsyncRustlsConnector, AsyncRustlsFtpStream};
use tempfile::TempDir;

use super::certs::{Ca, Certificate};
use super::process::{Process, eventually, free_port, installed, is_root, user_id};

/// Who logs in where there are users.
pub(crate) const USER: &str = "api";
/// Their password.
pub(crate) const PASSWORD: &str = "s3cret-Word";
/// The same as ProFTPD's file of users has it.
const PASSWORD_HASH: &str = "$6$6nGXXIZHVq5S4VGq$cBoAcqXOAlvDEU03QeE02vLwLJSJmZd6HmJaqsFxvMZpbBLnF0/2EmSbaefyXKXDrem.Sp69sxxRYmtHapADw/";
/// The user without rights that servers which will not be root become.
const NOBODY: u32 = 65534;
/// How long a server may take until it answers.
const STARTS: Duration = Duration::from_secs(20);

/// Which server.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Brand {
    /// Anonymous users only, so that it needs no user of the system; they see the files of the whole machine, and begin
    /// in the server's folder. Demands that TLS sessions are resumed. No MLSD.
    Vsftpd,
    /// Demands that TLS sessions are resumed. Run by root, the server's folder is `/`.
    Proftpd,
    /// One process for all connections. The server's folder is `/`.
    Pyftpdlib,
}

/// Its TLS.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Tls {
    /// None.
    No,
    /// By `AUTH TLS`.
    Explicit,
    /// The same, in version 1.3 and no other. ProFTPD only.
    Only13,
    /// From the first byte.
    Implicit,
}

/// A server that runs; it ends with this value.
pub(crate) struct FtpServer {
    /// Its port.
    pub(crate) port: u16,
    brand: Brand,
    tls: Tls,
    command: Command,
    process: Process,
    folder: TempDir,
}

impl FtpServer {
    /// Starts one.
    pub(crate) async fn start(brand: Brand, tls: Tls) -> Self {
        Self::start_with_idle(brand, tls, 300).await
    }

    /// Starts one that closes connections which are idle for so many seconds.
    pub(crate) async fn start_with_idle(brand: Brand, tls: Tls, idle: u32) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        open_to_nobody(folder.path(), 0o755);
        let files = folder.path().join("files");
        std::fs::create_dir(&files).expect("a folder for the files");
        open_to_nobody(&files, 0o755);
        let ca = Ca::new("the CA of a test");
        ca.write(folder.path());
        let certificate = ca.issue(&["localhost", "127.0.0.1"], folder.path());
        let port = free_port();
        let command = match brand {
            Brand::Vsftpd => vsftpd(folder.path(), port, tls, idle, &certificate),
            Brand::Proftpd => proftpd(folder.path(), port, tls, idle, &certificate),
            Brand::Pyftpdlib => pyftpdlib(folder.path(), port, tls, idle, &certificate),
        };
        let mut command = command;
        let process = Process::start(&mut command, &folder.path().join("log"));
        let mut server = Self { port, brand, tls, command, process, folder };
        server.ready().await;
        server
    }

    /// The parameters of a connection to it.
    pub(crate) fn params(&self) -> Value {
        let mut params = json!({"host": "127.0.0.1", "port": self.port});
        if self.brand != Brand::Vsftpd {
            params["username"] = USER.into();
            params["password"] = PASSWORD.into();
        }
        if self.tls != Tls::No {
            params["tls"] = if self.tls == Tls::Implicit { "implicit" } else { "explicit" }.into();
            params["ca"] = self.ca().to_string_lossy().into();
        }
        params
    }

    /// The certificate of the CA that signed its own.
    pub(crate) fn ca(&self) -> PathBuf {
        self.folder.path().join("ca.pem")
    }

    /// Where one of its files is.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join("files").join(name)
    }

    /// Puts a file there, as if its user had.
    pub(crate) fn put(&self, name: &str, bytes: &[u8]) {
        let mut path = self.file("");
        for folder in Path::new(name).parent().into_iter().flatten() {
            path.push(folder);
            if !path.exists() {
                std::fs::create_dir(&path).expect("a folder");
                open_to_nobody(&path, 0o755);
            }
        }
        std::fs::write(self.file(name), bytes).expect("a file");
        open_to_nobody(&self.file(name), 0o644);
    }

    /// What it has logged.
    pub(crate) fn said(&self) -> String {
        self.process.said()
    }

    /// Ends it at once.
    pub(crate) fn kill(&mut self) {
        self.process.kill();
    }

    /// Starts it again after it was ended, at the same port.
    pub(crate) async fn restart(&mut self) {
        self.process = Process::start(&mut self.command, &self.folder.path().join("log"));
        self.ready().await;
    }

    /// Keeps it, and all the processes it has started, from running.
    pub(crate) fn pause(&self) {
        self.process.signal("STOP");
    }

    /// Lets it run again.
    pub(crate) fn resume(&self) {
        self.process.signal("CONT");
    }

    /// Waits for its greeting: an open port alone says little.
    async fn ready(&mut self) {
        let config = actors::connection::tls::client_config(None, None, false).expect("TLS of a client");
        let connector = tokio_rustls::TlsConnector::from(std::sync::Arc::new(config));
        let address = ("127.0.0.1", self.port);
        let (tls, process) = (self.tls, &mut self.process);
        eventually(STARTS, "the greeting of an FTP server", async || {
            assert!(!process.has_ended(), "it ended:\n{}", process.said());
            let greeted = async {
                match tls {
                    Tls::Implicit => {
                        let connector = AsyncRustlsConnector::from(connector.clone());
                        AsyncRustlsFtpStream::connect_secure_implicit(address, connector, "localhost").await
                    }
                    _ => AsyncRustlsFtpStream::connect(address).await,
                }
            };
            matches!(tokio::time::timeout(Duration::from_secs(2), greeted).await, Ok(Ok(_)))
        })
        .await;
    }
}

/// Lets the user that a server becomes, if it does not stay root, go there and write.
fn open_to_nobody(folder: &Path, mode: u32) {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::set_permissions(folder, std::fs::Permissions::from_mode(mode)).expect("its rights can be set");
    if is_root() {
        std::os::unix::fs::chown(folder, Some(NOBODY), Some(NOBODY)).expect("root can give it away");
    }
}

fn write(folder: &Path, name: &str, text: &str) -> PathBuf {
    use std::os::unix::fs::PermissionsExt as _;
    let path = folder.join(name);
    std::fs::write(&path, text).expect("a file for the server");
    // Servers that are careful do not read what others could have written or, for users, even read.
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).expect("its rights can be set");
    path
}

fn vsftpd(folder: &Path, port: u16, tls: Tls, idle: u32, certificate: &Certificate) -> Command {
    let files = folder.join("files");
    let mut text = format!(
        "listen=YES\nlisten_address=127.0.0.1\nlisten_port={port}\nbackground=NO\n\
         run_as_launching_user=YES\nseccomp_sandbox=NO\nftp_username=nobody\nsecure_chroot_dir={files}\n\
         anonymous_enable=YES\nlocal_enable=NO\nanon_root={files}\nallow_writeable_chroot=YES\n\
         write_enable=YES\nanon_upload_enable=YES\nanon_mkdir_write_enable=YES\nanon_other_write_enable=YES\n\
         anon_world_readable_only=NO\nanon_umask=022\nxferlog_enable=NO\nidle_session_timeout={idle}\n\
         connect_from_port_20=NO\n",
        files = files.display(),
    );
    if tls != Tls::No {
        text += &format!(
            "ssl_enable=YES\nallow_anon_ssl=YES\nforce_anon_logins_ssl=YES\nforce_anon_data_ssl=YES\n\
             require_ssl_reuse=YES\nssl_ciphers=HIGH\nimplicit_ssl={implicit}\n\
             rsa_cert_file={cert}\nrsa_private_key_file={key}\n",
            implicit = if tls == Tls::Implicit { "YES" } else { "NO" },
            cert = certificate.certificate.display(),
            key = certificate.key.display(),
        );
    }
    let mut command = Command::new(installed("vsftpd", "usr/sbin/vsftpd"));
    command.arg(write(folder, "vsftpd.conf", &text));
    command
}

fn proftpd(folder: &Path, port: u16, tls: Tls, idle: u32, certificate: &Certificate) -> Command {
    let root = installed("proftpd", "usr/sbin/proftpd");
    let modules = root.ancestors().nth(2).expect("its folder").join("lib/proftpd");
    // Root may not log in, and root becomes nobody without being asked; anybody else stays who they are.
    let user = if is_root() { NOBODY } else { user_id() };
    let files = folder.join("files");
    let users = format!("{USER}:{PASSWORD_HASH}:{user}:{user}::{}:/bin/false\n", files.display());
    let users = write(folder, "users", &users);
    let turns_into = match is_root() {
        true => "User nobody\nGroup nogroup\nDefaultRoot ~\n".to_owned(),
        false => format!("User {}\nGroup {}\n", own("-un"), own("-gn")),
    };
    let mut text = format!(
        "ServerName test\nServerType standalone\nDefaultServer on\nPort {port}\nDefaultAddress 127.0.0.1\n\
         UseIPv6 off\nUseReverseDNS off\n{turns_into}AuthOrder mod_auth_file.c\nAuthUserFile {users}\n\
         RequireValidShell off\nWtmpLog off\nTransferLog none\nAllowOverwrite on\nAllowStoreRestart on\nDelayEngine off\nControlsEngine off\n\
         TimeoutIdle {idle}\nSystemLog {folder}/proftpd.log\nPidFile {folder}/pid\nScoreboardFile {folder}/score\n",
        users = users.display(),
        folder = folder.display(),
    );
    if tls != Tls::No {
        text += &format!(
            "ModulePath {modules}\nLoadModule mod_tls.c\nTLSEngine on\nTLSRequired on\nTLSLog {folder}/tls.log\n\
             TLSProtocol {versions}\nTLSECCertificateFile {cert}\nTLSECCertificateKeyFile {key}\n{implicit}",
            modules = modules.display(),
            folder = folder.display(),
            cert = certificate.certificate.display(),
            key = certificate.key.display(),
            versions = if tls == Tls::Only13 { "TLSv1.3" } else { "TLSv1.2 TLSv1.3" },
            implicit = if tls == Tls::Implicit { "TLSOptions UseImplicitSSL\n" } else { "" },
        );
    }
    let mut command = Command::new(root);
    command.args(["--nodaemon", "--quiet", "--config"]).arg(write(folder, "proftpd.conf", &text));
    command
}

/// The name of this user or group.
fn own(what: &str) -> String {
    let said = Command::new("id").arg(what).output().expect("a name").stdout;
    String::from_utf8_lossy(&said).trim().to_owned()
}

fn pyftpdlib(folder: &Path, port: u16, tls: Tls, idle: u32, certificate: &Certificate) -> Command {
    assert_ne!(tls, Tls::Implicit, "it has none");
    let mut command = Command::new(installed("pyftpdlib", "bin/python"));
    command.args(["-c", include_str!("ftp_server.py"), &port.to_string()]).arg(folder.join("files"));
    command.arg(idle.to_string());
    if tls == Tls::Explicit {
        command.arg(&certificate.certificate).arg(&certificate.key);
    }
    command
}
