//! One line in the history of a job: a slot, and what became of it.

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Micros;

/// The longest reason that is kept, in characters.
const LONGEST: usize = 300;

/// What became of a slot.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// It is under way.
    Running,
    /// The service has answered.
    Done,
    /// The service has failed, or took too long.
    Failed,
    /// It was not run, for a reason.
    Skipped,
    /// It was ended since the next slot had come.
    Cancelled,
    /// It began, and nobody knows whether it ended: its node is gone.
    Lost,
}

/// See the module.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Record {
    /// When it was to fire; the first such moment, if the record stands for several.
    pub slot: DateTime<Utc>,
    /// The last such moment, if the record stands for several.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<DateTime<Utc>>,
    /// How many slots it stands for; more than it says, if there were too many to count.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub slots: u64,
    /// Who decided it: a node and the number of its start.
    pub node: String,
    /// When it began, if it did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started: Option<DateTime<Utc>>,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended: Option<DateTime<Utc>>,
    /// What became of it.
    pub outcome: Outcome,
    /// Why it was not run, or what went wrong.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// The correlation id of the run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cid: Option<String>,
    /// How often the service was called.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub attempts: u32,
    /// Whether somebody wanted it, rather than the plan.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub manual: bool,
}

fn one() -> u64 {
    1
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde wants it so")]
fn is_one(n: &u64) -> bool {
    *n == 1
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde wants it so")]
fn is_zero(n: &u32) -> bool {
    *n == 0
}

impl Record {
    /// A run that begins now.
    pub fn begins(slot: Micros, node: &str, now: Micros, cid: String) -> Self {
        let (started, cid) = (Some(time(now)), Some(cid));
        Self { started, cid, ..Self::bare(slot, node, Outcome::Running) }
    }

    /// Slots that are not run.
    pub fn skips(slot: Micros, until: Micros, slots: u64, node: &str, now: Micros, why: &str) -> Self {
        let until = (until != slot).then(|| time(until));
        let (ended, why) = (Some(time(now)), Some(why.to_owned()));
        Self { until, slots, ended, why, ..Self::bare(slot, node, Outcome::Skipped) }
    }

    fn bare(slot: Micros, node: &str, outcome: Outcome) -> Self {
        Self {
            slot: time(slot),
            until: None,
            slots: 1,
            node: node.to_owned(),
            started: None,
            ended: None,
            outcome,
            why: None,
            cid: None,
            attempts: 0,
            manual: false,
        }
    }

    /// The same, ended.
    #[must_use]
    pub fn ended(self, outcome: Outcome, now: Micros, why: Option<&str>) -> Self {
        let why = why.map(|why| why.chars().take(LONGEST).collect());
        Self { ended: Some(time(now)), outcome, why, ..self }
    }

    /// The slot, as stores count.
    pub fn at(&self) -> Micros {
        self.slot.timestamp_micros()
    }
}

/// A moment as people write it.
fn time(at: Micros) -> DateTime<Utc> {
    DateTime::from_timestamp_micros(at).unwrap_or_default()
}
