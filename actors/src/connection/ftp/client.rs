//! The running connection: what services call, each call through the line, on a connection of the pool.

use std::any::Any;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use sdk::connection::ftp::{ByteStream, Entry, FtpClient};
use sdk::{Error, Result};
use suppaftp::Status;
use tokio::io::AsyncReadExt as _;
use tokio::time::Instant;

use super::failure::{Asked, Failure};
use super::listing;
use super::pool::{Lease, Pool};
use super::session::{Limits, Opening, Transfer};
use super::transfer::{Download, Stopped, send};
use crate::line::Line;
use crate::part::Connection;

/// The longest listing that is read, in bytes.
const LONGEST_LISTING: u64 = 64 * 1024 * 1024;

const DONE: &[Status] = &[Status::RequestedFileActionOk, Status::CommandOk];
const MADE: &[Status] = &[Status::PathCreated, Status::RequestedFileActionOk, Status::CommandOk];
const GO_ON: &[Status] = &[Status::RequestFilePending];
/// The size, or that the server does not know the command.
const SIZE: &[Status] = &[Status::File, Status::BadCommand, Status::NotImplemented];

/// See the module. A clone is the same.
#[derive(Clone)]
pub(super) struct Client {
    pool: Arc<Pool>,
    line: Line,
}

/// A command and the answers that are good.
type Step = (String, &'static [Status]);

impl Client {
    /// A client over this pool.
    pub(super) fn new(pool: Arc<Pool>, line: Line) -> Self {
        Self { pool, line }
    }

    fn limits(&self, deadline: Instant) -> Limits {
        Limits { step: self.pool.settings.timeout, deadline }
    }

    /// A call through the line. It is as long as its deadline allows; each step in it has the limit of `timeout`.
    async fn call<T>(&self, deadline: Instant, work: impl Future<Output = Result<T>>) -> Result<T> {
        self.line.call(deadline, deadline.saturating_duration_since(Instant::now()), work).await
    }

    /// What the caller is told of a failure. If the server is away, so is everybody else, until it is back.
    fn error(&self, failure: Failure, asked: &Asked) -> Error {
        let away = match &failure {
            // While other connections work, it is their number that the server does not like.
            Failure::Unreachable(_) => self.pool.has_none(),
            other => other.says_away(),
        };
        let error = failure.into_error(&self.pool.server(), asked);
        if away {
            self.line.report_down(&error);
        }
        error
    }

    async fn lease(&self, limits: &Limits, asked: &Asked) -> Result<Lease> {
        self.pool.lease(limits).await.map_err(|failure| self.error(failure, asked))
    }

    /// After a failure: a new connection, if the old one was only stale. Nothing has happened on it then, but that the
    /// server closed it while nobody used it.
    async fn once_more(
        &self,
        lease: Lease,
        failure: Failure,
        limits: &Limits,
        asked: &Asked,
    ) -> Result<Lease> {
        match failure {
            Failure::Broken(_) if lease.reused => {
                lease.renew(limits.deadline).await.map_err(|failure| self.error(failure, asked))
            }
            Failure::Refused(_) => {
                lease.give_back();
                Err(self.error(failure, asked))
            }
            _ => Err(self.error(failure, asked)),
        }
    }

    /// Commands that move no files, one after the other; the text of the last answer.
    async fn commands(&self, steps: &[Step], asked: &Asked, deadline: Instant) -> Result<String> {
        let limits = self.limits(deadline);
        let mut lease = self.lease(&limits, asked).await?;
        let mut text = String::new();
        let mut left = steps;
        while let [(line, expect), rest @ ..] = left {
            match limits.step(lease.session().command(line, expect)).await {
                Ok(answer) => {
                    text = String::from_utf8_lossy(&answer.body).into_owned();
                    lease.reused = false; // it lives: a later failure is one
                    left = rest;
                }
                Err(failure) => lease = self.once_more(lease, failure, &limits, asked).await?,
            }
        }
        lease.give_back();
        Ok(text)
    }

    async fn command(
        &self,
        line: String,
        expect: &'static [Status],
        asked: &Asked,
        deadline: Instant,
    ) -> Result<()> {
        self.call(deadline, async { self.commands(&[(line, expect)], asked, deadline).await.map(drop) }).await
    }

    /// Opens a transfer, on a connection that is then the transfer's.
    async fn open(&self, opening: Opening<'_>, limits: &Limits, asked: &Asked) -> Result<(Transfer, Lease)> {
        let mut lease = self.lease(limits, asked).await?;
        loop {
            match limits.step(lease.session().transfer(opening)).await {
                Ok(transfer) => return Ok((transfer, lease)),
                Err(failure) => lease = self.once_more(lease, failure, limits, asked).await?,
            }
        }
    }

    async fn download(
        &self,
        opening: Opening<'_>,
        asked: Asked,
        deadline: Instant,
    ) -> Result<(Download, bool)> {
        let limits = self.limits(deadline);
        let (transfer, mut lease) = self.open(opening, &limits, &asked).await?;
        let mlsd = lease.session().mlsd;
        let server = self.pool.server();
        Ok((Download::new(transfer, lease, limits, server, asked, self.line.clone()), mlsd))
    }

    async fn upload(
        &self,
        opening: Opening<'_>,
        mut data: ByteStream,
        asked: &Asked,
        deadline: Instant,
    ) -> Result<u64> {
        let limits = self.limits(deadline);
        let (transfer, mut lease) = self.open(opening, &limits, asked).await?;
        match send(lease.session(), transfer, &mut data, &limits).await {
            Ok(sent) => {
                lease.give_back();
                Ok(sent)
            }
            Err(Stopped::Server(failure)) => Err(self.error(failure, asked)),
            Err(Stopped::Source(error)) => {
                Err(Error::internal(format!("the data for {} broke off", asked.what)).because(error))
            }
        }
    }

    async fn entries(&self, path: &str, deadline: Instant) -> Result<Vec<Entry>> {
        let asked = Asked::of("LIST", path);
        let (download, mlsd) = self.download(Opening::List(path), asked.clone(), deadline).await?;
        let mut text = Vec::new();
        let mut download = download.take(LONGEST_LISTING);
        download.read_to_end(&mut text).await.map_err(sdk::connection::ftp::broken_off)?;
        if download.limit() == 0 {
            return Err(Error::upstream(format!(
                "the listing of {path:?} is longer than {LONGEST_LISTING} bytes"
            )));
        }
        let text = String::from_utf8_lossy(&text);
        let entries = listing::entries(&text, mlsd).map_err(|line| {
            Error::upstream(format!("the listing of {path:?} has a line that cannot be read: {line:?}"))
        })?;
        if entries.is_empty() && !mlsd && !path.is_empty() {
            self.be_there(path, deadline).await?;
        }
        Ok(entries)
    }

    /// Some servers list a folder that is not there as an empty one. To go there is what they refuse.
    async fn be_there(&self, path: &str, deadline: Instant) -> Result<()> {
        let asked = Asked::of("LIST", path);
        let limits = self.limits(deadline);
        let mut lease = self.lease(&limits, &asked).await?;
        let outcome = limits.step(lease.session().visit(path)).await;
        if let Ok(()) | Err(Failure::Refused(_)) = &outcome {
            lease.give_back();
        }
        outcome.map_err(|failure| self.error(failure, &asked))
    }
}

/// Refuses what would be more than one command.
fn one_line(path: &str) -> Result<()> {
    match path.contains(['\r', '\n', '\0']) {
        true => Err(Error::invalid(format!("{path:?} is no path on an FTP server"))),
        false => Ok(()),
    }
}

#[async_trait]
impl FtpClient for Client {
    async fn write(&self, path: &str, data: ByteStream, append: bool, deadline: Instant) -> Result<u64> {
        one_line(path)?;
        let (opening, asked) = match append {
            true => (Opening::Append(path), Asked::plain("APPE", path)),
            false => (Opening::Write(path), Asked::plain("STOR", path)),
        };
        self.call(deadline, self.upload(opening, data, &asked, deadline)).await
    }

    async fn read(&self, path: &str, deadline: Instant) -> Result<ByteStream> {
        one_line(path)?;
        let download = self.download(Opening::Read(path), Asked::of("RETR", path), deadline);
        let (download, _) = self.call(deadline, download).await?;
        Ok(Box::pin(download))
    }

    async fn list(&self, path: &str, deadline: Instant) -> Result<Vec<Entry>> {
        one_line(path)?;
        self.call(deadline, self.entries(path, deadline)).await
    }

    async fn size(&self, path: &str, deadline: Instant) -> Result<u64> {
        one_line(path)?;
        let asked = Asked::of("SIZE", path);
        let ask = async {
            let answer = self.commands(&[(asked.what.clone(), SIZE)], &asked, deadline).await?;
            let size = match answer.strip_prefix("213") {
                Some(size) => size.trim().parse().ok(),
                None => {
                    let steps = [(format!("MLST {path}"), DONE)];
                    listing::size(&self.commands(&steps, &asked, deadline).await?)
                }
            };
            size.ok_or_else(|| Error::not_found(format!("{path} has no size")))
        };
        self.call(deadline, ask).await
    }

    async fn make_dir(&self, path: &str, deadline: Instant) -> Result<()> {
        one_line(path)?;
        self.command(format!("MKD {path}"), MADE, &Asked::plain("MKD", path), deadline).await
    }

    async fn rename(&self, from: &str, to: &str, deadline: Instant) -> Result<()> {
        one_line(from)?;
        one_line(to)?;
        let asked = Asked::of("RNFR", &format!("{from} to {to}"));
        let steps = [(format!("RNFR {from}"), GO_ON), (format!("RNTO {to}"), DONE)];
        self.call(deadline, async { self.commands(&steps, &asked, deadline).await.map(drop) }).await
    }

    async fn delete(&self, path: &str, deadline: Instant) -> Result<()> {
        one_line(path)?;
        self.command(format!("DELE {path}"), DONE, &Asked::of("DELE", path), deadline).await
    }

    async fn remove_dir(&self, path: &str, deadline: Instant) -> Result<()> {
        one_line(path)?;
        self.command(format!("RMD {path}"), DONE, &Asked::of("RMD", path), deadline).await
    }

    async fn ping(&self, deadline: Instant) -> Result<()> {
        self.call(deadline, Connection::ping(self, deadline)).await
    }
}

#[async_trait]
impl Connection for Client {
    fn client(&self) -> Arc<dyn Any + Send + Sync> {
        let client: Arc<dyn FtpClient> = Arc::new(self.clone());
        Arc::new(client)
    }

    async fn ping(&self, deadline: Instant) -> Result<()> {
        let outcome = self.pool.ping(&self.limits(deadline)).await;
        outcome.map_err(|failure| failure.into_error(&self.pool.server(), &Asked::plain("NOOP", "")))
    }

    fn probe_every(&self) -> Option<Duration> {
        Some(self.pool.settings.keep_alive)
    }

    fn stats(&self) -> serde_json::Value {
        self.pool.stats()
    }

    async fn close(&self) {
        self.pool.close().await;
    }
}
