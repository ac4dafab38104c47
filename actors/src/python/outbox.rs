//! What goes out to a worker: written by the task that sends it if the socket takes it, else as soon as it does.

use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::{Buf as _, BytesMut};
use tokio::net::UnixStream;
use tokio::sync::Notify;

/// A buffer that has grown beyond this is not kept.
const KEPT: usize = 1 << 20;

/// See the module. How much it holds is bounded by how much may be under way in a worker.
pub(super) struct Outbox {
    /// The engine's end of the socket.
    pub(super) stream: UnixStream,
    buffer: Mutex<BytesMut>,
    flush: Notify,
}

impl Outbox {
    pub(super) fn new(stream: UnixStream) -> Self {
        Self { stream, buffer: Mutex::default(), flush: Notify::new() }
    }

    fn buffer(&self) -> MutexGuard<'_, BytesMut> {
        // Whatever panics while it holds this, the worker is ended then.
        self.buffer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends what `write` appends, in this order.
    ///
    /// # Errors
    /// If the worker has ended.
    pub(super) fn send(&self, write: impl FnOnce(&mut BytesMut)) -> io::Result<()> {
        let mut out = self.buffer();
        let idle = out.is_empty();
        write(&mut out);
        if idle && !self.push(&mut out)? {
            self.flush.notify_one();
        }
        Ok(())
    }

    /// Writes as much as the socket takes; whether that was all.
    fn push(&self, out: &mut BytesMut) -> io::Result<bool> {
        while !out.is_empty() {
            match self.stream.try_write(out) {
                Ok(written) => out.advance(written),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Err(error) => {
                    out.clear();
                    return Err(error);
                }
            }
        }
        if out.capacity() > KEPT {
            *out = BytesMut::new();
        } else {
            out.clear();
        }
        Ok(true)
    }

    /// Writes what is left whenever something is, until the worker ends.
    ///
    /// # Errors
    /// If it has ended.
    pub(super) async fn write(&self) -> io::Result<()> {
        loop {
            self.flush.notified().await;
            loop {
                self.stream.writable().await?;
                if self.push(&mut self.buffer())? {
                    break;
                }
            }
        }
    }
}
