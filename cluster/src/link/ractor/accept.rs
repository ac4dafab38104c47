//! Accepting connections of other nodes: each is greeted in a task of its own and with a deadline, so that a silent one
//! stops nobody.

use std::collections::VecDeque;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{sleep, timeout};

use crate::link::hello::{Greeted, HelloError, Reason};
use crate::link::ractor::hub::Hub;
use crate::link::settings::is_private;
use crate::link::socket::{Stream, tune};

/// How long a connection may take to show that it belongs to the cluster.
const GREETING: Duration = Duration::from_secs(3);
/// The pause after the system could not give a connection, such as for want of descriptors.
const PAUSE: Duration = Duration::from_millis(100);

/// Accepts until it is dropped. Of more than `unproven` connections the oldest gives way: an honest one is done within
/// milliseconds, so it is seldom the oldest.
pub(crate) async fn accept(hub: Arc<Hub>, listener: TcpListener, unproven: usize) {
    let mut tasks = JoinSet::new();
    let mut waiting: VecDeque<AbortHandle> = VecDeque::new();
    loop {
        let (stream, from) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection of another node");
                sleep(PAUSE).await;
                continue;
            }
        };
        while tasks.try_join_next().is_some() {}
        waiting.retain(|task| !task.is_finished());
        if waiting.len() >= unproven
            && let Some(oldest) = waiting.pop_front()
        {
            tracing::warn!(unproven, "too many connections that have not greeted; the oldest is closed");
            oldest.abort();
        }
        waiting.push_back(tasks.spawn(welcome(Arc::clone(&hub), stream, from)));
    }
}

async fn welcome(hub: Arc<Hub>, stream: TcpStream, from: SocketAddr) {
    match timeout(GREETING, greet(&hub, stream, from)).await {
        Ok(Ok(Some((stream, greeted)))) => {
            let (guest, fresh) = hub.peers.guest(&greeted.node);
            if fresh {
                hub.tend(Arc::clone(&guest.0));
            }
            if let Err(why) = hub.admit(&guest.0, stream, greeted, true).await {
                guest.0.not_linked(why.into());
            }
        }
        // Health checks and port scanners: they say nothing and go.
        Ok(Ok(None)) => tracing::debug!(%from, "a connection went away before it greeted"),
        Ok(Err(why)) => tracing::warn!(%from, why, "a connection is refused"),
        Err(_) => tracing::warn!(%from, "a connection did not greet within {GREETING:?}"),
    }
}

type Greeting = Option<(Box<dyn Stream>, Greeted)>;

async fn greet(hub: &Hub, stream: TcpStream, from: SocketAddr) -> Result<Greeting, String> {
    tune(&stream).map_err(|e| e.to_string())?;
    let (mut stream, named): (Box<dyn Stream>, bool) = match &hub.tls {
        Some(tls) => match tls.accept(stream).await {
            Ok(accepted) => accepted,
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Ok(None),
            Err(error) => return Err(format!("TLS: {error}")),
        },
        None if is_private(from.ip()) => (Box::new(stream), true),
        None => return Err("it comes from a public address, and there is no TLS".into()),
    };
    let judge = |node: &_, incarnation| match named {
        true => hub.peers.judge(node, incarnation),
        false => Err(Reason::Certificate),
    };
    match hub.greeter.accept(&mut *stream, judge).await {
        Ok(greeted) => Ok(Some((stream, greeted))),
        Err(HelloError::Io(error)) if error.kind() == ErrorKind::UnexpectedEof => Ok(None),
        Err(error) => Err(error.to_string()),
    }
}
