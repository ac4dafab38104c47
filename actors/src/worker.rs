//! The one actor that runs definitions: it owns a part, understands the operator's verbs, and probes the other side.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use config::{Clear, Clock};
use futures_util::FutureExt as _;
use ractor::{Actor, ActorProcessingErr, ActorRef, RpcReplyPort};
use schemars::JsonSchema;
use sdk::task::Endless;
use sdk::{Error, Result};
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use crate::backoff::Backoff;
use crate::engine::panic_text;
use crate::gate::{Gate, Phase};
use crate::health::Health;
use crate::kind::{AnyKind, Start};
use crate::meter::{Meter, Totals};
use crate::part::{Connection, Part};
use crate::reconcile::ReconcilerMsg;
use crate::references;

/// How long a part may take to start.
pub(crate) const START_LIMIT: Duration = Duration::from_secs(15);
/// How long a probe or a ping may take.
const PING_LIMIT: Duration = Duration::from_secs(5);

/// What an operator can ask of every actor.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Verb {
    /// Are you, and the other side, there?
    Ping,
    /// Keep calls out.
    Pause,
    /// Let calls in again.
    Resume,
    /// Keep calls out and wait for those inside.
    Drain,
    /// Start anew from the same definition; calls go on.
    Restart,
    /// What have you counted?
    Stats,
}

/// What the actor answers.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Report {
    /// Whether calls get in.
    pub phase: Phase,
    /// How many are inside.
    pub in_flight: usize,
    /// Whether the other side answers; left out for parts that have none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub up: Option<bool>,
    /// What the last try to reach the other side met.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// How long a ping took, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ping_ms: Option<f64>,
    /// What it has counted.
    pub totals: Totals,
    /// What only this kind knows.
    #[serde(skip_serializing_if = "serde_json::Value::is_null", default)]
    pub more: serde_json::Value,
}

/// What the worker is told.
#[derive(Debug)]
pub enum WorkerMsg {
    /// An operator's verb; `Restart` goes to the reconciler instead.
    Verb(Verb, Duration, RpcReplyPort<Result<Report>>),
    /// A background task of the part ended badly.
    Failed(String),
    /// Nobody refers to the part any more.
    Retire,
}

impl ractor::Message for WorkerMsg {}

/// What a worker is started with.
pub struct Arguments {
    /// The parameters in clear.
    pub params: Clear,
    /// The kind.
    pub kind: &'static dyn AnyKind,
    /// What the kind needs.
    pub start: Start,
    /// Who is told what only it can act on.
    pub reconciler: ActorRef<ReconcilerMsg>,
    /// Where the started part is put for whoever spawned this.
    pub started: tokio::sync::oneshot::Sender<Part>,
}

/// The worker's state.
pub struct State {
    part: Part,
    gate: Arc<Gate>,
    meter: Arc<Meter>,
    health: Health,
    _probing: Option<Endless>,
    _watching: Option<Endless>,
}

/// See the module.
pub struct Worker;

impl Actor for Worker {
    type Msg = WorkerMsg;
    type State = State;
    type Arguments = Arguments;

    /// Starts the part. An error comes back to whoever spawned the worker, who keeps what ran before.
    async fn pre_start(&self, me: ActorRef<WorkerMsg>, with: Arguments) -> Result<State, ActorProcessingErr> {
        let Arguments { params, kind, start, reconciler, started } = with;
        let (gate, meter, health) = (start.gate.clone(), start.meter.clone(), start.health.clone());
        let (tasks, clock) = (start.tasks.clone(), start.clock.clone());
        let starting = async {
            let (params, watched) = references::resolve(kind, params, &start).await?;
            Ok((kind.start(params, start).await?, watched))
        };
        let starting = AssertUnwindSafe(starting).catch_unwind();
        let (part, watched) = match tokio::time::timeout(START_LIMIT, starting).await {
            Ok(Ok(started)) => started.map_err(|e: Error| ActorProcessingErr::from(e.to_string()))?,
            Ok(Err(panic)) => return Err(format!("panicked while starting: {}", panic_text(&*panic)).into()),
            Err(_) => return Err(format!("did not start within {START_LIMIT:?}").into()),
        };
        let mut probing = None;
        if let Part::Connection(connection) = &part {
            let every = connection.probe_every();
            let work =
                probe(me.clone(), reconciler.clone(), connection.clone(), health.clone(), every, clock);
            probing = Some(tasks.endless("probe", work));
        }
        let watching = watched.map(|watched| {
            let worker = me.get_id();
            tasks.endless("secrets", async move {
                let reference = watched.outdated().await;
                // The reconciler ends last; without it nothing is to be started.
                drop(reconciler.cast(ReconcilerMsg::Outdated { worker, reference }));
            })
        });
        drop(started.send(part.clone())); // whoever spawned this may have given up waiting
        Ok(State { part, gate, meter, health, _probing: probing, _watching: watching })
    }

    async fn handle(
        &self,
        me: ActorRef<WorkerMsg>,
        message: WorkerMsg,
        state: &mut State,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            WorkerMsg::Verb(verb, limit, reply) => answer(verb, limit, reply, state),
            WorkerMsg::Failed(error) => return Err(error.into()),
            WorkerMsg::Retire => {
                match &state.part {
                    Part::Connection(connection) => connection.close().await,
                    Part::Package(package) => package.close().await,
                    _ => {}
                }
                me.stop(None);
            }
        }
        Ok(())
    }
}

/// Answers in the background where it takes time, so that the mailbox stays free.
fn answer(verb: Verb, limit: Duration, reply: RpcReplyPort<Result<Report>>, state: &State) {
    let (part, gate, meter) = (state.part.clone(), state.gate.clone(), state.meter.clone());
    let health = state.health.clone();
    let work = async move { report(verb, limit, &part, &gate, &meter, &health).await };
    #[allow(clippy::disallowed_methods)] // bounded by `limit`, and nobody waits for it when the node stops
    tokio::spawn(async move { drop(reply.send(work.await)) });
}

/// Does what a verb asks of a part, and says how it is.
pub(crate) async fn report(
    verb: Verb,
    limit: Duration,
    part: &Part,
    gate: &Gate,
    meter: &Meter,
    health: &Health,
) -> Result<Report> {
    let id = health.id();
    let mut ping_ms = None;
    match verb {
        Verb::Ping => {
            if let Part::Connection(connection) = part {
                let begun = Instant::now();
                match tokio::time::timeout(limit.min(PING_LIMIT), connection.ping(begun + PING_LIMIT)).await {
                    Ok(Ok(())) => drop(health.recovered()),
                    Ok(Err(error)) => return Err(error),
                    Err(_) => {
                        return Err(Error::timeout(format!("{id} did not answer the ping in time")));
                    }
                }
                ping_ms = Some((begun.elapsed().as_secs_f64() * 1_000_000.0).round() / 1000.0);
            }
        }
        Verb::Pause => gate.turn(Phase::Paused),
        Verb::Resume => gate.turn(Phase::Running),
        Verb::Drain => {
            let left = gate.drain(limit).await;
            if left > 0 {
                return Err(Error::timeout(format!("{id} is drained but for {left} calls that still run")));
            }
        }
        Verb::Restart | Verb::Stats => {}
    }
    let down = health.down();
    let (up, more) = match part {
        Part::Connection(connection) => (Some(down.is_none()), connection.stats()),
        Part::Job(plan) => (None, plan.tally.shown()),
        Part::Package(package) => (None, package.stats()),
        _ => (None, serde_json::Value::Null),
    };
    let error = down.map(|down| down.error.clone());
    Ok(Report {
        phase: gate.phase(),
        in_flight: gate.inside(),
        up,
        error,
        ping_ms,
        totals: meter.totals(),
        more,
    })
}

/// Asks the other side whether it is there: now and then while all is well, if the connection wants that, and at once
/// when a call has met a failure; then soon and ever more slowly until it is back, since meanwhile no call gets through.
async fn probe(
    me: ActorRef<WorkerMsg>,
    reconciler: ActorRef<ReconcilerMsg>,
    connection: Arc<dyn Connection>,
    health: Health,
    every: Option<Duration>,
    clock: Clock,
) {
    let mut backoff = Backoff::default();
    let mut wait = every.map(|_| Duration::ZERO);
    loop {
        let timer = async {
            match wait {
                Some(wait) => tokio::time::sleep(wait).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = timer => {}
            () = health.reported(), if backoff.failures() == 0 => {}
        }
        let ping = AssertUnwindSafe(connection.ping(Instant::now() + PING_LIMIT)).catch_unwind();
        let error = match tokio::time::timeout(PING_LIMIT, ping).await {
            Ok(Ok(Ok(()))) => {
                if let Some(down) = health.recovered() {
                    let seconds = (clock.now() - down.since).num_seconds();
                    tracing::info!(id = %health.id(), down_for_s = seconds, "the other side is back");
                    drop(reconciler.cast(ReconcilerMsg::Recovered)); // it ends last
                }
                backoff.reset();
                wait = every;
                continue;
            }
            Ok(Ok(Err(error))) => error.to_string(),
            Ok(Err(panic)) => {
                // The supervisor starts the part anew; if the actor has ended meanwhile there is nothing to tell.
                drop(me.cast(WorkerMsg::Failed(format!("the probe panicked: {}", panic_text(&*panic)))));
                return;
            }
            Err(_) => format!("no answer within {PING_LIMIT:?}"),
        };
        if health.down().is_none() || backoff.failures() == 0 {
            tracing::warn!(id = %health.id(), %error, "the other side does not answer");
        }
        let next = backoff.next_probe();
        health.failed(error, Instant::now() + next);
        wait = Some(next);
    }
}
