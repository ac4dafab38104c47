//! The accept loop of both listeners: a cap on connections, TLS, time-outs, and an end that waits for requests.

mod socket;
mod turns;

use std::convert::Infallible;
use std::error::Error;
use std::io;
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use config::settings::Settings;
use http::{Request, Response};
use hyper::body::{Body, Incoming};
use hyper::rt::{Read, Write};
use hyper::server::conn::{http1, http2};
use hyper::service::Service;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use sdk::Result;
use sdk::task::Tasks;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::time::Instant;
use tokio_rustls::TlsAcceptor;

use self::socket::Socket;
use self::turns::{Noted, Turns, Verdict};
use crate::app::App;
use crate::http::tls::Certificates;
use crate::metrics::Metrics;

/// How long to wait when the system has no file descriptors left.
const NO_DESCRIPTORS: Duration = Duration::from_millis(100);
/// How many requests one HTTP/2 connection may have open.
const MAX_STREAMS: u32 = 250;

/// What a listener does not let clients exceed.
#[derive(Clone, Debug)]
pub struct Limits {
    connections: NonZeroU32,
    /// For the TLS handshake, for the head of each request, and for how long a connection may be idle between two.
    head: Duration,
    /// For how long a client may take nothing of an answer.
    write: Duration,
}

impl Limits {
    /// Those of a node.
    pub fn of(settings: &Settings) -> Self {
        Self {
            connections: settings.max_connections,
            head: settings.header_timeout.get(),
            write: settings.write_timeout.get(),
        }
    }
}

/// A listener that accepts connections until the node stops.
pub struct Listener {
    /// Where it really listens.
    pub address: SocketAddr,
    connections: Tasks,
}

/// Who is at the other end of a connection.
#[derive(Clone, Debug)]
pub struct Peer {
    /// Their address.
    pub address: SocketAddr,
    /// See [`sdk::HttpHead::certificates`].
    pub certificates: Option<Arc<[Bytes]>>,
}

/// What serves one connection.
pub trait Serves<B>:
    Service<Request<Incoming>, Response = Response<B>, Error = Infallible, Future: Send + 'static>
    + Send
    + 'static
{
}
impl<B, S> Serves<B> for S where
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible, Future: Send + 'static>
        + Send
        + 'static
{
}

/// What an answer's body is.
pub trait Answers: Body<Data = Bytes, Error: Into<Box<dyn Error + Send + Sync>>> + Send + 'static {}
impl<B: Body<Data = Bytes, Error: Into<Box<dyn Error + Send + Sync>>> + Send + 'static> Answers for B {}

/// Listens at `address`. `make` makes the service of each connection, knowing who is at the other end. Clients are asked
/// for a certificate of theirs while `ask` says so.
///
/// # Errors
/// If the address cannot be had.
pub async fn open<M, S, B>(
    name: &'static str,
    address: SocketAddr,
    make: M,
    limits: &Limits,
    tls: Option<(Certificates, Ask)>,
    app: &App,
) -> Result<Listener>
where
    M: Fn(Peer) -> S + Send + Sync + 'static,
    S: Serves<B>,
    B: Answers,
{
    let listening = TcpListener::bind(address).await.map_err(|e| {
        sdk::Error::internal(format!(
            "the {name} listener cannot have {address}: {e}; is another node running?"
        ))
    })?;
    let address = listening.local_addr()?;
    let door = Arc::new(Door {
        name,
        make,
        versions: Versions::new(limits),
        tls: tls.map(|(certificates, ask)| Tls {
            silent: certificates.acceptor(false),
            asking: certificates.acceptor(true),
            ask,
        }),
        limits: limits.clone(),
        metrics: app.metrics.clone(),
    });
    let connections = Tasks::default();
    let accepting = accept(door, listening, connections.clone(), app.stopping.clone());
    app.tasks.spawn(name, accepting);
    Ok(Listener { address, connections })
}

impl Listener {
    /// Once the node is stopping: waits until no request is under way, but not longer than `deadline`; returns whether
    /// all of them ended.
    pub async fn drained(self, deadline: Instant) -> bool {
        tokio::time::timeout_at(deadline, self.connections.idle()).await.is_ok()
    }
}

/// What each connection of a listener needs.
struct Door<M> {
    name: &'static str,
    make: M,
    versions: Versions,
    tls: Option<Tls>,
    limits: Limits,
    metrics: Metrics,
}

/// Whether clients are asked for a certificate now.
pub type Ask = Box<dyn Fn() -> bool + Send + Sync>;

/// Two ways to accept a connection. A session of one cannot be resumed with the other, so that whoever is to be asked is
/// asked.
struct Tls {
    silent: TlsAcceptor,
    asking: TlsAcceptor,
    ask: Ask,
}

/// The two versions of HTTP. Without TLS it is always the first: telling them apart on a plain connection would mean
/// to wait for its first bytes, and no header time-out runs meanwhile (hyper-util's `auto` does that).
struct Versions {
    one: http1::Builder,
    two: http2::Builder<TokioExecutor>,
}

impl Versions {
    fn new(limits: &Limits) -> Self {
        let mut one = http1::Builder::new();
        one.timer(TokioTimer::new()).header_read_timeout(limits.head).pipeline_flush(true);
        let mut two = http2::Builder::new(TokioExecutor::new());
        two.timer(TokioTimer::new())
            .keep_alive_interval(limits.head)
            .keep_alive_timeout(limits.head)
            .max_concurrent_streams(MAX_STREAMS);
        Self { one, two }
    }
}

async fn accept<M, S, B>(
    door: Arc<Door<M>>,
    listening: TcpListener,
    connections: Tasks,
    mut stopping: watch::Receiver<bool>,
) where
    M: Fn(Peer) -> S + Send + Sync + 'static,
    S: Serves<B>,
    B: Answers,
{
    let places = Arc::new(Semaphore::new(door.limits.connections.get() as usize));
    loop {
        // At the cap, connections wait in the system's queue: a burst is served late rather than refused.
        let next = async {
            let place = places.clone().acquire_owned().await;
            (place, listening.accept().await)
        };
        let (place, accepted) = tokio::select! {
            _ = stopping.wait_for(|stop| *stop) => return,
            next = next => next,
        };
        match accepted {
            Ok((stream, peer)) => {
                let (door, stopping) = (door.clone(), stopping.clone());
                connections.spawn("connection", async move {
                    let _place = place;
                    let open = door.metrics.connections.with_label_values(&[door.name]);
                    open.inc();
                    door.serve(stream, peer, stopping).await;
                    open.dec();
                });
            }
            Err(error) => {
                tracing::warn!(listener = door.name, %error, "a connection could not be accepted");
                tokio::time::sleep(NO_DESCRIPTORS).await;
            }
        }
    }
}

impl<M> Door<M> {
    async fn serve<S, B>(&self, stream: TcpStream, peer: SocketAddr, stopping: watch::Receiver<bool>)
    where
        M: Fn(Peer) -> S,
        S: Serves<B>,
        B: Answers,
    {
        let socket = Socket::new(stream, self.limits.write);
        let Some(tls) = &self.tls else {
            let service = (self.make)(Peer { address: peer, certificates: None });
            return self.one(TokioIo::new(socket), service, peer, stopping).await;
        };
        let acceptor = if (tls.ask)() { &tls.asking } else { &tls.silent };
        match tokio::time::timeout(self.limits.head, acceptor.accept(socket)).await {
            Ok(Ok(stream)) => {
                let shown = stream.get_ref().1.peer_certificates();
                let certificates =
                    shown.map(|chain| chain.iter().map(|der| Bytes::copy_from_slice(der)).collect());
                let service = (self.make)(Peer { address: peer, certificates });
                match stream.get_ref().1.alpn_protocol() {
                    Some(b"h2") => self.two(TokioIo::new(stream), service, peer, stopping).await,
                    _ => self.one(TokioIo::new(stream), service, peer, stopping).await,
                }
            }
            Ok(Err(error)) => self.dropped("tls", peer, &error),
            Err(_) => self.dropped("tls-timeout", peer, &"the handshake took too long"),
        }
    }

    /// Serves a connection that speaks HTTP/1.1. On a stop, it ends after the request that is under way.
    async fn one<I, S, B>(&self, io: I, service: S, peer: SocketAddr, stopping: watch::Receiver<bool>)
    where
        I: Read + Write + Unpin + Send + 'static,
        S: Serves<B>,
        B: Answers,
    {
        let mut connection = pin!(self.versions.one.serve_connection(io, service).with_upgrades());
        let ended = tokio::select! {
            ended = connection.as_mut() => ended,
            () = stop(stopping) => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        self.ended(ended, peer);
    }

    /// Serves a connection that speaks HTTP/2. On a stop, or once it is idle, it ends after the requests that are under way.
    async fn two<I, S, B>(&self, io: I, service: S, peer: SocketAddr, stopping: watch::Receiver<bool>)
    where
        I: Read + Write + Unpin + Send + 'static,
        S: Serves<B>,
        B: Answers,
    {
        let turns = Turns::new();
        let service = Noted { inner: service, turns: turns.clone() };
        let mut connection = pin!(self.versions.two.serve_connection(io, service));
        let mut stop = pin!(stop(stopping));
        let mut look = pin!(tokio::time::sleep(Duration::ZERO));
        let mut left = None;
        loop {
            let leave = tokio::select! {
                ended = connection.as_mut() => return self.ended(ended, peer),
                () = stop.as_mut(), if left.is_none() => true,
                () = look.as_mut() => match turns.verdict(&self.limits, left) {
                    Verdict::Fine(until) => {
                        look.as_mut().reset(until);
                        false
                    }
                    Verdict::Idle if left.is_none() => true,
                    Verdict::Unread => {
                        return self.dropped("write-timeout", peer, &"the client takes nothing of an answer");
                    }
                    Verdict::Silent | Verdict::Idle => {
                        return self.dropped("head-timeout", peer, &"no request came in time");
                    }
                },
            };
            if leave {
                left = Some(Instant::now());
                connection.as_mut().graceful_shutdown();
            }
        }
    }

    /// What the end of a connection was.
    fn ended(&self, ended: hyper::Result<()>, peer: SocketAddr) {
        if let Err(error) = ended {
            let reason = match error.is_timeout() {
                true => "head-timeout",
                false if timed_out(&error) => "write-timeout",
                false => "broken",
            };
            self.dropped(reason, peer, &error);
        }
    }

    fn dropped(&self, reason: &str, peer: SocketAddr, error: &dyn std::fmt::Display) {
        self.metrics.dropped.with_label_values(&[self.name, reason]).inc();
        tracing::debug!(listener = self.name, %peer, reason, %error, "a connection was dropped");
    }
}

/// Waits for the node to stop.
async fn stop(mut stopping: watch::Receiver<bool>) {
    drop(stopping.wait_for(|stop| *stop).await);
}

/// Whether the socket says that the client took nothing, or is gone without a word.
fn timed_out(error: &hyper::Error) -> bool {
    let mut cause = error.source();
    while let Some(error) = cause {
        if error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::TimedOut) {
            return true;
        }
        cause = error.source();
    }
    false
}
