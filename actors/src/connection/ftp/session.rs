//! One connection to an FTP server, from greeting and login on: commands, and opening transfers.

use std::future::Future;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use config::Secret;
use futures_util::FutureExt as _;
use rustls::ClientConfig;
use suppaftp::tokio::{AsyncRustlsFtpStream, AsyncRustlsStream, TransferStream};
use suppaftp::types::{FileType, Response};
use suppaftp::{FtpError, FtpResult, Status};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout, timeout_at};
use tracing::instrument::WithSubscriber as _;
use tracing::subscriber::NoSubscriber;

use super::failure::{Failure, text_of};
use super::tickets::Tickets;
use super::{Mode, PassiveAddress};

/// The stream of one file or listing.
pub(super) type Transfer = TransferStream<AsyncRustlsStream>;

/// What every connection is made with.
pub(super) struct Settings {
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) username: String,
    pub(super) password: Secret,
    pub(super) tls: Option<TlsSettings>,
    pub(super) mode: Mode,
    pub(super) passive_address: PassiveAddress,
    pub(super) timeout: Duration,
    pub(super) connect_timeout: Duration,
    pub(super) keep_alive: Duration,
    pub(super) idle: Duration,
}

/// How TLS is spoken.
pub(super) struct TlsSettings {
    pub(super) implicit: bool,
    pub(super) name: String,
    pub(super) newest: ClientConfig,
    pub(super) tls12: ClientConfig,
}

/// How long a call may take, as a whole and for each step.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    pub(super) step: Duration,
    pub(super) deadline: Instant,
}

impl Limits {
    /// Does one step, unless it takes too long.
    pub(super) async fn step<T, E: Into<Failure>>(
        &self,
        work: impl Future<Output = Result<T, E>>,
    ) -> Result<T, Failure> {
        let limit = Instant::now() + self.step;
        match timeout_at(limit.min(self.deadline), work).await {
            Ok(outcome) => outcome.map_err(Into::into),
            Err(_) if self.deadline < limit => Err(Failure::Late),
            Err(_) => Err(Failure::Slow),
        }
    }
}

/// What a transfer is for.
#[derive(Clone, Copy, Debug)]
pub(super) enum Opening<'a> {
    Read(&'a str),
    Write(&'a str),
    Append(&'a str),
    List(&'a str),
}

/// One connection, logged in.
pub(super) struct Session {
    stream: AsyncRustlsFtpStream,
    /// Whether folders can be listed in the form made for programs.
    pub(super) mlsd: bool,
    /// When the server was heard of last.
    pub(super) heard: Instant,
    /// When somebody used it last.
    pub(super) used: Instant,
    tickets: Arc<Tickets>,
    /// See the pool's field of this name.
    _open: Arc<()>,
}

impl Session {
    /// Connects and logs in, with TLS 1.2 at most if so asked.
    pub(super) async fn open(
        settings: &Settings,
        tls12: bool,
        open: &Arc<()>,
        deadline: Instant,
    ) -> Result<Self, Failure> {
        let limit = Instant::now() + settings.connect_timeout;
        match timeout_at(limit.min(deadline), Self::connect(settings, tls12, open)).await {
            Ok(outcome) => outcome,
            Err(_) if deadline < limit => Err(Failure::Late),
            Err(_) => Err(Failure::UnreachableInTime(settings.connect_timeout)),
        }
    }

    async fn connect(settings: &Settings, tls12: bool, open: &Arc<()>) -> Result<Self, Failure> {
        let tickets = Tickets::new();
        let (stream, peer) = greet(settings, tls12, &tickets).await.map_err(|error| match error {
            FtpError::ConnectionError(e) => Failure::Unreachable(e.to_string()),
            FtpError::UnexpectedResponse(answer) => Failure::Unreachable(text_of(&answer)),
            FtpError::SecureError(e) => Failure::NoTls(e),
            other => Failure::Unreachable(other.to_string()),
        })?;
        let mut stream = with_mode(stream, settings, peer);
        // The library logs each command as it is sent, the password too. Nobody listens while it does.
        let login = stream.login(settings.username.as_str(), settings.password.reveal());
        let login = login.with_subscriber(NoSubscriber::new()).await;
        login.map_err(|error| match error {
            FtpError::UnexpectedResponse(answer) if answer.status != Status::NotAvailable => {
                let said = text_of(&answer);
                let said = match said.contains(settings.password.reveal()) {
                    true => answer.status.to_string(), // a server that repeats the password is not quoted
                    false => said,
                };
                Failure::NotLetIn(format!("user {:?}: {said}", settings.username))
            }
            error => Failure::from(error),
        })?;
        if settings.tls.as_ref().is_some_and(|tls| tls.implicit) {
            // Not said by the library in this form of TLS; without it, servers expect files in the clear.
            stream.custom_command("PBSZ 0", &[Status::CommandOk]).await?;
            stream.custom_command("PROT P", &[Status::CommandOk]).await?;
        }
        stream.transfer_type(FileType::Binary).await?;
        let now = Instant::now();
        let mut session = Self { stream, mlsd: false, heard: now, used: now, tickets, _open: open.clone() };
        session.learn().await?;
        Ok(session)
    }

    /// Asks what the server can do. One that does not know the question can do nothing special.
    async fn learn(&mut self) -> FtpResult<()> {
        let features = match self.stream.feat().await {
            Ok(features) => features,
            Err(FtpError::UnexpectedResponse(_) | FtpError::BadResponse) => return Ok(()),
            Err(error) => return Err(error),
        };
        let has = |name: &str| features.keys().any(|known| known.eq_ignore_ascii_case(name));
        // RFC 3659 has MLSD announced as part of MLST; a few servers name it as well.
        self.mlsd = has("MLST") || has("MLSD");
        if has("UTF8") {
            // Most need not be told, some must be, and some do not know the word: all the same to us.
            match self.stream.opts("UTF8", Some("ON")).await {
                Ok(()) | Err(FtpError::UnexpectedResponse(_)) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Whether the server has said nothing since the last answer. If it has, that was a goodbye.
    pub(super) async fn is_quiet(&self) -> bool {
        self.stream.get_ref().await.peek(&mut [0]).now_or_never().is_none()
    }

    /// Whether it can have no more transfers over TLS.
    pub(super) fn is_spent(&self) -> bool {
        self.tickets.are_spent()
    }

    /// Sends one command and waits for its answer.
    pub(super) async fn command(&mut self, line: &str, expect: &[Status]) -> FtpResult<Response> {
        let answer = self.stream.custom_command(line, expect).await;
        self.note(&answer);
        answer
    }

    /// Asks for a sign of life.
    pub(super) async fn noop(&mut self) -> FtpResult<()> {
        self.command("NOOP", &[Status::CommandOk]).await.map(drop)
    }

    /// Goes to a folder and comes back.
    pub(super) async fn visit(&mut self, path: &str) -> FtpResult<()> {
        let home = self.stream.pwd().await?;
        self.stream.cwd(path).await?;
        self.stream.cwd(&home).await
    }

    /// Opens a transfer.
    pub(super) async fn transfer(&mut self, opening: Opening<'_>) -> FtpResult<Transfer> {
        let begun = &[Status::AboutToSend, Status::AlreadyOpen];
        let list = if self.mlsd { "MLSD" } else { "LIST" };
        let download = match opening {
            Opening::Read(path) => format!("RETR {path}"),
            Opening::List("") => list.to_owned(),
            Opening::List(path) if path.starts_with('-') => format!("{list} ./{path}"), // not an option of `ls`
            Opening::List(path) => format!("{list} {path}"),
            Opening::Write(_) | Opening::Append(_) => String::new(),
        };
        let opened = match opening {
            Opening::Write(path) => self.stream.put_with_stream(path).await,
            Opening::Append(path) => self.stream.append_with_stream(path).await,
            Opening::Read(_) | Opening::List(_) => {
                self.stream.custom_data_command(download, begun).await.map(|(_, transfer)| transfer)
            }
        };
        self.note(&opened);
        opened
    }

    /// What the server says about a transfer that broke off and is not dropped yet, if it says something soon.
    pub(super) async fn last_word(&mut self, limit: Duration) -> Option<Failure> {
        let expect = &[Status::ClosingDataConnection];
        match timeout(limit, self.stream.read_response_in(expect)).await {
            Ok(Err(FtpError::UnexpectedResponse(answer))) => Some(Failure::Refused(answer)),
            _ => None,
        }
    }

    /// Says goodbye.
    pub(super) async fn quit(mut self) {
        drop(self.stream.quit().await); // it is closed either way
    }

    fn note<T>(&mut self, outcome: &FtpResult<T>) {
        if matches!(outcome, Ok(_) | Err(FtpError::UnexpectedResponse(_))) {
            self.heard = Instant::now();
        }
    }
}

/// Up to the greeting, and with TLS if it is wanted.
async fn greet(
    settings: &Settings,
    tls12: bool,
    tickets: &Arc<Tickets>,
) -> FtpResult<(AsyncRustlsFtpStream, IpAddr)> {
    let address = (settings.host.as_str(), settings.port);
    let connector = |tls: &TlsSettings| tickets.connector(if tls12 { &tls.tls12 } else { &tls.newest });
    let stream = match &settings.tls {
        Some(tls) if tls.implicit => {
            AsyncRustlsFtpStream::connect_secure_implicit(address, connector(tls), &tls.name).await?
        }
        tls => {
            let socket = TcpStream::connect(address).await.map_err(FtpError::ConnectionError)?;
            let stream = AsyncRustlsFtpStream::connect_with_stream(socket).await?;
            match tls {
                None => stream,
                Some(tls) => stream.into_secure(connector(tls), &tls.name).await?,
            }
        }
    };
    let socket = stream.get_ref().await;
    socket.set_nodelay(true).map_err(FtpError::ConnectionError)?; // each command waits for an answer
    let peer = socket.peer_addr().map_err(FtpError::ConnectionError)?.ip();
    drop(socket);
    Ok((stream, peer))
}

fn with_mode(stream: AsyncRustlsFtpStream, settings: &Settings, peer: IpAddr) -> AsyncRustlsFtpStream {
    let mut stream = stream.active_mode(settings.timeout).passive_stream_builder(|address| {
        Box::pin(async move {
            TcpStream::connect(address).await.map_err(|e| {
                // It is mostly a firewall that keeps these ports closed: say which.
                let text = format!("no connection for the file to {address}: {e}");
                FtpError::ConnectionError(std::io::Error::new(e.kind(), text))
            })
        })
    });
    stream.set_mode(match settings.mode {
        Mode::Active => suppaftp::Mode::Active,
        Mode::Passive if peer.is_ipv4() => suppaftp::Mode::Passive,
        Mode::Passive | Mode::ExtendedPassive => suppaftp::Mode::ExtendedPassive,
    });
    stream.set_passive_nat_workaround(settings.passive_address == PassiveAddress::Control);
    stream
}
