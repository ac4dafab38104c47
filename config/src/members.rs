//! Who else is here, and what each serves: the nodes of a cluster, as they tell each other.

mod memory;

use std::time::Duration;

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

pub use self::memory::Memory;

use crate::fault::Fault;
use crate::name::{Name, Revision};
use crate::store::StoreError;

/// What a node says about itself, again and again.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct NodeRecord {
    /// Its name, one of its own within the cluster.
    pub node: Name,
    /// Which start of its process this is: of two processes under one name, the one with the higher number is the node.
    pub incarnation: u64,
    /// Where other nodes reach it, if they do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// Of the program.
    pub version: String,
    /// The revision that its requests see.
    pub revision: Revision,
    /// How busy it is.
    #[serde(default)]
    pub load: Load,
}

/// How busy a node is.
#[derive(Clone, Copy, PartialEq, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Load {
    /// Requests that are being answered.
    pub in_flight: u64,
    /// Requests a second, lately.
    pub per_second: f64,
}

/// A node, as the others see it.
#[derive(Clone, PartialEq, Debug)]
pub struct Member {
    /// What it said last.
    pub record: NodeRecord,
    /// How long ago, by the clock that all of them share.
    pub age: Duration,
    /// Whether it is taken to be there: it has spoken within the time that it gave itself.
    pub alive: bool,
}

/// What a node says after each change: which revision it serves, and what is wrong with it there.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Report {
    /// The node.
    pub node: Name,
    /// The start of its process.
    pub incarnation: u64,
    /// The revision that its requests see.
    pub revision: Revision,
    /// What is wrong there.
    pub faults: Vec<Fault>,
}

/// A report, as the others see it.
#[derive(Clone, PartialEq, Debug)]
pub struct Reported {
    /// The report.
    pub report: Report,
    /// How long after the commit it came, by the clock that all of them share; none if the history has nothing of that
    /// revision.
    pub after: Option<Duration>,
}

/// What became of something a node said.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Heard {
    /// The others see it.
    Yes,
    /// A process that was started later has taken the name: this one is not the node any more.
    Replaced,
}

/// What comes back for a heartbeat.
#[derive(Clone, PartialEq, Debug)]
pub struct Round {
    /// What became of the heartbeat.
    pub heard: Heard,
    /// As of [`Membership::members`], with what has just been said.
    pub members: Vec<Member>,
    /// As of [`Membership::reports`].
    pub reports: Vec<Reported>,
}

/// How nodes know of each other. Every implementation keeps the contract in `members/contract.rs`.
#[async_trait]
pub trait Membership: Send + Sync + 'static {
    /// A number for this start of a process, higher than any before.
    async fn incarnation(&self) -> Result<u64, StoreError>;

    /// Says that a node is there, and that it is to be taken for gone if it says nothing for `ttl`.
    async fn heartbeat(&self, record: &NodeRecord, ttl: Duration) -> Result<Heard, StoreError>;

    /// Says goodbye: the node is gone at once, unless a later process has taken its name.
    async fn leave(&self, node: &Name, incarnation: u64) -> Result<(), StoreError>;

    /// The nodes by name, those too that have been gone for less than [`REMEMBERED`].
    async fn members(&self) -> Result<Vec<Member>, StoreError>;

    /// Says what a node serves. Saying the same revision again keeps the time of the first.
    async fn report(&self, report: &Report) -> Result<Heard, StoreError>;

    /// The last report of each node, by name.
    async fn reports(&self) -> Result<Vec<Reported>, StoreError>;

    /// A heartbeat, and what the others say: what every node asks again and again, so a store that can answers it at
    /// once. Of a node that was replaced, nothing else is said.
    async fn round(&self, record: &NodeRecord, ttl: Duration) -> Result<Round, StoreError> {
        let heard = self.heartbeat(record, ttl).await?;
        if heard == Heard::Replaced {
            return Ok(Round { heard, members: Vec::new(), reports: Vec::new() });
        }
        Ok(Round { heard, members: self.members().await?, reports: self.reports().await? })
    }

    /// Wakes when a report may have come in. A hint only: it may be late, doubled or lost.
    fn reported(&self) -> watch::Receiver<u64>;
}

/// How long a node that is gone is remembered.
pub const REMEMBERED: Duration = Duration::from_secs(24 * 3_600);

#[cfg(test)]
pub(crate) mod contract;
