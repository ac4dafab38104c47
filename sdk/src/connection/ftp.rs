//! Files on an FTP server.

use std::pin::Pin;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use serde::Serialize;
use tokio::io::AsyncRead;
use tokio::time::Instant;

use super::Handle;
use crate::{Context, Error, Result};

/// A stream of bytes to or from a file, so that a large file needs no memory of its size.
pub type ByteStream = Pin<Box<dyn AsyncRead + Send>>;

/// The error of a [`ByteStream`] that failed, as a service's own: timeout if the server took too long, not found if
/// there is no such file after all, else upstream.
pub fn broken_off(error: std::io::Error) -> Error {
    match error.kind() {
        std::io::ErrorKind::NotFound => Error::not_found(error.to_string()),
        std::io::ErrorKind::TimedOut => Error::timeout(error.to_string()),
        _ => Error::upstream(error.to_string()),
    }
}

/// One entry of a folder.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, schemars::JsonSchema)]
pub struct Entry {
    /// Its name, without the folder.
    pub name: String,
    /// Whether it is a folder.
    pub is_dir: bool,
    /// Its size in bytes; a folder's is what the server says.
    pub size: u64,
    /// When it was last changed, if the server says.
    pub modified: Option<chrono::DateTime<chrono::Utc>>,
}

/// What an FTP connection does, each call before `deadline`. Kinds implement it; services use [`Ftp`].
#[async_trait]
#[allow(missing_docs)] // each method is documented where services see it
pub trait FtpClient: Send + Sync + 'static {
    async fn write(&self, path: &str, data: ByteStream, append: bool, deadline: Instant) -> Result<u64>;
    async fn read(&self, path: &str, deadline: Instant) -> Result<ByteStream>;
    async fn list(&self, path: &str, deadline: Instant) -> Result<Vec<Entry>>;
    async fn size(&self, path: &str, deadline: Instant) -> Result<u64>;
    async fn make_dir(&self, path: &str, deadline: Instant) -> Result<()>;
    async fn rename(&self, from: &str, to: &str, deadline: Instant) -> Result<()>;
    async fn delete(&self, path: &str, deadline: Instant) -> Result<()>;
    async fn remove_dir(&self, path: &str, deadline: Instant) -> Result<()>;
    async fn ping(&self, deadline: Instant) -> Result<()>;
}

/// Files on an FTP server, for one invocation.
#[derive(Clone)]
pub struct Ftp {
    client: Arc<dyn FtpClient>,
    deadline: Instant,
}

impl Handle for Ftp {
    type Client = Arc<dyn FtpClient>;

    fn bind(client: Self::Client, ctx: &Context) -> Self {
        Self { client, deadline: ctx.deadline() }
    }
}

impl Ftp {
    /// Writes a file; one that is there is replaced.
    ///
    /// # Errors
    /// Upstream if the server refuses or is away, timeout if it is too slow.
    pub async fn put(&self, path: &str, data: impl Into<Bytes>) -> Result<u64> {
        self.put_stream(path, Box::pin(std::io::Cursor::new(data.into()))).await
    }

    /// Writes a file from a stream and returns how many bytes that were.
    ///
    /// # Errors
    /// As [`Ftp::put`].
    pub async fn put_stream(&self, path: &str, data: ByteStream) -> Result<u64> {
        self.client.write(path, data, false, self.deadline).await
    }

    /// Adds to the end of a file, which need not be there.
    ///
    /// # Errors
    /// As [`Ftp::put`].
    pub async fn append(&self, path: &str, data: impl Into<Bytes>) -> Result<u64> {
        let data = Box::pin(std::io::Cursor::new(data.into()));
        self.client.write(path, data, true, self.deadline).await
    }

    /// Reads a whole file.
    ///
    /// # Errors
    /// Not found if there is none, else as [`Ftp::put`].
    pub async fn get(&self, path: &str) -> Result<Bytes> {
        let mut stream = self.get_stream(path).await?;
        let mut data = Vec::new();
        tokio::io::AsyncReadExt::read_to_end(&mut stream, &mut data).await.map_err(broken_off)?;
        Ok(data.into())
    }

    /// Reads a file as a stream. The last read fails if the server did not confirm the transfer.
    ///
    /// # Errors
    /// As [`Ftp::get`].
    pub async fn get_stream(&self, path: &str) -> Result<ByteStream> {
        self.client.read(path, self.deadline).await
    }

    /// The entries of a folder.
    ///
    /// # Errors
    /// As [`Ftp::get`].
    pub async fn list(&self, path: &str) -> Result<Vec<Entry>> {
        self.client.list(path, self.deadline).await
    }

    /// A file's size in bytes.
    ///
    /// # Errors
    /// As [`Ftp::get`].
    pub async fn size(&self, path: &str) -> Result<u64> {
        self.client.size(path, self.deadline).await
    }

    /// Makes a folder.
    ///
    /// # Errors
    /// As [`Ftp::put`].
    pub async fn make_dir(&self, path: &str) -> Result<()> {
        self.client.make_dir(path, self.deadline).await
    }

    /// Renames or moves a file or a folder.
    ///
    /// # Errors
    /// As [`Ftp::get`].
    pub async fn rename(&self, from: &str, to: &str) -> Result<()> {
        self.client.rename(from, to, self.deadline).await
    }

    /// Deletes a file.
    ///
    /// # Errors
    /// As [`Ftp::get`].
    pub async fn delete(&self, path: &str) -> Result<()> {
        self.client.delete(path, self.deadline).await
    }

    /// Deletes an empty folder.
    ///
    /// # Errors
    /// As [`Ftp::get`].
    pub async fn remove_dir(&self, path: &str) -> Result<()> {
        self.client.remove_dir(path, self.deadline).await
    }

    /// Asks the server whether it is there.
    ///
    /// # Errors
    /// As [`Ftp::put`].
    pub async fn ping(&self) -> Result<()> {
        self.client.ping(self.deadline).await
    }
}
