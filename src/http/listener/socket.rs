//! The socket of a client: the kernel notices one that is gone, and a write to one that reads nothing does not wait for ever.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep, sleep};

/// A connection to a client. It lies below TLS, so that it sees every byte that gets through.
#[derive(Debug)]
pub(super) struct Socket {
    stream: TcpStream,
    /// How long a write may wait without one byte getting through.
    patience: Duration,
    /// When the write that waits now is given up. Made by the first one that waits: most connections never do.
    given_up: Option<Pin<Box<Sleep>>>,
    waits: bool,
}

impl Socket {
    /// Takes over a connection that was accepted. A write to it may wait for so long.
    pub(super) fn new(stream: TcpStream, patience: Duration) -> Self {
        if let Err(error) = tune(&stream, patience) {
            tracing::debug!(%error, "a connection cannot be tuned");
        }
        Self { stream, patience, given_up: None, waits: false }
    }

    /// What came of a write: an error, if it has waited for too long.
    fn written(&mut self, cx: &mut Context<'_>, written: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if written.is_ready() {
            self.waits = false;
            return written;
        }
        let patience = self.patience;
        let given_up = self.given_up.get_or_insert_with(|| Box::pin(sleep(patience)));
        if !std::mem::replace(&mut self.waits, true) {
            given_up.as_mut().reset(Instant::now() + patience);
        }
        ready!(given_up.as_mut().poll(cx));
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the client reads nothing")))
    }
}

fn tune(stream: &TcpStream, patience: Duration) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let socket = SockRef::from(stream);
    // One who vanishes while a request of theirs is under way is noticed by these probes only. They count in seconds.
    let part = |of: u32| (patience / of).max(Duration::from_secs(1));
    let probes = TcpKeepalive::new().with_time(part(2)).with_interval(part(6)).with_retries(3);
    socket.set_tcp_keepalive(&probes)?;
    // And one to whom something is still to be sent, even after the connection was closed here.
    socket.set_tcp_user_timeout(Some(patience))
}

impl AsyncRead for Socket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Socket {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.written(cx, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, slices);
        self.written(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
