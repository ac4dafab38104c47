//! The peers of a node: who belongs to the cluster, who is linked, and how well.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use chrono::{DateTime, Utc};
use config::Clock;
use tokio::sync::watch;

use crate::link::caller::Lane;
use crate::link::hello::Reason;
use crate::link::ractor::sessions::Session;
use crate::link::settings::Limits;
use crate::link::{Incarnation, Me, Member, NodeId, PeerState};

/// What is known of a peer.
#[derive(Clone, Default)]
pub(crate) struct View {
    /// What the membership says; none for a node that it does not list, or not yet.
    pub(crate) member: Option<Member>,
    /// The link, while there is one.
    pub(crate) session: Option<Arc<Session>>,
}

struct Health {
    up: bool,
    since: DateTime<Utc>,
    latency_ms: Option<f64>,
    trouble: Option<String>,
}

/// Another node.
pub(crate) struct Peer {
    pub(crate) node: NodeId,
    pub(crate) view: watch::Sender<View>,
    pub(crate) lane: Lane,
    /// Held while a connection becomes a link, so that the one before has ended by then: of two sessions with one node,
    /// ractor_cluster keeps any.
    pub(crate) door: tokio::sync::Mutex<()>,
    guests: AtomicUsize,
    health: Mutex<Health>,
    clock: Clock,
}

impl Peer {
    fn health(&self) -> MutexGuard<'_, Health> {
        self.health.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Frames get through.
    pub(crate) fn up(&self, session: Arc<Session>) {
        tracing::info!(node = %self.node, incarnation = %session.with.incarnation, "linked");
        self.view.send_modify(|view| {
            view.session = Some(session);
            *self.health() = Health { up: true, since: self.clock.now(), latency_ms: None, trouble: None };
        });
    }

    /// A session is gone; the link is down if it was this one and not a newer one.
    pub(crate) fn down(&self, session: &Arc<Session>, why: &str) {
        let down = self.view.send_if_modified(|view| {
            let same = view.session.as_ref().is_some_and(|held| Arc::ptr_eq(held, session));
            if same {
                view.session = None;
                let trouble = Some(why.to_owned());
                *self.health() = Health { up: false, since: self.clock.now(), latency_ms: None, trouble };
            }
            same
        });
        if down {
            tracing::warn!(node = %self.node, why, "the link is down");
        }
    }

    /// A try to link has failed; said aloud when it is not what failed before.
    pub(crate) fn not_linked(&self, why: String) {
        let mut health = self.health();
        if !health.up && health.trouble.as_deref() != Some(&why) {
            tracing::warn!(node = %self.node, why, "cannot be linked");
            health.trouble = Some(why);
        }
    }

    pub(crate) fn answered(&self, after: std::time::Duration) {
        self.health().latency_ms = Some(after.as_secs_f64() * 1000.0);
    }

    /// Why there is no link.
    pub(crate) fn trouble(&self) -> String {
        self.health().trouble.clone().unwrap_or_else(|| "it is not linked yet".into())
    }

    fn state(&self) -> PeerState {
        let view = self.view.borrow().clone();
        let incarnation = match (&view.session, &view.member) {
            (Some(session), _) => session.with.incarnation,
            (None, Some(member)) => member.incarnation,
            (None, None) => Incarnation::default(),
        };
        let health = self.health();
        PeerState {
            node: self.node.clone(),
            incarnation,
            up: health.up,
            latency_ms: health.latency_ms,
            since: health.since,
            trouble: health.trouble.clone(),
        }
    }
}

/// See the module.
pub(crate) struct Peers {
    me: Me,
    limits: Limits,
    clock: Clock,
    all: Mutex<BTreeMap<NodeId, Arc<Peer>>>,
}

impl Peers {
    pub(crate) fn new(me: Me, limits: Limits, clock: Clock) -> Self {
        Self { me, limits, clock, all: Mutex::default() }
    }

    fn table(&self) -> MutexGuard<'_, BTreeMap<NodeId, Arc<Peer>>> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn get(&self, node: &NodeId) -> Option<Arc<Peer>> {
        self.table().get(node).cloned()
    }

    pub(crate) fn all(&self) -> Vec<Arc<Peer>> {
        self.table().values().cloned().collect()
    }

    pub(crate) fn states(&self) -> Vec<PeerState> {
        self.all().iter().map(|peer| peer.state()).collect()
    }

    /// Takes the membership. Gives the peers that are new.
    pub(crate) fn set_members(&self, members: Vec<Member>) -> Vec<Arc<Peer>> {
        let mut wanted: HashMap<NodeId, Member> =
            members.into_iter().map(|member| (member.node.clone(), member)).collect();
        wanted.remove(&self.me.node);
        let mut table = self.table();
        for (node, peer) in table.iter() {
            let member = wanted.remove(node);
            peer.view.send_if_modified(|view| {
                let changed = view.member != member;
                view.member = member;
                changed
            });
        }
        let mut fresh = Vec::new();
        for (node, member) in wanted {
            let peer = self.peer(node.clone(), Some(member));
            table.insert(node, Arc::clone(&peer));
            fresh.push(peer);
        }
        fresh
    }

    /// The peer that has just greeted, and whether it is new. It is not forgotten while the guest is held.
    pub(crate) fn guest(&self, node: &NodeId) -> (Guest, bool) {
        let mut table = self.table();
        let fresh = !table.contains_key(node);
        let peer = table.entry(node.clone()).or_insert_with(|| self.peer(node.clone(), None));
        peer.guests.fetch_add(1, Ordering::Relaxed);
        (Guest(Arc::clone(peer)), fresh)
    }

    /// Forgets a peer that the membership does not list, unless it is linked or about to be.
    pub(crate) fn forget(&self, peer: &Arc<Peer>) -> bool {
        let mut table = self.table();
        let view = peer.view.borrow();
        let idle =
            view.member.is_none() && view.session.is_none() && peer.guests.load(Ordering::Relaxed) == 0;
        if idle {
            table.remove(&peer.node);
        }
        idle
    }

    /// Whether this node may be linked with that start of a node which dials it.
    pub(crate) fn judge(&self, node: &NodeId, incarnation: Incarnation) -> Result<(), Reason> {
        if !dials(node, &self.me.node) {
            return Err(Reason::Direction);
        }
        let Some(peer) = self.get(node) else { return Ok(()) };
        let view = peer.view.borrow();
        let member = view.member.as_ref().map(|member| member.incarnation);
        let linked = view.session.as_ref().map(|session| session.with.incarnation);
        // A newer start than the membership knows is welcome: the membership will hear of it soon.
        if member.max(linked).is_some_and(|newest| incarnation < newest) {
            return Err(Reason::Incarnation);
        }
        Ok(())
    }

    fn peer(&self, node: NodeId, member: Option<Member>) -> Arc<Peer> {
        Arc::new(Peer {
            node,
            view: watch::Sender::new(View { member, session: None }),
            lane: Lane::new(self.limits),
            door: tokio::sync::Mutex::new(()),
            guests: AtomicUsize::new(0),
            health: Mutex::new(Health {
                up: false,
                since: self.clock.now(),
                latency_ms: None,
                trouble: None,
            }),
            clock: self.clock.clone(),
        })
    }
}

/// Of two nodes, the one with the lesser name dials, so that there are never two connections at once.
pub(crate) fn dials(from: &NodeId, to: &NodeId) -> bool {
    from < to
}

/// A peer whose connection is about to become a link.
pub(crate) struct Guest(pub(crate) Arc<Peer>);

impl Drop for Guest {
    fn drop(&mut self) {
        self.0.guests.fetch_sub(1, Ordering::Relaxed);
        self.0.view.send_modify(|_| {}); // whoever tends the peer looks again whether it is to be forgotten
    }
}
