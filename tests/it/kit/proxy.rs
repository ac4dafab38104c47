//! A way to a server that can be interrupted as a network is: what is sent is neither delivered nor refused.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// See the module. It ends with this value.
pub struct Proxy {
    /// Where it listens.
    pub port: u16,
    open: watch::Sender<bool>,
    accepting: JoinHandle<()>,
}

impl Proxy {
    /// A way to this port on this machine.
    pub async fn to(port: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let own = listener.local_addr().expect("an address").port();
        let (open, is_open) = watch::channel(true);
        let accepting = tokio::spawn(async move {
            while let Ok((inside, _)) = listener.accept().await {
                let is_open = is_open.clone();
                tokio::spawn(async move {
                    let target = SocketAddr::from(([127, 0, 0, 1], port));
                    let Ok(outside) = TcpStream::connect(target).await else { return };
                    let ((a, b), (c, d)) = (inside.into_split(), outside.into_split());
                    tokio::join!(carry(a, d, is_open.clone()), carry(c, b, is_open));
                });
            }
        });
        Self { port: own, open, accepting }
    }

    /// Nothing gets through any more, and nobody is told.
    pub fn cut(&self) {
        self.open.send_replace(false);
    }

    /// What has been held up, and all that follows, gets through.
    pub fn heal(&self) {
        self.open.send_replace(true);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn carry(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, mut open: watch::Receiver<bool>) {
    let mut buffer = vec![0; 16 * 1024];
    loop {
        let Ok(length @ 1..) = from.read(&mut buffer).await else { return };
        if open.wait_for(|open| *open).await.is_err() || to.write_all(&buffer[..length]).await.is_err() {
            return;
        }
    }
}
