//! The difference between what runs and what is wanted. Pure: revisions are compared, never documents.

use std::collections::{BTreeMap, BTreeSet};

use crate::catalog::Catalog;
use crate::catalog::order::Order;
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
    let order = Order::of(wanted);
    // Both are in the order of their ids, so one walk over the two finds who is where.
    let mut runs = vec![None; order.definitions.len()];
    let mut stop = BTreeSet::new();
    let mut at = 0;
    for (id, version) in running {
        while order.definitions.get(at).is_some_and(|d| d.id < *id) {
            at += 1;
        }
        match order.definitions.get(at).filter(|d| d.id == *id) {
            Some(definition) if definition.enabled => runs[at] = Some(*version),
            _ => drop(stop.insert(id.clone())),
        }
    }
    let outdated = |at: &usize| order.definitions[*at].enabled && runs[*at] != order.versions[*at];
    let ids = |level: Vec<usize>| {
        level.into_iter().filter(outdated).map(|at| order.definitions[at].id.clone()).collect()
    };
    let start = order.levels.into_iter().map(ids).filter(|level: &Vec<DefId>| !level.is_empty()).collect();
    Plan { start, stop }
}

#[cfg(test)]
mod tests;
