//! A connection between two nodes: tuned so that the kernel notices a dead peer, and one that we can cut at any time.

use std::future::Future as _;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use ractor_cluster::{BoxRead, BoxWrite, ClusterBidiStream};
use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

/// How long data may stay unacknowledged, and a silent peer unasked. Our pings notice sooner; this frees the socket.
const SILENCE: Duration = Duration::from_secs(10);

/// A stream, in clear or not.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for S {}

/// Sets what a link needs of its socket.
pub(crate) fn tune(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let socket = SockRef::from(stream);
    socket.set_tcp_keepalive(
        &TcpKeepalive::new().with_time(SILENCE / 2).with_interval(SILENCE / 4).with_retries(2),
    )?;
    socket.set_tcp_user_timeout(Some(SILENCE))
}

/// A stream for ractor_cluster whose both halves end when it is cut. Without this a session whose peer is frozen waits
/// in a write that never ends.
pub(crate) struct Cuttable {
    pub(crate) stream: Box<dyn Stream>,
    pub(crate) label: String,
    pub(crate) cut: CancellationToken,
}

impl ClusterBidiStream for Cuttable {
    fn split(self: Box<Self>) -> (BoxRead, BoxWrite) {
        let (read, write) = tokio::io::split(self.stream);
        let half = |token: CancellationToken| Box::pin(token.cancelled_owned());
        let read = CutRead { inner: read, cut: half(self.cut.clone()) };
        let write = CutWrite { inner: write, cut: half(self.cut) };
        (Box::new(read), Box::new(write))
    }

    fn peer_label(&self) -> Option<String> {
        Some(self.label.clone())
    }

    fn local_label(&self) -> Option<String> {
        None
    }
}

struct CutRead<R> {
    inner: R,
    cut: Pin<Box<WaitForCancellationFutureOwned>>,
}

impl<R: AsyncRead + Unpin> AsyncRead for CutRead<R> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.cut.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Ok(())); // nothing more is read: the end of the stream
        }
        Pin::new(&mut self.inner).poll_read(cx, buf)
    }
}

struct CutWrite<W> {
    inner: W,
    cut: Pin<Box<WaitForCancellationFutureOwned>>,
}

impl<W> CutWrite<W> {
    /// Registers for the cut as well, so that a write that waits is woken by it.
    fn is_cut(&mut self, cx: &mut Context<'_>) -> bool {
        self.cut.as_mut().poll(cx).is_ready()
    }
}

impl<W: AsyncWrite + Unpin> AsyncWrite for CutWrite<W> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        if self.is_cut(cx) {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        Pin::new(&mut self.inner).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.is_cut(cx) {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}
