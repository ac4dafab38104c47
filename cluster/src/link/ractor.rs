//! Links over ractor_cluster: its node server carries the frames, all that keeps a link alive is ours.
//!
//! ractor_cluster has no reconnect, notices no dead peer, and would accept TLS inside one actor; so connections are
//! made, accepted, greeted and watched here, and handed to it when both sides know each other.

mod accept;
mod gateway;
mod hub;
mod peers;
mod sessions;
mod tend;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use ractor::{Actor as _, ActorRef, concurrency::JoinHandle};
use ractor_cluster::node::NodeConnectionMode;
use ractor_cluster::{IncomingEncryptionMode, NodeServer, NodeServerMessage};
use tokio::net::TcpListener;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use self::accept::accept;
use self::gateway::{Exchange, Gateway};
use self::hub::Hub;
use self::peers::Peers;
use self::sessions::{Events, Sessions};
use crate::envelope::MAX_PART;
use crate::link::caller::{Caller, Line};
use crate::link::desk::Desk;
use crate::link::hello::{Greeter, Keys};
use crate::link::settings::{LinkSettings, MIN_SECRET, StartError, Transport, is_private};
use crate::link::tls::Tls;
use crate::link::{Handler, LinkError, Links, Me, Member, NodeId, PeerState, Request};

/// The largest frame accepted: an envelope, with what ractor_cluster adds, and its lists of actors.
const MAX_FRAME: u64 = 1024 * 1024;
/// How long a hint may be under way.
const CAST_LIMIT: Duration = Duration::from_secs(1);
/// The pause before a node server that has ended is started anew.
const RESTART: Duration = Duration::from_secs(1);

/// See the module. One per process: ractor's groups are process-wide.
pub struct RactorLinks {
    hub: Arc<Hub>,
    desk: Arc<Desk>,
    address: SocketAddr,
}

impl RactorLinks {
    /// Listens, and links whoever [`Links::set_members`] names.
    ///
    /// # Errors
    /// See [`StartError`].
    pub async fn start(settings: LinkSettings) -> Result<Self, StartError> {
        let LinkSettings { cluster, node, incarnation, secret, transport, listen, versions, limits, clock } =
            settings;
        if secret.reveal().len() < MIN_SECRET {
            return Err(StartError::ShortSecret);
        }
        let tls = match &transport {
            Transport::Plain if !is_private(listen.ip()) => return Err(StartError::Public(listen.ip())),
            Transport::Plain => None,
            Transport::Tls(identity) => Some(Tls::new(identity)?),
        };
        let failed = |source| StartError::Listen { address: listen, source };
        let listener = TcpListener::bind(listen).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;

        let me = Me { node, incarnation };
        let sessions = Arc::new(Sessions::default());
        let known = Arc::clone(&sessions);
        let known = Box::new(move |node: &NodeId, incarnation| known.knows(node, incarnation));
        let desk = Arc::new(Desk::new(me.clone(), versions, limits, known));
        let keys = Keys::new(&secret, &cluster);
        let hub = Arc::new(Hub {
            greeter: Greeter { me: me.clone(), cluster, versions, keys },
            tls,
            caller: Caller::new(me.clone(), limits),
            sessions,
            peers: Peers::new(me.clone(), limits, clock),
            actors: Mutex::new(None),
            tasks: TaskTracker::new(),
            stop: CancellationToken::new(),
            runtime: tokio::runtime::Handle::current(),
            me,
        });
        let actors = Actors::spawn(&hub, &desk).await?;
        hub.spawn(supervise(Arc::clone(&hub), Arc::clone(&desk), actors));
        hub.spawn(accept(Arc::clone(&hub), listener, limits.unproven));
        Ok(Self { hub, desk, address })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

#[async_trait]
impl Links for RactorLinks {
    async fn call(&self, to: &NodeId, request: Request, deadline: Instant) -> Result<Bytes, LinkError> {
        let unreachable = |why: String| LinkError::Unreachable { node: to.clone(), why };
        let peer =
            self.hub.peers.get(to).ok_or_else(|| unreachable("it does not belong to the cluster".into()))?;
        let session = peer.view.borrow().session.clone();
        let session = session.ok_or_else(|| unreachable(peer.trouble()))?;
        let wire = session.wire().ok_or_else(|| unreachable(peer.trouble()))?;
        let line = Line { to, wire: &*wire, version: session.with.version, lane: &peer.lane, deadline };
        self.hub.caller.call(line, request).await
    }

    fn cast(&self, payload: Bytes) -> Result<(), LinkError> {
        if payload.len() > MAX_PART {
            return Err(LinkError::TooLarge { size: payload.len() as u64, limit: MAX_PART as u64 });
        }
        for peer in self.hub.peers.all() {
            let session = peer.view.borrow().session.clone();
            let Some((wire, session)) = session.and_then(|s| s.wire().map(|wire| (wire, s))) else {
                continue;
            };
            // A node that is slow to take hints misses some: they say nothing that it would not find out.
            let Ok(permit) = Arc::clone(&peer.lane.casts).try_acquire_owned() else { continue };
            let (hub, payload) = (Arc::clone(&self.hub), payload.clone());
            self.hub.spawn(async move {
                let _permit = permit;
                let (to, lane, deadline) = (&peer.node, &peer.lane, Instant::now() + CAST_LIMIT);
                let line = Line { to, wire: &*wire, version: session.with.version, lane, deadline };
                if let Err(error) = hub.caller.cast(line, payload).await {
                    tracing::debug!(node = %to, %error, "a hint was lost");
                }
            });
        }
        Ok(())
    }

    fn peers(&self) -> Vec<PeerState> {
        self.hub.peers.states()
    }

    fn set_members(&self, members: Vec<Member>) {
        for peer in self.hub.peers.set_members(members) {
            self.hub.tend(peer);
        }
    }

    fn serve(&self, handler: Arc<dyn Handler>) {
        self.desk.serve(handler);
    }

    async fn stop(&self, limit: Duration) {
        // The links stay until what is under way has been answered.
        self.desk.close();
        self.hub.stop.cancel();
        self.hub.tasks.close();
        if timeout(limit, self.hub.tasks.wait()).await.is_err() {
            tracing::warn!(left = self.hub.tasks.len(), "errands of other nodes are left unfinished");
        }
        self.hub.end();
    }
}

impl Drop for RactorLinks {
    fn drop(&mut self) {
        self.hub.end();
    }
}

/// The two actors of the links, and what tells when they end.
struct Actors {
    server: (ActorRef<NodeServerMessage>, JoinHandle<()>),
    gateway: (ActorRef<Exchange>, JoinHandle<()>),
}

impl Actors {
    async fn spawn(hub: &Arc<Hub>, desk: &Arc<Desk>) -> Result<Self, StartError> {
        let failed = |error: &dyn std::fmt::Display| StartError::Actors(error.to_string());
        // The gateway comes first: what is there when a session opens is shown to the peer before it is `ready`.
        let gateway = Gateway { desk: Arc::clone(desk), tasks: hub.tasks.clone() };
        let gateway = Gateway::spawn(None, gateway, ()).await.map_err(|e| failed(&e))?;
        let Me { node, incarnation } = &hub.me;
        // The "host" after the @ holds the incarnation, so that a dead session of a former start competes with nobody,
        // and the name again: two nodes with equal host and port would take each other for themselves.
        let host = format!("{incarnation}.{node}");
        let cookie = hub.greeter.keys.cookie.clone();
        // It insists on a port of its own. That is on loopback, and whoever comes there is turned away.
        let server = NodeServer::new(
            0,
            cookie,
            node.to_string(),
            host,
            Some(IncomingEncryptionMode::Raw),
            Some(NodeConnectionMode::Isolated),
        )
        .with_listen_addr(IpAddr::V4(Ipv4Addr::LOCALHOST))
        .with_max_inbound_frame_size(MAX_FRAME);
        let server = match NodeServer::spawn(None, server, ()).await {
            Ok(server) => server,
            Err(error) => {
                gateway.0.stop(None);
                return Err(failed(&error));
            }
        };
        let subscription = Box::new(Events(Arc::clone(&hub.sessions)));
        let subscribe = NodeServerMessage::SubscribeToEvents { id: "links".into(), subscription };
        server.0.cast(subscribe).map_err(|e| failed(&e))?;
        *hub.actors() = Some((server.0.clone(), gateway.0.clone()));
        Ok(Self { server, gateway })
    }
}

/// Starts the actors anew when one of them ends; their links end with them and are dialed again.
async fn supervise(hub: Arc<Hub>, desk: Arc<Desk>, mut actors: Actors) {
    loop {
        tokio::select! {
            _ = &mut actors.server.1 => {}
            _ = &mut actors.gateway.1 => {}
        }
        tracing::error!("an actor of the links has ended; both are started anew");
        *hub.actors() = None;
        actors.server.0.stop(None);
        actors.gateway.0.stop(None);
        hub.sessions.end_all();
        actors = loop {
            sleep(RESTART).await;
            match Actors::spawn(&hub, &desk).await {
                Ok(actors) => break actors,
                Err(error) => tracing::error!(%error, "the links cannot be started anew"),
            }
        };
    }
}
