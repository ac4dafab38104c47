//! The use case of jobs: what becomes of them, and what operators and programs do to them.

use std::collections::BTreeSet;

use actors::job::schedule::{Schedule, Slot};
use actors::scheduler::Scheduler;
use chrono::{DateTime, Utc};
use config::slots::{JobState, Record};
use config::{DefId, Draft, Family, KindTag, Name, Note, Place, Revision};
use schemars::JsonSchema;
use sdk::{Cid, Error, Result};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::definitions::{Definitions, Options, View};

/// The most slots that a preview shows.
pub const MOST_SLOTS: usize = 1_000;

/// See the module.
pub struct Jobs {
    /// What is wanted.
    pub definitions: Definitions,
    /// What fires them.
    pub scheduler: Scheduler,
}

/// A job, for a reader.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct JobView {
    /// Its name.
    pub name: Name,
    /// The number by which programs know it. A job keeps it when its name changes.
    pub id: u64,
    /// Its type, such as `interval`.
    pub r#type: String,
    /// The service that is called.
    pub service: String,
    /// Whether its definition is switched on.
    pub enabled: bool,
    /// Whether there is a slot to come: it is switched on and has not run out.
    pub active: bool,
    /// The next slot, without jitter.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<DateTime<Utc>>,
    /// The newest slot that is decided.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last: Option<DateTime<Utc>>,
    /// When its plan was made, as far as a node has seen it: a start that is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub begun: Option<DateTime<Utc>>,
    /// What is wrong with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fault: Option<String>,
    /// The definition as a bundle lists it.
    pub definition: Map<String, Value>,
}

/// What a job will be due at.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Preview {
    /// The time of the store, after which the slots are.
    pub now: DateTime<Utc>,
    /// The time zone of the local times.
    pub timezone: String,
    /// Whether they will come, if nothing is changed: not if the job is switched off or has run out.
    pub active: bool,
    /// The slots, in order, with those local times among them that do not exist and are left out.
    pub slots: Vec<Slot>,
}

/// What came of switching a job on or off.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Switched {
    /// The job, as it is now.
    pub job: JobView,
    /// Whether anything is different from before.
    pub changed: bool,
    /// Whether the history of definitions tells of it.
    #[serde(skip)]
    pub in_history: bool,
}

impl Jobs {
    /// The time of the store.
    ///
    /// # Errors
    /// If the store does not answer.
    pub async fn now(&self) -> Result<DateTime<Utc>> {
        let look = self.scheduler.slots().look().await.map_err(unavailable)?;
        Ok(DateTime::from_timestamp_micros(look.now).unwrap_or_default())
    }

    /// All jobs, by name.
    ///
    /// # Errors
    /// If the store does not answer.
    pub async fn list(&self) -> Result<Vec<JobView>> {
        let (_, views) = self.definitions.list(Some(Family::Job)).await?;
        self.seen(views).await
    }

    /// One of them.
    ///
    /// # Errors
    /// If it is not there; if the store does not answer.
    pub async fn show(&self, name: &Name) -> Result<JobView> {
        let (_, view) = self.definitions.get(&DefId::new(Family::Job, name.clone())).await?;
        let missing = || Error::internal("a job was lost on the way");
        self.seen(vec![view]).await?.pop().ok_or_else(missing)
    }

    /// The one of this number.
    ///
    /// # Errors
    /// If there is none; if the store does not answer.
    pub async fn of_number(&self, number: u64) -> Result<JobView> {
        let found = self.list().await?.into_iter().find(|job| job.id == number);
        found.ok_or_else(|| Error::not_found(format!("there is no job of the id {number}")))
    }

    async fn seen(&self, views: Vec<View>) -> Result<Vec<JobView>> {
        let slots = self.scheduler.slots();
        let names: Vec<Name> = views.iter().map(|view| view.id.name.clone()).collect();
        if names.is_empty() {
            return Ok(Vec::new());
        }
        let numbers = slots.numbers(&names).await.map_err(unavailable)?;
        let states = slots.states(&names).await.map_err(unavailable)?;
        let now = self.now().await?;
        let each = views.into_iter().zip(numbers).zip(states);
        Ok(each.map(|((view, number), state)| seen(view, number, state, now)).collect())
    }

    /// The next slots of a job.
    ///
    /// # Errors
    /// If it is not there; if the store does not answer.
    pub async fn preview(&self, name: &Name, count: usize) -> Result<Preview> {
        let job = self.show(name).await?;
        let now = self.now().await?;
        let schedule = schedule(&job.definition)?;
        let slots = schedule.preview(now, job.begun.unwrap_or(now), count.clamp(1, MOST_SLOTS));
        let timezone = job.definition.get("timezone").and_then(Value::as_str).unwrap_or("UTC").to_owned();
        Ok(Preview { now, timezone, active: job.active, slots })
    }

    /// What became of its newest slots, newest first.
    ///
    /// # Errors
    /// If it is not there; if the store does not answer.
    pub async fn history(&self, name: &Name, limit: usize) -> Result<Vec<Record>> {
        self.definitions.get(&DefId::new(Family::Job, name.clone())).await?;
        self.scheduler.slots().history(name, limit).await.map_err(unavailable)
    }

    /// Fires it now, on this node, and does not wait for the end.
    ///
    /// # Errors
    /// If it is not there or switched off; if the store does not answer.
    pub async fn run(&self, name: &Name) -> Result<Cid> {
        self.definitions.get(&DefId::new(Family::Job, name.clone())).await?;
        self.scheduler.run(name).await
    }

    /// Switches it on or off. One that has run out begins another turn: if its plan has slots to come, they are due.
    ///
    /// # Errors
    /// If it is not there; if the store does not answer.
    pub async fn switch(&self, name: &Name, on: bool, options: Options, note: Note) -> Result<Switched> {
        let before = self.show(name).await?;
        let in_history = before.enabled != on;
        if in_history {
            let draft = draft_of(name, &before.definition, on);
            self.definitions.apply(vec![draft], options, note).await?;
        } else if on && !before.active {
            self.scheduler.slots().activate(name).await.map_err(unavailable)?;
        } else {
            return Ok(Switched { job: before, changed: false, in_history });
        }
        Ok(Switched { job: self.show(name).await?, changed: true, in_history })
    }

    /// Makes one job of another: the definition that is there under `from` becomes `draft`, whose name may be another.
    /// What is kept of it goes along.
    ///
    /// # Errors
    /// Whatever keeps it from being changed; if there is a job of the new name.
    pub async fn change(&self, from: &Name, draft: Draft, options: Options, note: Note) -> Result<()> {
        let to = draft.id.name.clone();
        if *from == to {
            self.definitions.apply(vec![draft], options, note).await?;
            return Ok(());
        }
        let catalog = self.definitions.store.load().await.map_err(unavailable)?;
        if catalog.get(&draft.id).is_some() {
            return Err(Error::conflict(format!("there is a job {:?} already", to.as_str())));
        }
        let options = Options { expect: options.expect.or(Some(catalog.revision)), ..options };
        let gone = BTreeSet::from([DefId::new(Family::Job, from.clone())]);
        self.definitions.replace(vec![draft], &gone, options, note).await?;
        self.scheduler.slots().rename(from, &to).await.map_err(unavailable)
    }
}

fn seen(view: View, id: u64, state: Option<JobState>, now: DateTime<Utc>) -> JobView {
    let View { id: def, definition, changed_at, .. } = view;
    let text = |key: &str| definition.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
    let enabled = definition.get("enabled").is_none_or(|enabled| *enabled == true);
    let state = state.filter(|state| state.plan >= changed_at || state.plan == Revision::ZERO);
    let at = |micros: i64| DateTime::from_timestamp_micros(micros);
    let begun = state.and_then(|state| at(state.anchor));
    let (next, fault) = match schedule(&definition) {
        Ok(schedule) => (schedule.next_after(now, begun.unwrap_or(now)).map(|slot| slot.at), None),
        Err(error) => (None, Some(error.to_string())),
    };
    // A start that is left out is now, for as long as no node has seen the plan.
    let to_come = next.is_some() || state.is_none_or(|state| !state.spent && state.last < state.anchor);
    let active = enabled && !state.is_some_and(|state| state.spent) && to_come;
    let last = state.filter(|state| state.last >= state.anchor).and_then(|state| at(state.last));
    let (r#type, service) = (text("type"), text("service"));
    let next = next.filter(|_| active);
    JobView { name: def.name, id, r#type, service, enabled, active, next, last, begun, fault, definition }
}

/// When a job is due that a bundle lists.
fn schedule(definition: &Map<String, Value>) -> Result<Schedule> {
    let r#type = definition.get("type").and_then(Value::as_str).unwrap_or_default();
    let (_, _, params) = parts(definition);
    actors::job::schedule_of(r#type, params).map_err(|faults| Error::invalid(faults.to_string()))
}

/// Type, whether it is switched on, and parameters of a definition as a bundle lists it.
fn parts(definition: &Map<String, Value>) -> (String, bool, Map<String, Value>) {
    let mut params = definition.clone();
    params.shift_remove("name");
    let r#type = params.shift_remove("type").and_then(|value| value.as_str().map(str::to_owned));
    let enabled = params.shift_remove("enabled").is_none_or(|enabled| enabled == true);
    (r#type.unwrap_or_default(), enabled, params)
}

fn draft_of(name: &Name, definition: &Map<String, Value>, enabled: bool) -> Draft {
    let (r#type, _, params) = parts(definition);
    draft(name.clone(), &r#type, enabled, params)
}

/// A job that is wanted.
pub(crate) fn draft(name: Name, r#type: &str, enabled: bool, params: Map<String, Value>) -> Draft {
    Draft {
        id: DefId::new(Family::Job, name),
        kind: KindTag::new(Family::Job, r#type),
        enabled,
        params: config::Clear(params),
        place: Place::default(),
    }
}

fn unavailable(error: config::StoreError) -> Error {
    Error::unavailable(error.to_string())
}
