//! From a wish to a change that can be committed: every check, and every fault at once.

use std::collections::{BTreeMap, BTreeSet};

use actors::Registry;
use config::definition::SEALED_TEXT;
use config::{
    About, Catalog, Change, Checked, Claim, Clash, Clear, DefId, Definition, Draft, Family, Fault, Faults,
    Keyring, Params, Place, Revision, Rules as _, Want,
};
use serde_json::Value;

use super::diff::Changed;

/// What is to become of the catalog.
#[derive(Debug, Default)]
pub(super) struct Wish {
    /// To be there, just so.
    pub(super) drafts: Vec<Draft>,
    /// Not to be there.
    pub(super) delete: BTreeSet<DefId>,
    /// What is known to be wrong already.
    pub(super) faults: Vec<Fault>,
    /// What a look into some of the drafts has shown that they hold alone.
    pub(super) found: Found,
    /// What stays as it is, though the change would be about it too.
    pub(super) left: Vec<DefId>,
}

/// See [`Wish::found`]. None for a draft whose services could not be found out: nobody who refers to one can be blamed.
pub(super) type Found = BTreeMap<DefId, Option<Vec<Claim>>>;

/// What can be committed.
#[derive(Debug, Default)]
pub(super) struct Prepared {
    /// The change itself.
    pub(super) change: Change,
    /// The same, for people.
    pub(super) changes: Vec<Changed>,
    /// How many drafts are there already.
    pub(super) unchanged: usize,
}

/// Checks a wish against what is there.
pub(super) fn prepare(
    registry: &Registry,
    keyring: &Keyring,
    current: &Catalog,
    wish: &Wish,
) -> Result<Prepared, Faults> {
    let checking = Checking { registry, keyring, current, found: &wish.found };
    let mut prepared = Prepared::default();
    let mut faults = wish.faults.clone();
    let mut checked = BTreeMap::new();
    // What the catalog would be. A draft with faults of its own is in it too, or else each definition that refers to
    // it would seem to have one more.
    let mut candidate = Change { put: Vec::new(), delete: wish.delete.iter().cloned().collect() };
    for draft in &wish.drafts {
        let (found, outcome) = checking.draft(draft);
        match outcome {
            Ok(definition) if checking.is_there(&definition) => prepared.unchanged += 1,
            Ok(definition) => {
                candidate.put.push(definition.clone());
                prepared.change.put.push(definition);
            }
            Err(more) => {
                faults.extend(more.into_iter().map(|fault| fault.under(&draft.at())));
                candidate.put.push(definition(draft, &found, Params::default()));
            }
        }
        checked.insert(&draft.id, (draft, found));
    }
    let after = candidate.applied_to(current);
    faults.extend(checking.together(&after, &candidate, &checked));
    faults.extend(checking.abilities(&after, &checked));
    prepared.change.delete = candidate.delete;
    prepared.changes = checking.changes(&prepared.change);
    Faults(faults).unless_any(prepared)
}

struct Checking<'a> {
    registry: &'a Registry,
    keyring: &'a Keyring,
    current: &'a Catalog,
    found: &'a Found,
}

impl Checking<'_> {
    /// What the kind says about one draft, and the definition that it becomes.
    fn draft(&self, draft: &Draft) -> (Checked, Result<Definition, Vec<Fault>>) {
        let previous = self.current.get(&draft.id).map(|d| &d.params);
        let seal = |secrets: &[_]| self.keyring.seal(&draft.params, secrets, previous);
        let mut faults = Vec::new();
        // A kind checks the secret itself, not the words that stand for it.
        let mut resolved = None;
        if draft.params.0.values().any(mentions_sealed) {
            match seal(self.registry.secrets(&draft.kind)) {
                Ok(sealed) => match self.keyring.open(&sealed) {
                    Ok(params) => resolved = Some(Draft { params, ..draft.clone() }),
                    Err(error) => faults.push(Fault::new("", error.to_string())),
                },
                Err(more) => faults.extend(more),
            }
        }
        let mut checked = self.registry.check(resolved.as_ref().unwrap_or(draft));
        checked.claims.extend(self.found.get(&draft.id).into_iter().flatten().flatten().cloned());
        // What the check says of a parameter that could not be resolved, it says of the words that stand for it.
        checked.faults.retain(|fault| !faults.iter().any(|unresolved| unresolved.at == fault.at));
        faults.append(&mut checked.faults);
        if !faults.is_empty() {
            return (checked, Err(faults));
        }
        let outcome = seal(&checked.secrets).map(|params| definition(draft, &checked, params));
        (checked, outcome)
    }

    /// Whether a definition is there just so. A secret is sealed differently each time, so it is opened to compare; one
    /// that an older key sealed is not there just so, since it is to be sealed anew.
    fn is_there(&self, new: &Definition) -> bool {
        let Some(old) = self.current.get(&new.id).filter(|old| self.keyring.is_current(&old.params)) else {
            return false;
        };
        let open = |params: &Params| self.keyring.open(params).ok();
        let same: Option<Clear> = open(&old.params).filter(|old| open(&new.params).as_ref() == Some(old));
        same.is_some() && old.same_as(&Definition { params: old.params.clone(), ..new.clone() })
    }

    /// What is wrong when everything is looked at together: what this change brings, not what was wrong before.
    fn together(
        &self,
        after: &Catalog,
        candidate: &Change,
        checked: &BTreeMap<&DefId, (&Draft, Checked)>,
    ) -> Vec<Fault> {
        let touched = checked.keys().copied().chain(&candidate.delete).collect();
        let mut found = after.check(self.current, &touched, self.registry);
        if found.is_empty() {
            return Vec::new();
        }
        if self.found.values().any(Option::is_none) {
            found.retain(|clash| !matches!(&clash.about, About::Need(id) if id.family == Family::Service));
        }
        let there = self.registry.with_implicit(self.current);
        let place = |Clash { id, about, fault }: Clash| {
            let fault = match &about {
                About::Need(gone) if self.current.get(gone).is_none() && there.get(gone).is_some() => {
                    let from = there.get(gone).and_then(|d| d.needs.first()).map(ToString::to_string);
                    let from = from.unwrap_or_else(|| "its package".into());
                    Fault::new("", format!("refers to {gone}, which would go from {from}"))
                        .hint(format!("keep the service, or let {id} refer to another one first"))
                }
                About::Need(gone) if candidate.delete.contains(gone) => {
                    Fault::new("", format!("refers to {gone}, which would be deleted"))
                        .hint(format!("delete {id} too, or let it refer to another {}", gone.family))
                }
                _ => fault,
            };
            let Some((draft, checked)) = checked.get(&id) else { return fault.under(&id) };
            Fault { at: parameter(checked, &about).to_owned(), ..fault }.under(&draft.at())
        };
        found.into_iter().map(place).collect()
    }

    /// What definitions cannot do that others want of them: where one of the two is in this change.
    fn abilities(&self, after: &Catalog, checked: &BTreeMap<&DefId, (&Draft, Checked)>) -> Vec<Fault> {
        let mut faults = Vec::new();
        for definition in after.definitions.values() {
            let own = checked.get(&definition.id);
            if own.is_none() && !definition.needs.iter().any(|id| checked.contains_key(id)) {
                continue;
            }
            let wants = own.map_or_else(|| self.stored(definition).wants, |(_, found)| found.wants.clone());
            for Want { at, id, ability } in wants {
                let offers = match (checked.get(&id), after.get(&id)) {
                    // What is wrong with it is told already.
                    (Some((_, found)), _) if !found.faults.is_empty() => continue,
                    (Some((_, found)), _) => found.offers.clone(),
                    (None, Some(other)) if own.is_some() => self.stored(other).offers,
                    _ => continue,
                };
                if offers.is_none_or(|offers| offers.contains(&ability)) {
                    continue;
                }
                let fault = Fault::new(at, format!("{id} cannot {ability}"))
                    .hint("the page about security says which definitions work in which direction");
                faults.push(match own {
                    Some((draft, _)) => fault.under(&draft.at()),
                    None => fault.under(&definition.id),
                });
            }
        }
        faults
    }

    /// What the kind says about a definition that is there; nothing, if its secrets cannot be opened.
    fn stored(&self, definition: &Definition) -> Checked {
        let Ok(params) = self.keyring.open(&definition.params) else { return Checked::default() };
        let Definition { id, kind, enabled, .. } = definition.clone();
        self.registry.check(&Draft { id, kind, enabled, params, place: Place::default() })
    }

    fn changes(&self, change: &Change) -> Vec<Changed> {
        let old = |id| self.current.get(id).map(|d| &**d);
        let put = change.put.iter().map(|d| Changed::between(old(&d.id), Some(d), self.keyring));
        let gone = change.delete.iter().map(|id| Changed::between(old(id), None, self.keyring));
        let mut changes: Vec<Changed> = put.chain(gone).flatten().collect();
        changes.sort_by(|a, b| a.id.cmp(&b.id));
        changes
    }
}

fn definition(draft: &Draft, checked: &Checked, params: Params) -> Definition {
    Definition {
        id: draft.id.clone(),
        kind: draft.kind.clone(),
        enabled: draft.enabled,
        params,
        needs: checked.needs.iter().map(|need| need.id.clone()).collect(),
        claims: checked.claims.iter().map(|claim| claim.what.clone()).collect(),
        changed_at: Revision::ZERO,
    }
}

/// The parameter that clashes with others; nothing, if it is the definition as a whole.
fn parameter<'a>(checked: &'a Checked, about: &About) -> &'a str {
    let at = match about {
        About::Need(id) => checked.needs.iter().find(|need| need.id == *id).map(|need| &need.at),
        About::Claim(what) => checked.claims.iter().find(|claim| claim.what == *what).map(|claim| &claim.at),
        About::Circle => None,
    };
    at.map_or("", String::as_str)
}

fn mentions_sealed(value: &Value) -> bool {
    match value {
        Value::String(text) => text == SEALED_TEXT,
        Value::Array(items) => items.iter().any(mentions_sealed),
        Value::Object(map) => map.values().any(mentions_sealed),
        _ => false,
    }
}
