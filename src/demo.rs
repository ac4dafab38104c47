//! `zeugma start --demo`: the quickstart example on a running node, with a throw-away FTP server on loopback, so that
//! the main job runs with nothing else installed.

use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use config::store::Note;
use config::{Draft, Secret};
use sdk::{Error, Result};
use tokio::net::TcpStream;
use tokio::time::Instant;
use unftp_core::auth::{AuthenticationError, Authenticator, Credentials, Principal};

use crate::app::Node;
use crate::definitions::Options;

/// The example, as the repository has it.
const BUNDLE: &str = include_str!("../examples/quickstart/zeugma.yaml");
/// The log-in that the printed commands use. It guards nothing but this demo.
const CLERK: (&str, &str) = ("clerk", "demo");
/// The port of the FTP server, unless something else has it.
const FTP_PORT: u16 = 2121;
/// What the billing example sends.
const INVOICE: &str = "invoice,amount\n1001,25.00\n1002,17.50\n";

/// A demo that runs; it prints as the commands to try.
pub struct Demo {
    data: SocketAddr,
    files: PathBuf,
    ftp: SocketAddr,
}

impl Demo {
    /// Starts the FTP server, which ends with the node, and applies the example.
    ///
    /// # Errors
    /// If the FTP server does not start, or the example does not apply.
    pub async fn start(node: &Node) -> Result<Self> {
        let files = std::path::absolute(node.app.settings.data.join("demo-ftp"))?;
        std::fs::create_dir_all(files.join("home/api"))?;
        std::fs::write(files.join("home/api/billing.csv"), INVOICE)?;
        let password = random_password()?;
        let ftp = serve_ftp(node, &files, &password).await?;

        let lookup = |name: &str| match name {
            "CLERK_PASSWORD" => Some(CLERK.1.to_owned()),
            "FTP_PASSWORD" => Some(password.reveal().to_owned()),
            "ERP_URL" => Some(format!("http://{}/erp", node.data)),
            _ => None,
        };
        let fault = |faults: config::Faults| Error::internal(format!("the example: {faults}"));
        let drafts = config::bundle::parse(BUNDLE, Some("zeugma.yaml")).map_err(fault)?;
        let mut drafts = config::bundle::substitute(drafts, &lookup).map_err(fault)?;
        for draft in &mut drafts {
            at_port(draft, ftp.port());
        }
        let note =
            Note { author: "demo".into(), reason: Some("zeugma start --demo".into()), ..Note::default() };
        node.app
            .definitions
            .apply(drafts, Options::default(), note)
            .await
            .map_err(|refused| Error::internal(format!("the example does not apply: {refused}")))?;
        Ok(Self { data: node.data, files, ftp })
    }
}

impl fmt::Display for Demo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (user, password) = CLERK;
        let Self { data, files, ftp } = self;
        let files = files.join("home/api");
        writeln!(f, "Try it from another terminal:\n")?;
        writeln!(f, "  curl http://{data}/ping")?;
        writeln!(f, "  curl -u {user}:{password} --data-binary @Cargo.toml http://{data}/ftp")?;
        writeln!(f, "  curl -u {user}:{password} -X POST http://{data}/billing\n")?;
        writeln!(
            f,
            "The second one stores the file, byte for byte, on the FTP server at {ftp}, which keeps it here:\n"
        )?;
        writeln!(f, "  ls {}\n", files.display())?;
        write!(f, "The third takes billing.csv from there and posts it to an HTTP server.")
    }
}

fn random_password() -> Result<Secret> {
    let mut bytes = [0; 16];
    aws_lc_rs::rand::fill(&mut bytes)?;
    Ok(Secret::new(bytes.iter().map(|b| format!("{b:02x}")).collect::<String>()))
}

fn at_port(draft: &mut Draft, port: u16) {
    if draft.id.name.as_str() == "my.ftp" {
        draft.params.0.insert("port".into(), port.into());
    }
}

/// Serves `files` by FTP on loopback until the node stops. Returns once the server answers.
async fn serve_ftp(node: &Node, files: &Path, password: &Secret) -> Result<SocketAddr> {
    let free = |port| std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, port)).and_then(|l| l.local_addr());
    let address = free(FTP_PORT).or_else(|_| free(0))?;
    let (root, login) = (files.to_owned(), Arc::new(Login { password: password.clone() }));
    let backend = move || match unftp_sbe_fs::Filesystem::new(root.clone()) {
        Ok(backend) => backend,
        // The folder was made above. Only this one FTP session ends.
        Err(error) => panic!("the folder of the demo's FTP server: {error}"),
    };
    let server = libunftp::ServerBuilder::with_authenticator(Box::new(backend), login)
        .passive_ports(49_152..=65_535)
        .build()
        .map_err(|e| Error::internal("the demo's FTP server").because(e))?;
    let mut stopping = node.app.stopping.clone();
    node.app.tasks.spawn("demo-ftp", async move {
        tokio::select! {
            ended = server.listen(address.to_string()) => tracing::warn!(?ended, "the demo's FTP server has ended"),
            _ = stopping.wait_for(|stop| *stop) => {}
        }
    });
    let deadline = Instant::now() + Duration::from_secs(10);
    while TcpStream::connect(address).await.is_err() {
        if Instant::now() > deadline {
            return Err(Error::internal("the demo's FTP server does not start"));
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    Ok(address)
}

/// Lets the demo's own connection in, and nobody else.
#[derive(Debug)]
struct Login {
    password: Secret,
}

#[async_trait]
impl Authenticator for Login {
    async fn authenticate(
        &self,
        username: &str,
        credentials: &Credentials,
    ) -> std::result::Result<Principal, AuthenticationError> {
        let given = credentials.password.as_deref().unwrap_or_default();
        let same = aws_lc_rs::constant_time::verify_slices_are_equal(
            given.as_bytes(),
            self.password.reveal().as_bytes(),
        );
        match same {
            Ok(()) => Ok(Principal { username: username.to_owned() }),
            Err(_) => Err(AuthenticationError::BadPassword),
        }
    }
}
