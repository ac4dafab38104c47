//! What all tasks of a node's links share, and how a greeted connection becomes a link.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ractor::ActorRef;
use ractor_cluster::NodeServerMessage;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::link::Me;
use crate::link::caller::Caller;
use crate::link::hello::{Greeted, Greeter};
use crate::link::ractor::gateway::Exchange;
use crate::link::ractor::peers::{Peer, Peers};
use crate::link::ractor::sessions::{Session, Sessions};
use crate::link::ractor::tend::tend;
use crate::link::socket::{Cuttable, Stream};
use crate::link::tls::Tls;

/// How long two node servers may take to get to know each other.
const ADMIT: Duration = Duration::from_secs(3);

/// The two actors that a node has for its links.
pub(crate) type Actors = (ActorRef<NodeServerMessage>, ActorRef<Exchange>);

/// See the module.
pub(crate) struct Hub {
    pub(crate) me: Me,
    pub(crate) greeter: Greeter,
    pub(crate) tls: Option<Tls>,
    pub(crate) caller: Caller,
    pub(crate) sessions: Arc<Sessions>,
    pub(crate) peers: Peers,
    /// The node server and the gateway, but for the moment in which they are restarted.
    pub(crate) actors: Mutex<Option<Actors>>,
    pub(crate) tasks: TaskTracker,
    pub(crate) stop: CancellationToken,
    pub(crate) runtime: tokio::runtime::Handle,
}

impl Hub {
    /// Does `work` until the node stops.
    pub(crate) fn spawn(self: &Arc<Self>, work: impl Future<Output = ()> + Send + 'static) {
        let stop = self.stop.clone();
        let until = async move {
            let _ = stop.run_until_cancelled_owned(work).await;
        };
        self.tasks.spawn_on(until, &self.runtime);
    }

    pub(crate) fn actors(&self) -> MutexGuard<'_, Option<Actors>> {
        self.actors.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends everything but the errands of other nodes that are under way.
    pub(crate) fn end(&self) {
        self.stop.cancel();
        self.sessions.end_all();
        if let Some((server, gateway)) = self.actors().take() {
            server.stop(None);
            gateway.stop(None);
        }
    }

    /// Looks after a new peer.
    pub(crate) fn tend(self: &Arc<Self>, peer: Arc<Peer>) {
        self.spawn(tend(Arc::clone(self), peer));
    }

    /// Makes a link of a connection. What was linked with this peer before ends first.
    pub(crate) async fn admit(
        &self,
        peer: &Arc<Peer>,
        stream: Box<dyn Stream>,
        with: Greeted,
        is_server: bool,
    ) -> Result<(), &'static str> {
        let door = timeout(ADMIT, peer.door.lock()).await;
        let _door = door.map_err(|_| "another connection of the node is still being linked")?;
        let before = peer.view.borrow().session.clone();
        if let Some(before) = before {
            if before.with.incarnation > with.incarnation {
                return Err("a newer start of the node is linked already");
            }
            peer.down(&before, "a newer connection takes its place");
            self.sessions.end(&before).await;
        }
        let server = self.actors().as_ref().map(|(server, _)| server.clone());
        let server = server.ok_or("the node server is being restarted")?;
        let session = self.sessions.open(with);
        let mut unfinished = Unfinished(Some(&session));
        let stream = Box::new(Cuttable { stream, label: session.label(), cut: session.cut.clone() });
        server
            .cast(NodeServerMessage::ConnectionOpenedExternal { stream, is_server })
            .map_err(|_| "the node server has ended")?;
        if !timeout(ADMIT, session.ready()).await.unwrap_or(false) {
            self.sessions.end(&session).await;
            return Err("the node servers did not come to terms");
        }
        unfinished.0 = None;
        drop(unfinished);
        peer.up(session);
        Ok(())
    }
}

/// Ends a session that was not finished, also when whoever waited for it is dropped.
struct Unfinished<'a>(Option<&'a Session>);

impl Drop for Unfinished<'_> {
    fn drop(&mut self) {
        if let Some(session) = self.0 {
            session.close();
        }
    }
}
