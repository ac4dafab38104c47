//! The sessions of ractor_cluster that we have asked for: each is one connection to one start of one node.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use ractor::ActorRef;
use ractor_cluster::node::NodeServerSessionInformation;
use ractor_cluster::{NodeEventSubscription, NodeSessionMessage};
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::link::hello::Greeted;
use crate::link::ractor::gateway::GatewayWire;
use crate::link::{Incarnation, NodeId};

/// How long a session may take to end after it is cut; then it counts as ended.
const END: Duration = Duration::from_secs(2);
/// What the labels of our sessions begin with: those that come by any other way are turned away.
const LABEL: &str = "zeugma link ";

/// How far a session is.
#[derive(Clone)]
pub(crate) enum Stage {
    /// The two node servers are getting to know each other.
    Opening,
    /// Frames get through.
    Ready(Arc<GatewayWire>),
    /// It has ended.
    Gone,
}

/// See the module.
pub(crate) struct Session {
    number: u64,
    pub(crate) with: Greeted,
    pub(crate) opened: Instant,
    pub(crate) cut: CancellationToken,
    stage: watch::Sender<Stage>,
    actor: Mutex<Option<ActorRef<NodeSessionMessage>>>,
}

impl Session {
    pub(crate) fn label(&self) -> String {
        format!("{LABEL}{}", self.number)
    }

    /// The way to the other side, while there is one.
    pub(crate) fn wire(&self) -> Option<Arc<GatewayWire>> {
        match &*self.stage.borrow() {
            Stage::Ready(wire) => Some(Arc::clone(wire)),
            Stage::Opening | Stage::Gone => None,
        }
    }

    /// Ends it: both halves of the stream, whatever they wait for, and the actor.
    pub(crate) fn close(&self) {
        self.cut.cancel();
        if let Some(actor) = self.actor.lock().unwrap_or_else(PoisonError::into_inner).as_ref() {
            actor.stop(Some("closed".into()));
        }
    }

    /// Waits until frames get through; false if it ends instead.
    pub(crate) async fn ready(&self) -> bool {
        let mut stage = self.stage.subscribe();
        let stage = stage.wait_for(|stage| !matches!(stage, Stage::Opening)).await;
        stage.is_ok_and(|stage| matches!(*stage, Stage::Ready(_)))
    }

    /// Waits until it has ended.
    pub(crate) async fn gone(&self) {
        let mut stage = self.stage.subscribe();
        // The sender is in `self`, so it cannot be dropped meanwhile.
        drop(stage.wait_for(|stage| matches!(stage, Stage::Gone)).await);
    }
}

/// See the module.
#[derive(Default)]
pub(crate) struct Sessions {
    last: AtomicU64,
    open: Mutex<HashMap<u64, Arc<Session>>>,
}

impl Sessions {
    fn table(&self) -> std::sync::MutexGuard<'_, HashMap<u64, Arc<Session>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One more session, with who has just greeted.
    pub(crate) fn open(&self, with: Greeted) -> Arc<Session> {
        let number = self.last.fetch_add(1, Ordering::Relaxed);
        let session = Arc::new(Session {
            number,
            with,
            opened: Instant::now(),
            cut: CancellationToken::new(),
            stage: watch::Sender::new(Stage::Opening),
            actor: Mutex::new(None),
        });
        self.table().insert(number, Arc::clone(&session));
        session
    }

    /// Whether there is a session with this start of a node.
    pub(crate) fn knows(&self, node: &NodeId, incarnation: Incarnation) -> bool {
        self.table().values().any(|s| s.with.node == *node && s.with.incarnation == incarnation)
    }

    /// Ends a session and waits for it. One that does not end in time counts as ended.
    pub(crate) async fn end(&self, session: &Session) {
        session.close();
        if tokio::time::timeout(END, session.gone()).await.is_err() {
            // If it were left alive, it would compete with the next session of the same node.
            if let Some(actor) = session.actor.lock().unwrap_or_else(PoisonError::into_inner).as_ref() {
                actor.kill();
            }
            self.forget(session.number);
        }
    }

    /// Ends all of them; nothing is left of them afterwards, even if their node server is dead.
    pub(crate) fn end_all(&self) {
        let all: Vec<u64> = self.table().keys().copied().collect();
        for number in all {
            self.forget(number);
        }
    }

    fn forget(&self, number: u64) {
        let session = self.table().remove(&number);
        if let Some(session) = session {
            session.close();
            session.stage.send_replace(Stage::Gone);
        }
    }

    fn of(&self, seen: &NodeServerSessionInformation) -> Option<Arc<Session>> {
        let number: u64 = seen.peer_addr.strip_prefix(LABEL)?.parse().ok()?;
        self.table().get(&number).cloned()
    }
}

/// Hears of sessions from the node server. It is called from within that actor, so it must not wait.
pub(crate) struct Events(pub(crate) Arc<Sessions>);

impl NodeEventSubscription for Events {
    fn node_session_opened(&self, seen: NodeServerSessionInformation) {
        match self.0.of(&seen) {
            Some(session) => {
                *session.actor.lock().unwrap_or_else(PoisonError::into_inner) = Some(seen.actor);
                if session.cut.is_cancelled() {
                    session.close(); // it was cut before there was an actor to stop
                }
            }
            // ractor_cluster always listens on a port of its own; nobody has any business there.
            None => {
                tracing::warn!(from = %seen.peer_addr, "a connection that was not greeted is closed");
                seen.actor.stop(Some("not greeted".into()));
            }
        }
    }

    fn node_session_authenticated(&self, _: NodeServerSessionInformation) {}

    fn node_session_ready(&self, seen: NodeServerSessionInformation) {
        let Some(session) = self.0.of(&seen) else { return };
        match GatewayWire::find(seen.node_id, session.cut.clone()) {
            Some(wire) => {
                session.stage.send_replace(Stage::Ready(Arc::new(wire)));
            }
            None => {
                tracing::error!(node = %session.with.node, "the node shows no gateway");
                session.close();
            }
        }
    }

    fn node_session_disconnected(&self, seen: NodeServerSessionInformation) {
        if let Some(session) = self.0.of(&seen) {
            self.0.forget(session.number);
        }
    }
}
