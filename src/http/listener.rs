//! The accept loop of both listeners: a cap on connections, TLS, time-outs, and an end that waits for requests.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use config::settings::Settings;
use http::{Request, Response};
use hyper::body::{Body, Incoming};
use hyper::rt::{Read, Write};
use hyper::service::Service;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use sdk::{Error, Result};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, oneshot, watch};
use tokio::time::Instant;
use tokio_rustls::TlsAcceptor;

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
}

impl Limits {
    /// Those of a node.
    pub fn of(settings: &Settings) -> Self {
        Self { connections: settings.max_connections, head: settings.header_timeout.get() }
    }
}

/// A listener that accepts connections until the node stops.
pub struct Listener {
    /// Where it really listens.
    pub address: SocketAddr,
    ended: oneshot::Receiver<GracefulShutdown>,
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

/// Listens at `address`. `make` makes the service of each connection, knowing who is at the other end.
///
/// # Errors
/// If the address cannot be had.
pub async fn open<M, S, B>(
    name: &'static str,
    address: SocketAddr,
    make: M,
    limits: &Limits,
    tls: Option<Certificates>,
    app: &App,
) -> Result<Listener>
where
    M: Fn(SocketAddr) -> S + Send + Sync + 'static,
    S: Serves<B>,
    B: Body<Data = Bytes, Error: Into<Box<dyn std::error::Error + Send + Sync>>> + Send + 'static,
{
    let listening = TcpListener::bind(address).await.map_err(|e| {
        Error::internal(format!("the {name} listener cannot have {address}: {e}; is another node running?"))
    })?;
    let address = listening.local_addr()?;
    let (end, ended) = oneshot::channel();
    let door = Arc::new(Door {
        name,
        make,
        plain: plain(limits),
        secure: tls.map(|certificates| (certificates.acceptor(), negotiated(limits))),
        limits: limits.clone(),
        metrics: app.metrics.clone(),
    });
    let (tasks, stopping) = (app.tasks.clone(), app.stopping.clone());
    app.tasks.spawn(name, async move {
        let graceful = GracefulShutdown::new();
        accept(&door, &listening, &graceful, &tasks, stopping).await;
        drop(listening); // new connections are refused from here on
        drop(end.send(graceful)); // nobody waits if the start of the node failed half way
    });
    Ok(Listener { address, ended })
}

impl Listener {
    /// Waits until no request is under way, but not longer than `deadline`; returns whether all of them ended.
    pub async fn drained(self, deadline: Instant) -> bool {
        let drained = async {
            if let Ok(graceful) = self.ended.await {
                graceful.shutdown().await;
            }
        };
        tokio::time::timeout_at(deadline, drained).await.is_ok()
    }
}

/// What each connection of a listener needs.
struct Door<M> {
    name: &'static str,
    make: M,
    plain: auto::Builder<TokioExecutor>,
    secure: Option<(TlsAcceptor, [auto::Builder<TokioExecutor>; 2])>,
    limits: Limits,
    metrics: Metrics,
}

/// HTTP/1.1 without TLS. HTTP/2 needs TLS here: telling the two apart on a plain connection would mean to wait for
/// its first bytes without a time-out.
fn plain(limits: &Limits) -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new()).http1_only();
    builder.http1().timer(TokioTimer::new()).header_read_timeout(limits.head).pipeline_flush(true);
    builder
}

/// HTTP/1.1 and HTTP/2, whichever the TLS handshake has agreed on.
fn negotiated(limits: &Limits) -> [auto::Builder<TokioExecutor>; 2] {
    let mut two = auto::Builder::new(TokioExecutor::new()).http2_only();
    two.http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(limits.head)
        .keep_alive_timeout(limits.head)
        .max_concurrent_streams(MAX_STREAMS);
    [plain(limits), two]
}

async fn accept<M, S, B>(
    door: &Arc<Door<M>>,
    listening: &TcpListener,
    graceful: &GracefulShutdown,
    tasks: &sdk::task::Tasks,
    mut stopping: watch::Receiver<bool>,
) where
    M: Fn(SocketAddr) -> S + Send + Sync + 'static,
    S: Serves<B>,
    B: Body<Data = Bytes, Error: Into<Box<dyn std::error::Error + Send + Sync>>> + Send + 'static,
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
                let (door, watcher) = (door.clone(), graceful.watcher());
                tasks.spawn("connection", async move {
                    let _place = place;
                    let open = door.metrics.connections.with_label_values(&[door.name]);
                    open.inc();
                    door.serve(stream, peer, watcher).await;
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
    async fn serve<S, B>(&self, stream: TcpStream, peer: SocketAddr, watcher: Watcher)
    where
        M: Fn(SocketAddr) -> S,
        S: Serves<B>,
        B: Body<Data = Bytes, Error: Into<Box<dyn std::error::Error + Send + Sync>>> + Send + 'static,
    {
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%peer, %error, "no TCP_NODELAY");
        }
        let service = (self.make)(peer);
        let Some((acceptor, [one, two])) = &self.secure else {
            return self.run(&self.plain, TokioIo::new(stream), service, peer, watcher).await;
        };
        match tokio::time::timeout(self.limits.head, acceptor.accept(stream)).await {
            Ok(Ok(stream)) => {
                let h2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
                self.run(if h2 { two } else { one }, TokioIo::new(stream), service, peer, watcher).await;
            }
            Ok(Err(error)) => self.dropped("tls", peer, &error),
            Err(_) => self.dropped("tls-timeout", peer, &"the handshake took too long"),
        }
    }

    async fn run<I, S, B>(
        &self,
        http: &auto::Builder<TokioExecutor>,
        io: I,
        service: S,
        peer: SocketAddr,
        watcher: Watcher,
    ) where
        I: Read + Write + Unpin + Send + 'static,
        S: Serves<B>,
        B: Body<Data = Bytes, Error: Into<Box<dyn std::error::Error + Send + Sync>>> + Send + 'static,
    {
        let connection = http.serve_connection_with_upgrades(io, service).into_owned();
        if let Err(error) = watcher.watch(connection).await {
            let timed_out = error.downcast_ref::<hyper::Error>().is_some_and(hyper::Error::is_timeout);
            self.dropped(if timed_out { "head-timeout" } else { "broken" }, peer, &error);
        }
    }

    fn dropped(&self, reason: &str, peer: SocketAddr, error: &dyn std::fmt::Display) {
        self.metrics.dropped.with_label_values(&[self.name, reason]).inc();
        tracing::debug!(listener = self.name, %peer, reason, %error, "a connection was dropped");
    }
}
