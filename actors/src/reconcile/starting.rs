//! Starting one part: while the reconciler waits, or aside.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use config::{DefId, Definition, Revision};
use futures_util::FutureExt as _;
use ractor::{Actor, ActorRef};
use sdk::task::Endless;
use sdk::{Error, Result};
use tokio::sync::oneshot;

use super::{Reconciler, ReconcilerMsg};
use crate::engine::panic_text;
use crate::gate::Gate;
use crate::health::Health;
use crate::keeper::KeeperMsg;
use crate::kind::Start;
use crate::running::{Parts, Running};
use crate::worker::{Arguments, START_LIMIT, Worker};

/// What is to be started, and from what.
#[derive(Clone, Debug)]
pub(super) struct Attempt {
    pub(super) definition: Arc<Definition>,
    pub(super) version: Revision,
    /// What runs of it until then.
    pub(super) old: Option<Arc<Running>>,
    /// What it may be built from.
    pub(super) parts: Parts,
    /// What it needs and is switched off.
    pub(super) off: Vec<DefId>,
}

/// What came of an attempt.
#[derive(Debug)]
pub struct Built {
    pub(super) attempt: Attempt,
    pub(super) outcome: Result<Running>,
}

impl Built {
    /// Whether this is the outcome for what is wanted still, tried with the parts of now.
    pub(super) fn fits(&self, version: Revision, usable: &Parts) -> bool {
        let Attempt { definition, version: tried, parts, .. } = &self.attempt;
        *tried == version && definition.needs.iter().all(|need| parts.get(need) == usable.get(need))
    }
}

impl Reconciler {
    /// Starts a part while the reconciler goes on; it is told of the outcome, unless the guard is dropped before.
    pub(super) fn start_aside(
        &self,
        me: &ActorRef<ReconcilerMsg>,
        keeper: &ActorRef<KeeperMsg>,
        attempt: Attempt,
    ) -> Endless {
        let (reconciler, me, keeper) = (self.clone(), me.clone(), keeper.clone());
        self.tasks.endless("start", async move {
            let built = reconciler.attempt(&me, &keeper, attempt).await;
            drop(me.cast(ReconcilerMsg::Built(Box::new(built)))); // without a reconciler nothing is to be started
        })
    }

    /// Starts a part.
    pub(super) async fn attempt(
        &self,
        me: &ActorRef<ReconcilerMsg>,
        keeper: &ActorRef<KeeperMsg>,
        attempt: Attempt,
    ) -> Built {
        let outcome = self.start(me, keeper, attempt.clone()).await;
        Built { attempt, outcome }
    }

    async fn start(
        &self,
        me: &ActorRef<ReconcilerMsg>,
        keeper: &ActorRef<KeeperMsg>,
        attempt: Attempt,
    ) -> Result<Running> {
        let Attempt { definition, version, old, parts, off } = attempt;
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
            off,
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
}
