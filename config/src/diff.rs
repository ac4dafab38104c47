//! The difference between what runs and what is wanted. Pure: revisions are compared, never documents.

use std::collections::{BTreeMap, BTreeSet};

use crate::catalog::Catalog;
use crate::name::{DefId, Revision};

/// What to do, in order, so that what runs becomes what is wanted.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Plan {
    /// To start or to replace, in levels: those of one level can start together.
    pub start: Vec<Vec<DefId>>,
    /// To stop, once the others are published.
    pub stop: BTreeSet<DefId>,
}

impl Plan {
    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.start.is_empty() && self.stop.is_empty()
    }
}

/// Compares what runs, each with the version it was built from ([`Catalog::versions`]), to what is wanted.
pub fn plan(running: &BTreeMap<DefId, Revision>, wanted: &Catalog) -> Plan {
    let versions = wanted.versions();
    let outdated = |id: &DefId| running.get(id) != versions.get(id);
    let start = wanted
        .start_levels()
        .into_iter()
        .map(|level| {
            level.into_iter().filter(|d| d.enabled && outdated(&d.id)).map(|d| d.id.clone()).collect()
        })
        .filter(|level: &Vec<DefId>| !level.is_empty())
        .collect();
    let gone = |id: &&DefId| !wanted.get(id).is_some_and(|d| d.enabled);
    Plan { start, stop: running.keys().filter(gone).cloned().collect() }
}
