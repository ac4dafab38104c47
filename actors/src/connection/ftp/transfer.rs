//! The bytes of files: up from a stream, down as a stream, neither ever whole in memory.

use std::future::Future as _;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures_util::future::BoxFuture;
use sdk::ErrorKind;
use sdk::connection::ftp::ByteStream;
use suppaftp::FtpResult;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _, ReadBuf};
use tokio::time::{Instant, Sleep, sleep_until};

use super::failure::{Asked, Failure};
use super::pool::Lease;
use super::session::{Limits, Session, Transfer};
use crate::line::Line;

/// How much is read at a time on the way up.
const CHUNK: usize = 64 * 1024;
/// How long the server may take to say why it broke off a transfer.
const LAST_WORD: Duration = Duration::from_secs(1);

/// Why a file did not get there.
pub(super) enum Stopped {
    /// The server's side, or the way to it.
    Server(Failure),
    /// The stream that it was read from.
    Source(io::Error),
}

impl From<Failure> for Stopped {
    fn from(failure: Failure) -> Self {
        Self::Server(failure)
    }
}

/// Sends all of `data` and waits until the server confirms that it has it.
pub(super) async fn send(
    session: &mut Session,
    transfer: Transfer,
    data: &mut ByteStream,
    limits: &Limits,
) -> Result<u64, Stopped> {
    let mut upload = Upload(Some(transfer));
    let mut chunk = vec![0; CHUNK];
    let mut sent = 0;
    while let Some(transfer) = &mut upload.0 {
        let read = data.read(&mut chunk).await.map_err(Stopped::Source)?;
        if read == 0 {
            break;
        }
        let broken = |e: io::Error| Failure::Broken(e.to_string());
        let written = limits.step(async { transfer.write_all(&chunk[..read]).await.map_err(broken) }).await;
        if let Err(failure) = written {
            // A server that has had enough, because the disk is full, closes the connection for the file and says why on
            // the other one. It must be asked before the transfer is dropped, which would skip that answer.
            let said = match &failure {
                Failure::Broken(_) => session.last_word(LAST_WORD).await,
                _ => None,
            };
            return Err(said.unwrap_or(failure).into());
        }
        sent += read as u64;
    }
    if let Some(transfer) = upload.0.take() {
        limits.step(transfer.finish()).await?;
    }
    Ok(sent)
}

/// A transfer to the server that is not finished.
struct Upload(Option<Transfer>);

impl Drop for Upload {
    /// An end of the stream would tell the server that the file is complete; a reset tells it that it is not.
    fn drop(&mut self) {
        if let Some(transfer) = &self.0 {
            drop(transfer.get_ref().get_ref().set_zero_linger()); // if it fails, the connection is gone anyway
        }
    }
}

/// A file on the way down. Its end is reported only after the server has confirmed that it sent everything. Until
/// then it holds its connection; dropped before the end, it closes it.
pub(super) struct Download {
    state: State,
    lease: Option<Lease>,
    limits: Limits,
    /// When the server must have sent something.
    timer: Pin<Box<Sleep>>,
    /// Whether the timer counts: it does while the server is waited for, not while the reader takes its time.
    waiting: bool,
    /// Whether anything of the file has come.
    begun: bool,
    server: String,
    asked: Asked,
    line: Line,
}

enum State {
    Reading(Transfer),
    Confirming(BoxFuture<'static, FtpResult<()>>),
    Done,
    Failed,
}

impl Download {
    pub(super) fn new(
        transfer: Transfer,
        lease: Lease,
        limits: Limits,
        server: String,
        asked: Asked,
        line: Line,
    ) -> Self {
        let timer = Box::pin(sleep_until(limits.deadline));
        let (state, lease) = (State::Reading(transfer), Some(lease));
        Self { state, lease, limits, timer, waiting: false, begun: false, server, asked, line }
    }

    /// What the server has sent, or whether it has confirmed the end; `None` after that.
    fn poll_server(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<Result<(), Failure>> {
        loop {
            match &mut self.state {
                State::Reading(transfer) => {
                    let before = buf.filled().len();
                    let read = ready!(Pin::new(transfer).poll_read(cx, buf));
                    read.map_err(|e| Failure::Broken(e.to_string()))?;
                    if buf.filled().len() > before {
                        self.begun = true;
                        return Poll::Ready(Ok(()));
                    }
                    if let State::Reading(transfer) = std::mem::replace(&mut self.state, State::Failed) {
                        self.state = State::Confirming(Box::pin(transfer.finish()));
                    }
                    self.waiting = false; // another step begins
                }
                State::Confirming(confirmed) => {
                    ready!(confirmed.as_mut().poll(cx)).map_err(Failure::from)?;
                    self.state = State::Done;
                    if let Some(lease) = self.lease.take() {
                        lease.give_back();
                    }
                }
                State::Done => return Poll::Ready(Ok(())),
                State::Failed => return Poll::Ready(Err(Failure::Broken("it failed before".into()))),
            }
        }
    }

    fn fail(&mut self, failure: Failure) -> io::Error {
        self.state = State::Failed;
        self.lease = None;
        let away = failure.says_away();
        let error = failure.into_error(&self.server, &self.asked);
        let kind = match error.kind() {
            ErrorKind::Timeout => io::ErrorKind::TimedOut,
            // Some servers open the transfer first and only then look for the file.
            ErrorKind::NotFound if !self.begun => io::ErrorKind::NotFound,
            _ => io::ErrorKind::BrokenPipe,
        };
        if away {
            self.line.report_down(&error);
        }
        io::Error::new(kind, error.to_string())
    }
}

impl AsyncRead for Download {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if buf.remaining() == 0 {
            return Poll::Ready(Ok(())); // nothing read must not be taken for the end
        }
        match this.poll_server(cx, buf) {
            Poll::Ready(outcome) => {
                this.waiting = false;
                Poll::Ready(outcome.map_err(|failure| this.fail(failure)))
            }
            Poll::Pending => {
                if !this.waiting {
                    this.waiting = true;
                    let limit = Instant::now() + this.limits.step;
                    this.timer.as_mut().reset(limit.min(this.limits.deadline));
                }
                ready!(this.timer.as_mut().poll(cx));
                let late = Instant::now() >= this.limits.deadline;
                Poll::Ready(Err(this.fail(if late { Failure::Late } else { Failure::Slow })))
            }
        }
    }
}
