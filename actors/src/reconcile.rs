//! The reconciler: makes what runs become what is wanted. It is woken with no input, so there is one code path for
//! start, change, failure and retry.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use cluster::Board;
use config::{Catalog, Clock, DefId, Definition, Fault, Keyring, Name, Revision, Store};
use futures_util::{FutureExt as _, StreamExt as _};
use ractor::{Actor, ActorId, ActorProcessingErr, ActorRef, RpcReplyPort};
use sdk::task::{Endless, Tasks};
use sdk::{Error, Result};
use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::backoff::Backoff;
use crate::engine::panic_text;
use crate::gate::Gate;
use crate::health::Health;
use crate::keeper::{Keeper, KeeperMsg};
use crate::kind::Start;
use crate::meter::Meters;
use crate::registry::Registry;
use crate::running::{Parts, Running};
use crate::snapshot::Live;
use crate::worker::{Arguments, START_LIMIT, Worker};

/// The guarantee behind the hints: whatever was lost, a change is seen after this time.
const TICK: Duration = Duration::from_secs(1);
/// How many parts may start at the same time.
const AT_ONCE: usize = 32;

/// What the reconciler works with.
#[derive(Clone)]
pub struct Reconciler {
    /// This node.
    pub node: Name,
    /// Where the wanted catalog comes from.
    pub store: Arc<dyn Store>,
    /// The kinds and the compiled-in services.
    pub registry: Arc<Registry>,
    /// Opens the secrets.
    pub keyring: Keyring,
    /// Where the result is published for requests.
    pub live: Live,
    /// Where it is published for writers.
    pub board: Arc<Board>,
    /// The parts' metrics.
    pub meters: Meters,
    /// Time.
    pub clock: Clock,
    /// Background work.
    pub tasks: Tasks,
}

/// What the reconciler is told. None of it says what to do.
#[derive(Debug)]
pub enum ReconcilerMsg {
    /// Something may have changed.
    Wake,
    /// A worker has failed.
    Lost {
        /// Which.
        worker: ActorId,
        /// Of what.
        error: String,
    },
    /// A secret that a part was started with has another value now, or is about to end.
    Outdated {
        /// The part's worker.
        worker: ActorId,
        /// The reference to the secret.
        reference: String,
    },
    /// The other side of a connection is back: what could not start may do so now.
    Recovered,
    /// An operator wants a part started anew.
    Restart(DefId, RpcReplyPort<Result<()>>),
    /// The node stops: let go of everything.
    Stop(RpcReplyPort<()>),
}

impl ractor::Message for ReconcilerMsg {}

/// A part that does not run as wanted, and when to try again.
struct Retry {
    version: Revision,
    backoff: Backoff,
    due: Instant,
    fault: Fault,
}

/// The reconciler's state.
pub struct State {
    keeper: ActorRef<KeeperMsg>,
    _nudges: Endless,
    parts: Parts,
    retries: HashMap<DefId, Retry>,
    /// To be started anew though nothing in their definition has changed.
    again: HashSet<DefId>,
    seen: Option<Revision>,
}

impl Actor for Reconciler {
    type Msg = ReconcilerMsg;
    type State = State;
    type Arguments = ();

    async fn pre_start(&self, me: ActorRef<ReconcilerMsg>, (): ()) -> Result<State, ActorProcessingErr> {
        let (keeper, _) = Actor::spawn_linked(None, Keeper, me.clone(), me.get_cell()).await?;
        me.send_interval(TICK, || ReconcilerMsg::Wake);
        let mut nudges = self.store.nudges();
        let nudged = me.clone();
        let nudges = self.tasks.endless("nudges", async move {
            while nudges.changed().await.is_ok() && nudged.cast(ReconcilerMsg::Wake).is_ok() {}
        });
        Ok(State {
            keeper,
            _nudges: nudges,
            parts: Parts::new(),
            retries: HashMap::new(),
            again: HashSet::new(),
            seen: None,
        })
    }

    async fn post_start(&self, me: ActorRef<ReconcilerMsg>, _: &mut State) -> Result<(), ActorProcessingErr> {
        Ok(me.cast(ReconcilerMsg::Wake)?)
    }

    async fn handle(
        &self,
        me: ActorRef<ReconcilerMsg>,
        message: ReconcilerMsg,
        state: &mut State,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            ReconcilerMsg::Wake => self.reconcile(&me, state).await,
            ReconcilerMsg::Lost { worker, error } => {
                let lost = state.parts.values().find(|running| running.is_run_by(worker)).cloned();
                if let Some(running) = lost {
                    running.meter.restarted();
                    state.again.insert(running.id().clone());
                    let what = format!("its actor failed: {error}");
                    state.retry(&me, running.id(), running.version, &what);
                    state.seen = None;
                    self.reconcile(&me, state).await;
                }
            }
            ReconcilerMsg::Outdated { worker, reference } => {
                let outdated = state.parts.values().find(|running| running.is_run_by(worker));
                if let Some(id) = outdated.map(|running| running.id().clone()) {
                    tracing::info!(%id, %reference, "a secret has changed; it starts anew");
                    state.again.insert(id);
                    state.seen = None;
                    self.reconcile(&me, state).await;
                }
            }
            ReconcilerMsg::Recovered => state.hurry(&me),
            ReconcilerMsg::Restart(id, reply) => {
                let answer = self.restart(&me, state, &id).await;
                drop(reply.send(answer)); // the operator may have given up
            }
            ReconcilerMsg::Stop(reply) => {
                state.parts.clear();
                let empty = self.live.now().next(Revision::ZERO, Parts::new(), BTreeMap::new());
                self.live.replace(empty);
                drop(reply.send(()));
                me.stop(None);
            }
        }
        Ok(())
    }
}

impl Reconciler {
    /// Compares and acts. Does nothing, cheaply, when nothing has changed and nothing is due.
    async fn reconcile(&self, me: &ActorRef<ReconcilerMsg>, state: &mut State) {
        let stored = match self.store.load().await {
            Ok(catalog) => catalog,
            Err(error) => {
                tracing::warn!(%error, "the store does not answer; what runs goes on");
                return;
            }
        };
        let now = Instant::now();
        let due = state.retries.values().any(|retry| retry.due <= now);
        if state.seen == Some(stored.revision) && !due {
            return;
        }
        let wanted = self.registry.with_implicit(&stored);
        let mut again = std::mem::take(&mut state.again);
        again.retain(|id| wanted.get(id).is_some_and(|definition| definition.enabled));
        let running = state.parts.iter().filter(|(id, _)| !again.contains(*id));
        let plan = config::diff::plan(running.map(|(id, part)| (id, part.version)), &wanted);
        let starts: HashMap<&DefId, Revision> =
            plan.start.iter().flatten().map(|(id, version)| (id, *version)).collect();
        state.retries.retain(|id, retry| starts.get(id) == Some(&retry.version));
        again.retain(|id| starts.contains_key(id));
        state.again = again;

        let before = state.parts.clone();
        for level in &plan.start {
            let due = level.iter().filter(|(id, _)| state.retries.get(id).is_none_or(|r| r.due <= now));
            let due = due.filter_map(|(id, version)| Some((wanted.get(id)?.clone(), *version)));
            self.start_level(me, state, &wanted, due.collect()).await;
        }
        for id in &plan.stop {
            state.parts.remove(id);
            if wanted.get(id).is_none() {
                self.meters.forget(id);
            }
        }
        self.publish(state, &wanted);
        // What was built from a part that was started anew is next.
        let rest = state.again.iter().any(|id| !state.retries.contains_key(id));
        state.seen = if rest { None } else { Some(wanted.revision) };
        if rest {
            drop(me.cast(ReconcilerMsg::Wake)); // this actor is running, so its mailbox is there
        }
        drop(before); // what was replaced stayed in the old snapshot until the new one was published
    }

    fn publish(&self, state: &State, wanted: &Catalog) {
        let mut faults: BTreeMap<DefId, Fault> =
            state.retries.iter().map(|(id, retry)| (id.clone(), retry.fault.clone())).collect();
        for id in self.store.health().unreadable.iter().filter_map(|id| id.parse::<DefId>().ok()) {
            let fault = Fault::new(id.to_string(), "cannot be read in the store");
            faults.insert(id, fault.hint("apply it again, or delete it"));
        }
        self.live.replace(self.live.now().next(wanted.revision, state.parts.clone(), faults));
        let faults = self.live.now().faults.values().cloned().collect();
        self.board.publish(&self.node, wanted.revision, faults);
    }

    /// Starts definitions that do not need each other. What fails leaves what ran before, and is tried again.
    async fn start_level(
        &self,
        me: &ActorRef<ReconcilerMsg>,
        state: &mut State,
        wanted: &Catalog,
        starting: Vec<(Arc<Definition>, Revision)>,
    ) {
        let mut usable = state.parts.clone();
        for broken in state.retries.keys() {
            usable.remove(broken);
        }
        let keeper = &state.keeper;
        let parts = &state.parts;
        let started: Vec<_> = futures_util::stream::iter(starting)
            .map(|(definition, version)| {
                let (old, usable) = (parts.get(&definition.id).cloned(), usable.clone());
                async move {
                    let id = definition.id.clone();
                    (id, version, self.start(me, keeper, definition, version, old, usable).await)
                }
            })
            .buffer_unordered(AT_ONCE)
            .collect()
            .await;
        for (id, version, outcome) in started {
            match outcome {
                Ok(running) => {
                    if state.again.remove(&id) {
                        let built_from_it = wanted.definitions.values().filter(|d| d.needs.contains(&id));
                        let built_from_it = built_from_it.filter(|d| state.parts.contains_key(&d.id));
                        state.again.extend(built_from_it.map(|d| d.id.clone()));
                    }
                    if state.retries.remove(&id).is_some() {
                        tracing::info!(%id, "started at last");
                        state.hurry(me); // others may have failed only because this one did
                    }
                    state.parts.insert(id, Arc::new(running));
                }
                Err(error) => {
                    tracing::warn!(%id, %error, "does not start; what ran before goes on");
                    state.retry(me, &id, version, &format!("does not start: {error}"));
                }
            }
        }
    }

    async fn start(
        &self,
        me: &ActorRef<ReconcilerMsg>,
        keeper: &ActorRef<KeeperMsg>,
        definition: Arc<Definition>,
        version: Revision,
        old: Option<Arc<Running>>,
        parts: Parts,
    ) -> Result<Running> {
        let id = definition.id.clone();
        let kind =
            self.registry.kind(&definition.kind).map_err(|fault| Error::internal(fault.to_string()))?;
        let params = self.keyring.open(&definition.params).map_err(|e| Error::internal(e.to_string()))?;
        // An operator's pause outlives a change of the definition.
        let gate = Arc::new(Gate::in_phase(old.as_ref().map(|old| old.gate.phase())));
        let meter = if kind.light() { self.meters.lazily(&id) } else { self.meters.of(&id) };
        let health = Health::new(id.clone(), self.clock.clone());
        let start = Start {
            id: id.clone(),
            gate: gate.clone(),
            meter: meter.clone(),
            health: health.clone(),
            clock: self.clock.clone(),
            tasks: self.tasks.clone(),
            python: self.registry.python.clone(),
            budgets: self.registry.budgets.clone(),
            lockout: self.registry.lockout.clone(),
            sessions: self.store.sessions(),
            keyring: self.keyring.clone(),
            parts,
            services: self.registry.services.clone(),
        };
        if kind.light() {
            let starting = AssertUnwindSafe(kind.start(params, start)).catch_unwind();
            let started = tokio::time::timeout(START_LIMIT, starting).await;
            let started =
                started.map_err(|_| Error::timeout(format!("it takes longer than {START_LIMIT:?}")))?;
            let panicked = |panic: Box<dyn std::any::Any + Send>| {
                Error::internal(format!("panicked while starting: {}", panic_text(&*panic)))
            };
            let part = started.map_err(panicked)??;
            return Ok(Running { definition, version, part, gate, meter, health, worker: None });
        }
        let (started, part) = oneshot::channel();
        let reconciler = me.clone();
        let arguments = Arguments { params, kind, start, reconciler, started };
        let spawned = Actor::spawn_linked(None, Worker, arguments, keeper.get_cell()).await;
        let (worker, _) = spawned.map_err(|e| match e {
            ractor::SpawnErr::StartupFailed(error) => Error::internal(error.to_string()),
            other => Error::internal(other.to_string()),
        })?;
        let part = part.await.map_err(|_| Error::internal("the actor ended while it started"))?;
        Ok(Running { definition, version, part, gate, meter, health, worker: Some(worker) })
    }

    async fn restart(&self, me: &ActorRef<ReconcilerMsg>, state: &mut State, id: &DefId) -> Result<()> {
        if !state.parts.contains_key(id) && !state.retries.contains_key(id) {
            return Err(Error::not_found(format!("{id} does not run")));
        }
        state.again.insert(id.clone());
        if let Some(retry) = state.retries.get_mut(id) {
            retry.due = Instant::now();
        }
        state.seen = None;
        self.reconcile(me, state).await;
        match state.retries.get(id) {
            Some(retry) => Err(Error::unavailable(retry.fault.to_string())),
            None => Ok(()),
        }
    }
}

impl State {
    fn retry(&mut self, me: &ActorRef<ReconcilerMsg>, id: &DefId, version: Revision, what: &str) {
        let mut backoff = self.retries.remove(id).map(|retry| retry.backoff).unwrap_or_default();
        let verdict = backoff.failure(Instant::now());
        let hint = match verdict.failed {
            true => format!("failed {} times; tried again slowly", backoff.failures()),
            false => "tried again by itself".to_owned(),
        };
        let fault = Fault::new(id.to_string(), what).hint(hint);
        self.retries
            .insert(id.clone(), Retry { version, backoff, due: Instant::now() + verdict.wait, fault });
        me.send_after(verdict.wait, || ReconcilerMsg::Wake);
    }

    /// Makes every retry due.
    fn hurry(&mut self, me: &ActorRef<ReconcilerMsg>) {
        for retry in self.retries.values_mut() {
            retry.due = Instant::now();
        }
        if !self.retries.is_empty() {
            // This actor is running, so its mailbox is there.
            drop(me.cast(ReconcilerMsg::Wake));
        }
    }
}
