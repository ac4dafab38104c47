//! The reconciler: makes what runs become what is wanted. It is woken with no input, so there is one code path for
//! start, change, failure and retry.

mod starting;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use cluster::Board;
use config::{Catalog, Clock, DefId, Definition, Fault, Keyring, Name, Revision, Store};
use futures_util::StreamExt as _;
use ractor::{Actor, ActorId, ActorProcessingErr, ActorRef, RpcReplyPort};
use sdk::task::{Endless, Tasks};
use sdk::{Error, Result};
use tokio::time::Instant;

use self::starting::{Attempt, Built};
use crate::backoff::Backoff;
use crate::keeper::{Keeper, KeeperMsg};
use crate::meter::Meters;
use crate::registry::Registry;
use crate::running::Parts;
use crate::snapshot::Live;

/// The guarantee behind the hints: whatever was lost, a change is seen after this time.
const TICK: Duration = Duration::from_secs(1);
/// How long what is started aside may take to be told of, before it is started again: longer than any start may take.
const ASIDE: Duration = Duration::from_secs(60);
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
    /// What was started aside has started, or failed to.
    Built(Box<Built>),
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
    /// What is being started aside.
    aside: HashMap<DefId, Endless>,
    /// What was started aside.
    built: HashMap<DefId, Built>,
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
            aside: HashMap::new(),
            built: HashMap::new(),
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
            ReconcilerMsg::Built(built) => {
                let id = built.attempt.definition.id.clone();
                if let Some(retry) = state.retries.get_mut(&id) {
                    retry.due = Instant::now();
                }
                state.aside.remove(&id);
                state.built.insert(id, *built);
                self.reconcile(&me, state).await;
                state.built.clear(); // whatever is not wanted like that any more
            }
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
        state.retries.retain(|id, retry| {
            if wanted.get(id).is_none() {
                self.meters.forget(id);
            }
            starts.get(id) == Some(&retry.version)
        });
        state.aside.retain(|id, _| state.retries.contains_key(id));
        again.retain(|id| starts.contains_key(id));
        state.again = again;

        let before = state.parts.clone();
        for id in &plan.stop {
            state.parts.remove(id); // nothing is built from it any more
            if wanted.get(id).is_none() {
                self.meters.forget(id);
            }
        }
        for level in &plan.start {
            let ready = level.iter().filter(|(id, _)| state.retries.get(id).is_none_or(|r| r.due <= now));
            let ready = ready.filter_map(|(id, version)| Some((wanted.get(id)?.clone(), *version)));
            self.start_level(me, state, &wanted, ready.collect()).await;
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

    /// Starts definitions that do not need each other. What fails leaves what ran before, and is tried again: aside, so that
    /// nobody waits for it.
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
        let (mut now, mut built) = (Vec::new(), Vec::new());
        for (definition, version) in starting {
            let id = definition.id.clone();
            match state.built.remove(&id).filter(|built| built.fits(version, &usable)) {
                Some(done) => built.push(done),
                None => {
                    let off = |id: &&DefId| wanted.get(id).is_some_and(|needed| !needed.enabled);
                    let off = definition.needs.iter().filter(off).cloned().collect();
                    let (old, parts) = (state.parts.get(&id).cloned(), usable.clone());
                    let attempt = Attempt { definition, version, old, parts, off };
                    match state.retries.get_mut(&id) {
                        None => now.push(attempt),
                        Some(retry) => {
                            retry.due = Instant::now() + ASIDE;
                            state.aside.insert(id, self.start_aside(me, &state.keeper, attempt));
                        }
                    }
                }
            }
        }
        let keeper = &state.keeper;
        let now = futures_util::stream::iter(now).map(|attempt| self.attempt(me, keeper, attempt));
        built.extend(now.buffer_unordered(AT_ONCE).collect::<Vec<_>>().await);
        for built in built {
            self.started(me, state, wanted, built);
        }
    }

    fn started(&self, me: &ActorRef<ReconcilerMsg>, state: &mut State, wanted: &Catalog, built: Built) {
        let Built { attempt: Attempt { definition, version, .. }, outcome } = built;
        let id = definition.id.clone();
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
                // What was switched off must not work on inside of what was built from it.
                let gone = |need: &DefId| !state.parts.contains_key(need);
                let hollow = state.parts.get(&id).is_some_and(|old| old.definition.needs.iter().any(gone));
                if hollow {
                    state.parts.remove(&id);
                    tracing::warn!(%id, %error, "does not start, and what ran before was built from what is off: it stops");
                } else {
                    tracing::warn!(%id, %error, "does not start; what ran before goes on");
                }
                state.retry(me, &id, version, &format!("does not start: {error}"));
            }
        }
    }

    async fn restart(&self, me: &ActorRef<ReconcilerMsg>, state: &mut State, id: &DefId) -> Result<()> {
        if !state.parts.contains_key(id) && !state.retries.contains_key(id) {
            return Err(Error::not_found(format!("{id} does not run")));
        }
        state.again.insert(id.clone());
        state.retries.remove(id); // an operator waits for the outcome
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

    /// Makes every retry due that is not under way: one that is must come to its end, however often others hurry.
    fn hurry(&mut self, me: &ActorRef<ReconcilerMsg>) {
        for (_, retry) in self.retries.iter_mut().filter(|(id, _)| !self.aside.contains_key(*id)) {
            retry.due = Instant::now();
        }
        if !self.retries.is_empty() {
            // This actor is running, so its mailbox is there.
            drop(me.cast(ReconcilerMsg::Wake));
        }
    }
}
