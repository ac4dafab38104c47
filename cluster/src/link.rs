//! Links: how a node asks another one for something, and learns which of them are there.

mod caller;
mod desk;
mod hello;
mod parts;
pub mod ractor;
pub mod settings;
mod socket;
#[cfg(test)]
mod tests;
mod tls;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use chrono::{DateTime, Utc};
use config::Name;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

pub use config::Name as NodeId;

use crate::envelope::Versions;

/// The number of a node's start: greater after each, so that what a former start said is not taken for the present.
#[derive(
    Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Debug, Serialize, Deserialize, JsonSchema,
)]
#[serde(transparent)]
pub struct Incarnation(pub u64);

impl fmt::Display for Incarnation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A node that belongs to the cluster, as the membership knows it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Member {
    /// Its name.
    pub node: NodeId,
    /// Its present start.
    pub incarnation: Incarnation,
    /// Where it listens for links, as `host:port`.
    pub address: String,
}

/// How the link to another node is.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct PeerState {
    /// The other node.
    pub node: NodeId,
    /// The start of it that is linked, or that should be.
    pub incarnation: Incarnation,
    /// Whether calls get through.
    pub up: bool,
    /// How long the last ping took, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub latency_ms: Option<f64>,
    /// Since when it is up, or is not.
    pub since: DateTime<Utc>,
    /// Why it is not up.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trouble: Option<String>,
}

/// What one node asks of another.
#[derive(Clone, Default, Debug)]
pub struct Request {
    /// What the handler there gets.
    pub payload: Bytes,
    /// The same for each try of the same errand, so that the handler can do it once.
    pub key: Option<String>,
}

/// What a handler gets.
#[derive(Clone, Debug)]
pub struct Incoming {
    /// Who asks.
    pub from: NodeId,
    /// Which start of it.
    pub incarnation: Incarnation,
    /// See [`Request::key`].
    pub key: Option<String>,
    /// When nobody waits for the answer any more.
    pub deadline: Instant,
    /// What is asked.
    pub payload: Bytes,
}

/// What goes wrong in a handler: a word for programs, a sentence for people.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema, thiserror::Error)]
#[error("{message}")]
pub struct Failure {
    /// A word, such as `not_found`.
    pub kind: String,
    /// A sentence.
    pub message: String,
}

impl Failure {
    /// From the two.
    pub fn new(kind: impl Into<String>, message: impl Into<String>) -> Self {
        Self { kind: kind.into(), message: message.into() }
    }
}

/// Answers what other nodes ask.
#[async_trait]
pub trait Handler: Send + Sync {
    /// The answer. It is dropped unfinished at the deadline, so it must be safe to stop at each `await`.
    async fn handle(&self, incoming: Incoming) -> Result<Bytes, Failure>;
}

/// Why a call got no answer.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum LinkError {
    /// There is no link to the node.
    #[error("{node} is not reachable: {why}")]
    Unreachable {
        /// The node.
        node: NodeId,
        /// Why there is no link.
        why: String,
    },
    /// The link broke while the answer was awaited; the node may have done what was asked.
    #[error("the link to {0} broke before the answer came")]
    Lost(NodeId),
    /// The deadline passed; the node may have done what was asked.
    #[error("{0} did not answer in time")]
    Late(NodeId),
    /// Too much is under way already, here or there.
    #[error("too many calls to {0} are under way")]
    Busy(NodeId),
    /// The message, or the answer, is over the limit.
    #[error("the message is {size} bytes long, {limit} are the limit")]
    TooLarge {
        /// Its size.
        size: u64,
        /// The limit, here or there.
        limit: u64,
    },
    /// The two nodes do not speak the same version.
    #[error("{node} reads envelope versions {theirs}, this node sent {sent}")]
    Version {
        /// The node.
        node: NodeId,
        /// What it reads.
        theirs: Versions,
        /// What it was sent.
        sent: u16,
    },
    /// What was sent or answered makes no sense.
    #[error("{node} and this node do not understand each other: {why}")]
    Garbled {
        /// The node.
        node: NodeId,
        /// What makes no sense.
        why: String,
    },
    /// What the handler there says.
    #[error("{node}: {failure}")]
    Failed {
        /// The node.
        node: NodeId,
        /// What it says.
        failure: Failure,
    },
}

impl LinkError {
    /// A word for programs; that of the handler, if it was the handler.
    pub fn kind(&self) -> &str {
        match self {
            Self::Unreachable { .. } => "unreachable",
            Self::Lost(_) => "lost",
            Self::Late(_) => "timeout",
            Self::Busy(_) => "busy",
            Self::TooLarge { .. } => "too_large",
            Self::Version { .. } => "version",
            Self::Garbled { .. } => "garbled",
            Self::Failed { failure, .. } => &failure.kind,
        }
    }
}

/// The links of one node to all others.
#[async_trait]
pub trait Links: Send + Sync {
    /// Asks a node and waits for its answer. Without a link it fails at once.
    async fn call(&self, to: &NodeId, request: Request, deadline: Instant) -> Result<Bytes, LinkError>;

    /// Tells every node that is up, and waits for nothing: a hint, which may be lost.
    ///
    /// # Errors
    /// If the payload is larger than a hint may be.
    fn cast(&self, payload: Bytes) -> Result<(), LinkError>;

    /// Every other node of the cluster, by name.
    fn peers(&self) -> Vec<PeerState>;

    /// Who belongs to the cluster; this node may be among them. Links to others are closed, links to new ones opened.
    fn set_members(&self, members: Vec<Member>);

    /// Who answers what other nodes ask; until then they are told to come again.
    fn serve(&self, handler: Arc<dyn Handler>);

    /// Closes all links, and waits for what is under way, `limit` at most.
    async fn stop(&self, limit: Duration);
}

/// One frame there, one frame back: all that the rest needs of a transport.
#[async_trait]
pub(crate) trait Wire: Send + Sync {
    async fn exchange(&self, frame: Vec<u8>, deadline: Instant) -> Result<Vec<u8>, Broken>;
}

/// Why a frame did not come back.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Broken {
    /// The transport is gone.
    Lost,
    /// It took too long.
    Late,
}

/// Who this node is.
#[derive(Clone, Debug)]
pub(crate) struct Me {
    pub(crate) node: Name,
    pub(crate) incarnation: Incarnation,
}
