//! The catalog: every definition that is wanted, at one revision, with the checks that look at all of them.

pub(crate) mod order;

#[cfg(test)]
pub(crate) mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;

use self::order::Order;
use crate::definition::Definition;
use crate::fault::{Fault, suggest};
use crate::name::{DefId, Revision};
use crate::rules::{About, Clash, Rules};

/// Everything that is wanted, at one revision.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Catalog {
    /// The last change.
    pub revision: Revision,
    /// The definitions by id.
    pub definitions: BTreeMap<DefId, Arc<Definition>>,
}

impl Catalog {
    /// The definition of this id.
    pub fn get(&self, id: &DefId) -> Option<&Arc<Definition>> {
        self.definitions.get(id)
    }

    /// What is wrong when all definitions are looked at together: references that lead nowhere, or round in a
    /// circle, and things that two enabled definitions hold.
    pub fn check(&self, rules: &dyn Rules) -> Vec<Clash> {
        let mut clashes = self.dangling(rules);
        clashes.extend(self.circles());
        let mut holders: BTreeMap<&str, &DefId> = BTreeMap::new();
        for definition in self.definitions.values().filter(|d| d.enabled) {
            for claim in &definition.claims {
                if let Some(other) = holders.insert(claim, &definition.id) {
                    let fault = Fault::new("", format!("{claim} is already held by {other}"))
                        .hint("change one of them, or set enabled: false on one");
                    let about = About::Claim(claim.clone());
                    clashes.push(Clash { id: definition.id.clone(), about, fault });
                }
            }
        }
        clashes.extend(rules.check_claims(&holders));
        clashes
    }

    fn dangling(&self, rules: &dyn Rules) -> Vec<Clash> {
        let implicit = rules.implicit(self);
        let missing = |id: &&DefId| !self.definitions.contains_key(*id) && !implicit.contains(*id);
        let mut clashes = Vec::new();
        for definition in self.definitions.values() {
            for id in definition.needs.iter().filter(missing) {
                let known = self.definitions.keys().chain(&implicit);
                let known = known.filter(|k| k.family == id.family).map(|k| k.name.as_str());
                let fault = Fault::new("", format!("refers to {id}, which does not exist"))
                    .maybe_hint(suggest(id.name.as_str(), known));
                clashes.push(Clash { id: definition.id.clone(), about: About::Need(id.clone()), fault });
            }
        }
        clashes
    }

    fn circles(&self) -> Vec<Clash> {
        let order = Order::of(self);
        let stuck = order.in_circles();
        // A circle of thousands is told by its first few.
        let shown: Vec<String> = stuck.iter().take(10).map(|d| d.id.to_string()).collect();
        let more = if stuck.len() > shown.len() { ", ..." } else { "" };
        let message = format!("refers to itself through others ({}{more})", shown.join(", "));
        let fault = Fault::new("", message).hint("take one of the references out");
        let clash =
            |d: &Arc<Definition>| Clash { id: d.id.clone(), about: About::Circle, fault: fault.clone() };
        stuck.into_iter().map(clash).collect()
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
