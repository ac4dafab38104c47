//! An address at which what is sent is dropped, as behind a firewall: nobody refuses, nobody answers.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use tokio::net::{TcpListener, TcpSocket, TcpStream};

/// How long it takes to be sure that a connection is not accepted: on this machine one is at once.
const SURE: Duration = Duration::from_millis(500);
/// How many connections wait at most until they are accepted.
const MOST: usize = 16;

/// A listener that accepts nothing, and whose queue is full: Linux drops what comes then. It ends with this value.
pub(crate) struct BlackHole {
    address: SocketAddr,
    _listener: TcpListener,
    _waiting: Vec<TcpStream>,
}

impl BlackHole {
    pub(crate) async fn open() -> Self {
        let socket = TcpSocket::new_v4().expect("a socket");
        socket.bind((Ipv4Addr::LOCALHOST, 0).into()).expect("a port");
        let listener = socket.listen(1).expect("it listens");
        let address = listener.local_addr().expect("its address");
        let mut waiting = Vec::new();
        while let Ok(connected) = tokio::time::timeout(SURE, TcpStream::connect(address)).await {
            waiting.push(connected.expect("a connection"));
            assert!(waiting.len() < MOST, "the queue is never full");
        }
        Self { address, _listener: listener, _waiting: waiting }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}/", self.address)
    }
}
