//! The difference between what runs and what is wanted. Pure: revisions are compared, never documents.

use std::collections::BTreeSet;

use crate::catalog::Catalog;
use crate::catalog::order::Order;
use crate::name::{DefId, Revision};

/// What to do, in order, so that what runs becomes what is wanted.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Plan {
    /// To start or to replace, in levels: those of one level can start together. Each with its version.
    pub start: Vec<Vec<(DefId, Revision)>>,
    /// To stop, once the others are published.
    pub stop: BTreeSet<DefId>,
}

impl Plan {
    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.start.is_empty() && self.stop.is_empty()
    }
}

/// Compares what runs, in the order of ids and each with the version it was built from, to what is wanted. A version is
/// the newest change among a definition and all that it needs: a part built from another one is out of date.
pub fn plan<'r>(running: impl IntoIterator<Item = (&'r DefId, Revision)>, wanted: &Catalog) -> Plan {
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
            Some(definition) if definition.enabled => runs[at] = Some(version),
            _ => drop(stop.insert(id.clone())),
        }
    }
    let outdated = |at: usize| {
        let definition = order.definitions[at];
        let version =
            order.versions[at].filter(|version| definition.enabled && runs[at] != Some(*version))?;
        Some((definition.id.clone(), version))
    };
    let levels = order.levels.iter().map(|level| level.iter().filter_map(|at| outdated(*at)).collect());
    Plan { start: levels.filter(|level: &Vec<_>| !level.is_empty()).collect(), stop }
}

#[cfg(test)]
mod tests;
