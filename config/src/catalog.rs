//! The catalog: every definition that is wanted, at one revision, and the order that they start in.

mod check;
pub(crate) mod order;

#[cfg(test)]
pub(crate) mod tests;

use std::sync::Arc;

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
}
