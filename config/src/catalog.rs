//! The catalog: every definition that is wanted, at one revision, with the checks that look at all of them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::definition::Definition;
use crate::fault::{Fault, suggest};
use crate::name::{DefId, Revision};
use crate::rules::Rules;

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
    pub fn check(&self, rules: &dyn Rules) -> Vec<(DefId, Fault)> {
        let mut faults = self.dangling(rules);
        faults.extend(self.circles());
        let mut holders: BTreeMap<&str, &DefId> = BTreeMap::new();
        for definition in self.definitions.values().filter(|d| d.enabled) {
            for claim in &definition.claims {
                if let Some(other) = holders.insert(claim, &definition.id) {
                    let fault = Fault::new("", format!("{claim} is already held by {other}"))
                        .hint("change one of them, or set enabled: false on one");
                    faults.push((definition.id.clone(), fault));
                }
            }
        }
        faults.extend(rules.check_claims(&holders));
        faults
    }

    fn dangling(&self, rules: &dyn Rules) -> Vec<(DefId, Fault)> {
        let missing = |id: &&DefId| !self.definitions.contains_key(*id) && !rules.implicit().contains(*id);
        let mut faults = Vec::new();
        for definition in self.definitions.values() {
            for id in definition.needs.iter().filter(missing) {
                let known = self.definitions.keys().chain(rules.implicit());
                let known = known.filter(|k| k.family == id.family).map(|k| k.name.as_str());
                let fault = Fault::new("", format!("refers to {id}, which does not exist"))
                    .maybe_hint(suggest(id.name.as_str(), known));
                faults.push((definition.id.clone(), fault));
            }
        }
        faults
    }

    fn circles(&self) -> Vec<(DefId, Fault)> {
        let ordered: BTreeSet<&DefId> = self.in_start_order().into_iter().map(|d| &d.id).collect();
        let stuck: Vec<&DefId> = self.definitions.keys().filter(|id| !ordered.contains(id)).collect();
        let names = || stuck.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        stuck
            .iter()
            .map(|id| {
                let fault = Fault::new("", format!("refers to itself through others ({})", names()))
                    .hint("take one of the references out");
                ((*id).clone(), fault)
            })
            .collect()
    }

    /// The definitions, those that others need first. Definitions that need each other in a circle are left out.
    pub fn in_start_order(&self) -> Vec<&Arc<Definition>> {
        self.start_levels().into_iter().flatten().collect()
    }

    /// The definitions in levels: those of one level need only what is in earlier ones, so they can start together.
    pub fn start_levels(&self) -> Vec<Vec<&Arc<Definition>>> {
        let mut waits: BTreeMap<&DefId, usize> = BTreeMap::new();
        let mut needed_by: BTreeMap<&DefId, Vec<&Arc<Definition>>> = BTreeMap::new();
        for definition in self.definitions.values() {
            let needs = definition.needs.iter().filter(|id| self.definitions.contains_key(*id));
            let mut count = 0;
            for id in needs {
                needed_by.entry(id).or_default().push(definition);
                count += 1;
            }
            waits.insert(&definition.id, count);
        }
        let mut level: Vec<&Arc<Definition>> =
            self.definitions.values().filter(|d| waits.get(&d.id) == Some(&0)).collect();
        let mut levels = Vec::new();
        while !level.is_empty() {
            let mut next = Vec::new();
            for definition in &level {
                for waiting in needed_by.get(&definition.id).into_iter().flatten() {
                    if let Some(count) = waits.get_mut(&waiting.id) {
                        *count -= 1;
                        if *count == 0 {
                            next.push(*waiting);
                        }
                    }
                }
            }
            levels.push(std::mem::replace(&mut level, next));
        }
        levels
    }

    /// What each definition is built from, as one number: the newest change among it and all that it needs. A part
    /// built from another number is out of date.
    pub fn versions(&self) -> BTreeMap<&DefId, Revision> {
        let mut versions: BTreeMap<&DefId, Revision> = BTreeMap::new();
        for definition in self.in_start_order() {
            let newest = definition.needs.iter().filter_map(|id| versions.get(id)).max();
            let version = newest.map_or(definition.changed_at, |n| definition.changed_at.max(*n));
            versions.insert(&definition.id, version);
        }
        versions
    }
}
