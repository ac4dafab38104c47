//! How a store is: whether the truth can be reached, and what was found that should never happen.

use chrono::{DateTime, Utc};

use crate::name::Revision;

/// Whether the truth can be reached.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum State {
    /// It can, and this node follows it.
    Connected,
    /// It cannot: this node serves what it has seen last, and takes no changes.
    Away {
        /// Since when.
        since: DateTime<Utc>,
        /// Why.
        error: String,
    },
    /// Redis answers, but what it holds is not what this node knows, and an operator has to decide. Until then, this
    /// node serves what it has seen last, and takes no changes.
    Refused {
        /// Since when.
        since: DateTime<Utc>,
        /// What is there, and what to do.
        error: String,
    },
}

/// How the store is, for `/readyz`, the status and the metrics.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Health {
    /// Whether the truth can be reached.
    pub state: State,
    /// What this node holds.
    pub revision: Revision,
    /// What of it is on this node's disk; none if nothing is.
    pub saved: Option<Revision>,
    /// How often everything was fetched anew because single changes could not be followed.
    pub resyncs: u64,
    /// How often something was found that should never happen.
    pub alarms: u64,
    /// The last of them.
    pub last_alarm: Option<String>,
    /// What about the store's own set-up puts confirmed changes at risk, if that is known.
    pub risk: Option<String>,
    /// Ids of definitions in Redis that cannot be read. They are left out; writing or deleting one makes it whole.
    pub unreadable: Vec<String>,
}

impl Health {
    /// That of a store that is always at hand, such as a file of this node's own.
    pub fn at_hand(revision: Revision) -> Self {
        Self {
            state: State::Connected,
            revision,
            saved: Some(revision),
            resyncs: 0,
            alarms: 0,
            last_alarm: None,
            risk: None,
            unreadable: Vec::new(),
        }
    }
}
