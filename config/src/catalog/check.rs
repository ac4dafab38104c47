//! What a change brings that is wrong when all definitions are looked at together. It costs what the change touches,
//! and a glance at the others.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;

use super::order::Order;
use super::{ById, Catalog};
use crate::definition::Definition;
use crate::fault::{Fault, suggest};
use crate::name::{DefId, Revision};
use crate::rules::{About, Clash, Rules};

impl Catalog {
    /// What is wrong because of a change from `before` to this that touches these definitions: references that lead
    /// nowhere, or round in a circle, and things that two enabled definitions hold. What was wrong before is told only
    /// of what is touched: a new version of the program may have lost a service that some channel refers to, and that
    /// must not keep anybody from changing something else.
    pub fn check(&self, before: &Self, touched: &BTreeSet<&DefId>, rules: &dyn Rules) -> Vec<Clash> {
        let mut clashes = self.dangling(before, touched, rules);
        clashes.extend(self.circles(touched));
        let written = touched.iter().filter_map(|id| self.get(id)).filter(|d| d.enabled);
        let scopes: HashSet<&str> = written.flat_map(|d| &d.claims).map(|claim| rules.scope(claim)).collect();
        if !scopes.is_empty() {
            let found = self.claimed_twice(&scopes, rules);
            let known = if found.is_empty() { Vec::new() } else { before.claimed_twice(&scopes, rules) };
            let new = |clash: &Clash| touched.contains(&clash.id) || !known.contains(clash);
            clashes.extend(found.into_iter().filter(new));
        }
        clashes
    }

    fn dangling(&self, before: &Self, touched: &BTreeSet<&DefId>, rules: &dyn Rules) -> Vec<Clash> {
        let implicit = rules.implicit(self);
        let there = |id: &DefId| self.definitions.contains_key(id) || implicit.contains(id);
        let was_there = rules.implicit(before);
        let gone = was_there.iter().chain(touched.iter().copied()).any(|id| !there(id));
        // Whoever is not touched refers to nothing only if something has gone.
        let looked_at: Vec<&Arc<Definition>> = match gone {
            true => self.definitions.values().collect(),
            false => touched.iter().filter_map(|id| self.get(id)).collect(),
        };
        let mut clashes = Vec::new();
        for definition in looked_at {
            let own = touched.contains(&definition.id);
            let is_new = |id: &DefId| own || before.definitions.contains_key(id) || was_there.contains(id);
            for id in definition.needs.iter().filter(|id| !there(id) && is_new(id)) {
                let known = self.definitions.keys().chain(&implicit);
                let known = known.filter(|k| k.family == id.family).map(|k| k.name.as_str());
                let fault = Fault::new("", format!("refers to {id}, which does not exist"))
                    .maybe_hint(suggest(id.name.as_str(), known));
                clashes.push(Clash { id: definition.id.clone(), about: About::Need(id.clone()), fault });
            }
        }
        clashes
    }

    /// A circle that a change closes goes through something that it touches.
    fn circles(&self, touched: &BTreeSet<&DefId>) -> Vec<Clash> {
        let reached = Self { revision: Revision::ZERO, definitions: self.needed_by(touched) };
        let order = Order::of(&reached);
        let stuck = order.in_circles();
        if !stuck.iter().any(|definition| touched.contains(&definition.id)) {
            return Vec::new();
        }
        // A circle of thousands is told by its first few.
        let shown: Vec<String> = stuck.iter().take(10).map(|d| d.id.to_string()).collect();
        let more = if stuck.len() > shown.len() { ", ..." } else { "" };
        let message = format!("refers to itself through others ({}{more})", shown.join(", "));
        let fault = Fault::new("", message).hint("take one of the references out");
        let clash =
            |d: &Arc<Definition>| Clash { id: d.id.clone(), about: About::Circle, fault: fault.clone() };
        stuck.into_iter().map(clash).collect()
    }

    /// These definitions and all that they need.
    fn needed_by(&self, touched: &BTreeSet<&DefId>) -> ById<Arc<Definition>> {
        let mut reached = ById::new();
        let mut next: Vec<&DefId> = touched.iter().copied().collect();
        while let Some(id) = next.pop() {
            let Some(definition) = self.get(id).filter(|_| !reached.contains_key(id)) else { continue };
            next.extend(&definition.needs);
            reached.insert(id.clone(), definition.clone());
        }
        reached
    }

    /// What two enabled definitions hold, among what is held within these scopes.
    fn claimed_twice(&self, scopes: &HashSet<&str>, rules: &dyn Rules) -> Vec<Clash> {
        let mut clashes = Vec::new();
        let mut holders: BTreeMap<&str, &DefId> = BTreeMap::new();
        for definition in self.definitions.values().filter(|d| d.enabled) {
            for claim in definition.claims.iter().filter(|claim| scopes.contains(rules.scope(claim))) {
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
}
