//! The operator's view of the actors: the tree of them, and the verbs that each understands.

use std::time::Duration;

use chrono::{DateTime, Utc};
use config::{DefId, KindTag, Revision};
use ractor::ActorRef;
use ractor::rpc::CallResult;
use schemars::JsonSchema;
use sdk::{Error, Result};
use serde::{Deserialize, Serialize};

use crate::gate::Phase;
use crate::reconcile::ReconcilerMsg;
use crate::running::Running;
use crate::snapshot::Live;
use crate::worker::{self, Report, Verb, WorkerMsg};

/// What is added to a verb's own limit before its caller stops waiting for the actor.
const GRACE: Duration = Duration::from_secs(1);

/// One actor, in a list.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct ActorInfo {
    /// The definition it runs.
    pub id: DefId,
    /// Its kind.
    pub kind: KindTag,
    /// Whether it runs, is kept out, or has failed.
    pub state: ActorState,
    /// How many calls are inside.
    pub in_flight: usize,
    /// The version it was built from.
    pub version: Revision,
    /// What is wrong with it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fault: Option<String>,
    /// What works now and will not for long unless somebody acts, such as a token that ends.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub alarm: Option<String>,
    /// Since when the other side does not answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub down_since: Option<DateTime<Utc>>,
}

/// How an actor is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ActorState {
    /// Calls get in.
    Running,
    /// An operator keeps calls out.
    Paused,
    /// Calls are kept out, those inside are waited for.
    Draining,
    /// The other side does not answer; it is probed.
    Down,
    /// It does not start; it is tried again.
    Failed,
}

/// See the module.
#[derive(Clone)]
pub struct Supervisor {
    live: Live,
    reconciler: ActorRef<ReconcilerMsg>,
}

impl Supervisor {
    /// Over the actors that `live` shows.
    pub fn new(live: Live, reconciler: ActorRef<ReconcilerMsg>) -> Self {
        Self { live, reconciler }
    }

    /// All actors, by id: those that run, and those that should.
    pub fn list(&self) -> Vec<ActorInfo> {
        let snapshot = self.live.now();
        let mut all: Vec<ActorInfo> = snapshot
            .parts
            .values()
            .map(|running| info(running, snapshot.faults.get(running.id()).map(|f| f.message.clone())))
            .collect();
        let missing = snapshot.faults.iter().filter(|(id, _)| !snapshot.parts.contains_key(*id));
        all.extend(missing.map(|(id, fault)| ActorInfo {
            id: id.clone(),
            kind: KindTag::new(id.family, "?"),
            state: ActorState::Failed,
            in_flight: 0,
            version: snapshot.revision,
            fault: Some(fault.message.clone()),
            alarm: None,
            down_since: None,
        }));
        all.sort_by(|a, b| a.id.cmp(&b.id));
        all
    }

    /// Tells one actor a verb and waits for what it answers, `limit` at most.
    ///
    /// # Errors
    /// Not found; what the actor answers; timeout.
    pub async fn tell(&self, id: &DefId, verb: Verb, limit: Duration) -> Result<Report> {
        let running = |id| {
            let found = self.live.now().parts.get(id).cloned();
            found.ok_or_else(|| Error::not_found(format!("{id} does not run")))
        };
        if verb == Verb::Restart {
            let restarted =
                self.reconciler.call(|reply| ReconcilerMsg::Restart(id.clone(), reply), Some(limit + GRACE));
            settle(restarted.await, id)??;
        }
        let running = running(id)?;
        let Some(worker) = &running.worker else {
            let Running { part, gate, meter, health, .. } = &*running;
            return worker::report(verb, limit, part, gate, meter, health).await;
        };
        let asked = worker.call(|reply| WorkerMsg::Verb(verb, limit, reply), Some(limit + GRACE)).await;
        settle(asked, id)?
    }

    /// Lets the reconciler look at what is wanted, now rather than at its next tick.
    pub fn wake(&self) {
        // It ends last; without it nothing is to be looked at.
        drop(self.reconciler.cast(ReconcilerMsg::Wake));
    }

    /// Lets go of every part; those that still have calls end when those end.
    ///
    /// # Errors
    /// If the reconciler does not answer within `limit`.
    pub async fn stop(&self, limit: Duration) -> Result<()> {
        let stopped = self.reconciler.call(ReconcilerMsg::Stop, Some(limit)).await;
        settle(stopped, &"the reconciler")
    }
}

fn settle<T>(
    outcome: Result<CallResult<T>, ractor::MessagingErr<impl Sized>>,
    who: &impl std::fmt::Display,
) -> Result<T> {
    match outcome {
        Ok(CallResult::Success(answer)) => Ok(answer),
        Ok(CallResult::Timeout) => Err(Error::timeout(format!("{who} did not answer in time"))),
        Ok(CallResult::SenderError) | Err(_) => {
            Err(Error::unavailable(format!("the actor of {who} has ended")))
        }
    }
}

fn info(running: &Running, fault: Option<String>) -> ActorInfo {
    let down = running.health.down();
    let state = match running.gate.phase() {
        Phase::Paused => ActorState::Paused,
        Phase::Draining => ActorState::Draining,
        Phase::Running if fault.is_some() => ActorState::Failed,
        Phase::Running if down.is_some() => ActorState::Down,
        Phase::Running => ActorState::Running,
    };
    ActorInfo {
        id: running.id().clone(),
        kind: running.definition.kind.clone(),
        state,
        in_flight: running.gate.inside(),
        version: running.version,
        fault: fault.or_else(|| down.as_ref().map(|down| down.error.clone())),
        alarm: running.health.alarm().map(|alarm| alarm.to_string()),
        down_since: down.map(|down| down.since),
    }
}
