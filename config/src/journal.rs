//! Journals: what was done to nodes beside changes of definitions, which the history tells of, and who was refused.

mod memory;

#[cfg(test)]
pub(crate) mod contract;

use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::name::Name;
use crate::rights::Principal;
use crate::store::StoreError;

pub use self::memory::Memory;

/// Which journal. They are kept apart, so that a flood of refusals pushes out nothing but refusals.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Log {
    /// What was done.
    Done,
    /// Who was refused.
    Refused,
}

impl Log {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Done, Self::Refused];

    /// How many entries it keeps; the oldest go first.
    pub fn keeps(self) -> usize {
        match self {
            Self::Done => 10_000,
            Self::Refused => 1_000,
        }
    }

    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Refused => "refused",
        }
    }
}

/// Something that was done, or refused.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Deed {
    /// When, by the clock of the store. No two in a journal have the same time.
    pub at: DateTime<Utc>,
    /// On which node.
    pub node: Name,
    /// The operation, as the description of the admin API names it, empty if there is none at that path; or the service
    /// of the engine that a channel called.
    pub what: String,
    /// Verb and path of the request; of a call, what it was about.
    pub request: String,
    /// What was answered.
    pub status: u16,
    /// Who showed an admin token; none if it was none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<Principal>,
    /// From which address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// Who, by their own words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub author: Option<String>,
    /// Why, if they said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The correlation id of the request.
    pub cid: String,
}

/// Where journals are kept. They survive restarts.
#[async_trait]
pub trait Journal: Send + Sync + 'static {
    /// Notes a deed; its `at` is set by the place where it is kept.
    async fn note(&self, log: Log, deed: Deed) -> Result<(), StoreError>;

    /// The newest `limit` deeds before `before`, or of all; newest first.
    async fn read(
        &self,
        log: Log,
        before: Option<DateTime<Utc>>,
        limit: usize,
    ) -> Result<Vec<Deed>, StoreError>;
}

/// The time after `last` that is nearest to now: times in a journal grow, whatever the clock does.
pub(crate) fn next(last: Option<DateTime<Utc>>, now: DateTime<Utc>) -> DateTime<Utc> {
    let now = DateTime::from_timestamp_micros(now.timestamp_micros()).unwrap_or(now);
    last.map_or(now, |last| now.max(last + TimeDelta::microseconds(1)))
}
