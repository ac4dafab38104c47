//! A node of a simulation: one life of it, from its start until it is killed or stopped.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, LazyLock, Mutex, OnceLock};
use std::time::Duration;

use actors::meter::Meters;
use actors::reconcile::ReconcilerMsg;
use actors::{Live, Reconciler, Registry, Snapshot};
use cluster::pulse::Pulse;
use cluster::{Board, Receipt};
use config::members::Load;
use config::{Catalog, Keyring, Membership as _, Name, Revision, Store as _};
use futures_util::FutureExt as _;
use ractor::{Actor, ActorRef};
use sdk::task::Tasks;
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::flaky::{FlakyMembers, FlakyStore};
use super::world::World;

pub static REGISTRY: LazyLock<Arc<Registry>> =
    LazyLock::new(|| Arc::new(Registry::new(super::kind::ALL, &[]).expect("a registry")));
pub static KEYRING: LazyLock<Keyring> = LazyLock::new(Keyring::generate);

/// Of all nodes: nobody reads them, and to make them takes longer than all that they count.
static METERS: LazyLock<Meters> =
    LazyLock::new(|| Meters::new(&prometheus::Registry::new()).expect("metrics"));

/// How long after a nudge from another node the news itself should have come.
const OVERDUE: Duration = Duration::from_millis(200);

/// Whether a node is held up: nothing it asks for is answered. No `watch`, here and wherever several tasks wait for the
/// same: it wakes them in an order that no seed decides.
#[derive(Default)]
pub struct Held(AtomicBool, Notify);

impl Held {
    pub fn is(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }

    pub fn set(&self, held: bool) {
        self.0.store(held, Ordering::SeqCst);
        self.1.notify_waiters();
    }

    /// Waits until it is not.
    pub async fn free(&self) {
        while self.is() {
            self.1.notified().await; // one thread: nobody gets in between
        }
    }
}

/// See the module.
pub struct Life {
    pub node: Name,
    pub world: Arc<World>,
    pub live: Live,
    pub board: Arc<Board>,
    /// What it has seen of the truth.
    pub view: Mutex<Arc<Catalog>>,
    pub nudged: watch::Sender<Revision>,
    pub reported: watch::Sender<u64>,
    /// The truth has changed.
    pub news: Notify,
    /// Somebody has reported.
    pub gossip: Notify,
    pub held: Held,
    /// The nodes that it knows to be there, with the number of their start.
    pub known: Mutex<BTreeMap<Name, u64>>,
    pub incarnation: OnceLock<u64>,
    /// What the checks have seen last.
    pub inspected: Mutex<Arc<Snapshot>>,
    /// What goes on in it, or on behalf of its clients: it ends with it.
    work: Mutex<JoinSet<()>>,
    reconciler: OnceLock<ActorRef<ReconcilerMsg>>,
}

impl Life {
    /// Begins a life. It is up at once, serves as soon as it can, and joins the others then.
    pub async fn begin(node: Name, view: Arc<Catalog>, world: Arc<World>) -> Arc<Self> {
        world.note(format_args!("{node} starts at {}", view.revision));
        let tasks = Tasks::default();
        let live = Live::new(tasks.clone(), world.clock.clone());
        let life = Arc::new(Self {
            node: node.clone(),
            world: world.clone(),
            board: Arc::default(),
            view: Mutex::new(view),
            nudged: watch::Sender::default(),
            reported: watch::Sender::default(),
            news: Notify::new(),
            gossip: Notify::new(),
            held: Held::default(),
            known: Mutex::default(),
            incarnation: OnceLock::new(),
            inspected: Mutex::new(live.now()),
            work: Mutex::default(),
            reconciler: OnceLock::new(),
            live,
        });
        let reconciler = Reconciler {
            node: node.clone(),
            store: Arc::new(FlakyStore(life.clone())),
            registry: REGISTRY.clone(),
            keyring: KEYRING.clone(),
            live: life.live.clone(),
            board: life.board.clone(),
            meters: METERS.clone(),
            clock: world.clock.clone(),
            tasks,
        };
        let (reconciler, _) = Actor::spawn(None, reconciler, ()).await.expect("a reconciler");
        assert!(life.reconciler.set(reconciler).is_ok());
        life.spawn(life.clone().follow());
        life.spawn(life.clone().overhear());
        life.spawn(life.clone().join());
        world.lives().insert(node, life.clone());
        life
    }

    /// Something that ends when the node does.
    pub fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) {
        let mut set = self.work.lock().expect("one thread");
        while set.try_join_next().is_some() {}
        set.spawn(work);
    }

    /// Joins the others, once what was stored when it started is served.
    async fn join(self: Arc<Self>) {
        let at_start = self.view.lock().expect("one thread").revision;
        if self.settled(at_start, Duration::from_secs(60)).await.is_none() {
            self.world.broken(format!("{} does not serve {at_start} within a minute", self.node));
        }
        let membership = Arc::new(FlakyMembers(self.clone()));
        let incarnation = loop {
            match membership.incarnation().await {
                Ok(incarnation) => break incarnation,
                Err(_) => tokio::time::sleep(Duration::from_secs(1)).await,
            }
        };
        self.incarnation.get_or_init(|| incarnation);
        let (nudging, resyncing) = (self.clone(), self.clone());
        let pulse = Pulse {
            node: self.node.clone(),
            incarnation,
            address: None,
            version: "1".into(),
            membership,
            store: Arc::new(FlakyStore(self.clone())),
            board: self.board.clone(),
            links: None,
            load: Box::new(Load::default),
            nudge: Box::new(move |revision| nudging.nudge_others(revision)),
            resync: Box::new(move || resyncing.resync()),
        };
        pulse.run(watch::Sender::default()).await;
    }

    /// Waits for a receipt. It asks again and again, since those who wait for a board are woken in an order that no
    /// seed decides.
    pub async fn settled(&self, revision: Revision, limit: Duration) -> Option<Receipt> {
        let begun = Instant::now();
        let mut wait = Duration::from_millis(2);
        loop {
            // It is ready at once, or else not yet.
            let receipt = self.board.settled(revision, begun, limit).now_or_never();
            if let Some(receipt) = receipt.filter(|receipt| receipt.settled) {
                return Some(receipt);
            }
            if begun.elapsed() >= limit {
                return None;
            }
            tokio::time::sleep(wait).await;
            wait = (wait * 2).min(Duration::from_millis(100));
        }
    }

    /// Tells the other nodes; they look if the news has not come by itself.
    fn nudge_others(&self, revision: Revision) {
        let lives: Vec<_> = self.world.lives().values().cloned().collect();
        for other in lives.into_iter().filter(|other| other.node != self.node) {
            if !self.world.chance(self.world.weather().lost) {
                let hinted = other.clone();
                other.spawn(async move {
                    tokio::time::sleep(OVERDUE).await;
                    let behind = hinted.view.lock().expect("one thread").revision < revision;
                    if behind && !hinted.held.is() {
                        let truth = hinted.world.truth.load().await.expect("it is in memory");
                        hinted.look(truth);
                        hinted.nudged.send_replace(revision);
                    }
                });
            }
        }
    }

    /// It has lost the thread, and looks at everything anew.
    fn resync(self: &Arc<Self>) {
        self.world.note(format_args!("{} resyncs", self.node));
        self.world.facts().sums.resyncs += 1;
        let life = self.clone();
        self.spawn(async move {
            life.held.free().await;
            let truth = life.world.truth.load().await.expect("it is in memory");
            life.look(truth);
            if let Some(reconciler) = life.reconciler.get() {
                drop(reconciler.cast(ReconcilerMsg::Wake)); // it may have been killed
            }
        });
    }

    /// Ends it like a process that is killed.
    pub fn kill(&self) {
        self.world.note(format_args!("{} is killed", self.node));
        self.end();
    }

    /// Ends it like a process that is asked to.
    pub async fn stop(self: &Arc<Self>) {
        self.world.note(format_args!("{} stops", self.node));
        self.end_work();
        if let Some(incarnation) = self.incarnation.get() {
            Pulse::leave(&FlakyMembers(self.clone()), &self.node, *incarnation).await;
        }
        self.end();
    }

    fn end_work(&self) {
        self.inspect();
        self.world.lives().remove(&self.node);
        self.work.lock().expect("one thread").abort_all();
    }

    fn end(&self) {
        self.end_work();
        if let Some(reconciler) = self.reconciler.get() {
            reconciler.kill();
        }
    }
}
