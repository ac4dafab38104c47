//! The catalog: every definition that is wanted, at one revision, and the order that they start in.

mod check;
pub(crate) mod order;

#[cfg(test)]
pub(crate) mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;

use self::order::Order;
use crate::definition::Definition;
use crate::name::{DefId, Revision};

/// Something for each definition. A copy shares with the original whatever is the same in both, so that a change costs
/// what it changes, however much there is.
pub type ById<T> = imbl::OrdMap<DefId, T>;

/// Everything that is wanted, at one revision.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Catalog {
    /// The last change.
    pub revision: Revision,
    /// The definitions by id.
    pub definitions: ById<Arc<Definition>>,
}

impl Catalog {
    /// The definition of this id.
    pub fn get(&self, id: &DefId) -> Option<&Arc<Definition>> {
        self.definitions.get(id)
    }

    /// The definitions, those that others need first. Definitions that need each other in a circle are left out.
    pub fn in_start_order(&self) -> Vec<&Arc<Definition>> {
        self.start_levels().into_iter().flatten().collect()
    }

    /// The definitions in levels: those of one level need only what is in earlier ones, so they can start together.
    pub fn start_levels(&self) -> Vec<Vec<&Arc<Definition>>> {
        let order = Order::of(self);
        let definitions = |level: &Vec<usize>| level.iter().map(|at| order.definitions[*at]).collect();
        order.levels.iter().map(definitions).collect()
    }

    /// What each definition is built from, as one number: the newest change among it and all that it needs. A part
    /// built from another number is out of date.
    pub fn versions(&self) -> BTreeMap<&DefId, Revision> {
        let order = Order::of(self);
        let version =
            |(at, version): (usize, &Option<Revision>)| Some((&order.definitions[at].id, (*version)?));
        order.versions.iter().enumerate().filter_map(version).collect()
    }
}
