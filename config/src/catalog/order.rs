//! Who needs whom, sorted out once: levels to start in, and the version each definition is built from.

use std::collections::HashMap;
use std::sync::Arc;

use super::Catalog;
use crate::definition::Definition;
use crate::name::{DefId, Revision};

/// The definitions by number, in the order of their ids. Numbers are compared and looked up faster than ids.
pub(crate) struct Order<'a> {
    /// The definitions.
    pub(crate) definitions: Vec<&'a Arc<Definition>>,
    /// Those of one level need only what is in earlier ones. Circles, and what needs them, are in none.
    pub(crate) levels: Vec<Vec<usize>>,
    /// The newest change among a definition and all that it needs; none for what is in no level.
    pub(crate) versions: Vec<Option<Revision>>,
    /// What each definition needs, as far as the catalog holds it.
    needs: Vec<Vec<usize>>,
}

impl<'a> Order<'a> {
    /// Sorts a catalog out, in time that grows with its definitions and references.
    pub(crate) fn of(catalog: &'a Catalog) -> Self {
        let definitions: Vec<&Arc<Definition>> = catalog.definitions.values().collect();
        let needs = needs(&definitions);
        let mut needed_by = vec![Vec::new(); definitions.len()];
        for (at, needs) in needs.iter().enumerate() {
            for need in needs {
                needed_by[*need].push(at);
            }
        }
        let mut waits: Vec<usize> = needs.iter().map(Vec::len).collect();
        let mut versions = vec![None; definitions.len()];
        let mut levels = Vec::new();
        let mut level: Vec<usize> = (0..definitions.len()).filter(|at| waits[*at] == 0).collect();
        while !level.is_empty() {
            let mut next = Vec::new();
            for at in &level {
                let newest = needs[*at].iter().filter_map(|need| versions[*need]).max();
                versions[*at] = newest.max(Some(definitions[*at].changed_at));
                for waiting in &needed_by[*at] {
                    waits[*waiting] -= 1;
                    if waits[*waiting] == 0 {
                        next.push(*waiting);
                    }
                }
            }
            // In the order of the ids, whatever they waited for.
            next.sort_unstable();
            levels.push(std::mem::replace(&mut level, next));
        }
        Self { definitions, levels, versions, needs }
    }

    /// The definitions in circles and between them; not those that merely need one of them.
    pub(crate) fn in_circles(&self) -> Vec<&'a Arc<Definition>> {
        let mut stuck: Vec<bool> = self.versions.iter().map(Option::is_none).collect();
        let mut needed = vec![0_usize; stuck.len()];
        for (at, needs) in self.needs.iter().enumerate().filter(|(at, _)| stuck[*at]) {
            debug_assert!(stuck[at]);
            for need in needs {
                needed[*need] += 1;
            }
        }
        let mut free: Vec<usize> = (0..stuck.len()).filter(|at| stuck[*at] && needed[*at] == 0).collect();
        while let Some(at) = free.pop() {
            stuck[at] = false;
            for need in self.needs[at].iter().filter(|need| stuck[**need]) {
                needed[*need] -= 1;
                if needed[*need] == 0 {
                    free.push(*need);
                }
            }
        }
        self.definitions
            .iter()
            .zip(stuck)
            .filter(|(_, stuck)| *stuck)
            .map(|(definition, _)| *definition)
            .collect()
    }
}

fn needs(definitions: &[&Arc<Definition>]) -> Vec<Vec<usize>> {
    if definitions.iter().all(|definition| definition.needs.is_empty()) {
        return vec![Vec::new(); definitions.len()];
    }
    let numbers: HashMap<&DefId, usize> = definitions.iter().enumerate().map(|(at, d)| (&d.id, at)).collect();
    let known = |definition: &&Arc<Definition>| {
        definition.needs.iter().filter_map(|id| numbers.get(id).copied()).collect()
    };
    definitions.iter().map(known).collect()
}
