//! The client that sends on time whatever is answered: one thread that never sleeps, so that it is neither late by a
//! timer nor short of time itself. It needs a core of its own.

use std::collections::VecDeque;
use std::io::{ErrorKind, Read as _, Write as _};
use std::time::{Duration, Instant};

use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};

use super::client::{Sample, cpu_ns, request, sample, whole};

/// How long the last answers may take.
const LATE: Duration = Duration::from_secs(5);

/// A connection that sends one request after another.
struct Connection {
    stream: TcpStream,
    /// When the request that is on its way was due.
    due: Instant,
    answer: Vec<u8>,
}

impl Connection {
    /// Reads what is there; whether that is all of the answer.
    fn is_answered(&mut self) -> bool {
        let mut piece = [0; 4096];
        loop {
            match self.stream.read(&mut piece) {
                Ok(0) => panic!("the server has hung up"),
                Ok(read) => self.answer.extend_from_slice(&piece[..read]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return false,
                Err(error) => panic!("read: {error}"),
            }
            if let Some(length) = whole(&self.answer) {
                assert!(
                    self.answer.starts_with(b"HTTP/1.1 200"),
                    "{}",
                    String::from_utf8_lossy(&self.answer)
                );
                assert_eq!(self.answer.len(), length);
                self.answer.clear();
                return true;
            }
        }
    }
}

/// Loads the server at `address`, whose process is `pid`, with so many requests a second. Each is due at its time, goes out
/// on the next connection that is free, and is late from when it was due: waiting for a free connection counts.
#[allow(clippy::disallowed_methods)] // real time is what is measured
pub fn paced(
    address: &str,
    pid: u32,
    variant: &str,
    connections: usize,
    time: Duration,
    rate: f64,
) -> Sample {
    let request = request(variant, address);
    let mut poll = Poll::new().expect("a poll");
    let mut events = Events::with_capacity(connections);
    let mut all: Vec<Connection> = (0..connections)
        .map(|n| {
            let mut stream = TcpStream::connect(address.parse().expect("an address")).expect("a connection");
            stream.set_nodelay(true).expect("no delay");
            poll.registry().register(&mut stream, Token(n), Interest::READABLE).expect("watched");
            Connection { stream, due: Instant::now(), answer: Vec::with_capacity(4096) }
        })
        .collect();
    while all.iter().any(|connection| connection.stream.peer_addr().is_err()) {
        std::thread::yield_now(); // until they are through
    }
    let mut free: VecDeque<usize> = (0..connections).collect();
    let mut latencies = Vec::with_capacity(1_000_000);
    let every = Duration::from_secs_f64(1.0 / rate);
    let before = cpu_ns(pid);
    let begun = Instant::now();
    let (end, mut due) = (begun + time, begun);
    while due < end || free.len() < connections {
        let now = Instant::now();
        assert!(now < end + LATE, "the server does not keep up");
        while due <= now
            && due < end
            && let Some(n) = free.pop_front()
        {
            let sent = all[n].stream.write(&request).expect("sent");
            assert_eq!(sent, request.len(), "a request fits into an empty socket");
            all[n].due = due;
            due += every;
        }
        poll.poll(&mut events, Some(Duration::ZERO)).expect("polled");
        for event in &events {
            let n = event.token().0;
            if all[n].is_answered() {
                latencies.push(u64::try_from(all[n].due.elapsed().as_nanos()).unwrap_or(u64::MAX));
                free.push_back(n);
            }
        }
    }
    sample(latencies, begun.elapsed(), cpu_ns(pid) - before)
}
