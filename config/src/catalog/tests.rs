//! Tests of the checks over all definitions, and the catalogs that other tests make.

use std::collections::BTreeSet;

use super::*;
use crate::definition::{Draft, Params};
use crate::name::{Family, KindTag};
use crate::rules::Checked;
use crate::small_set::SmallSet;

/// A definition of family job that needs those of these names.
pub(crate) fn needing(name: &str, changed_at: u64, needs: &[&str]) -> Definition {
    Definition {
        id: id(name),
        kind: KindTag::new(Family::Job, "test"),
        enabled: true,
        params: Params::default(),
        needs: needs.iter().map(|name| id(name)).collect(),
        claims: SmallSet::default(),
        changed_at: Revision(changed_at),
    }
}

/// The id of such a definition.
pub(crate) fn id(name: &str) -> DefId {
    DefId::new(Family::Job, name.parse().expect("a name"))
}

/// A catalog of these.
pub(crate) fn catalog(definitions: impl IntoIterator<Item = Definition>) -> Catalog {
    let definitions: BTreeMap<_, _> = definitions.into_iter().map(|d| (d.id.clone(), Arc::new(d))).collect();
    Catalog { revision: definitions.values().map(|d| d.changed_at).max().unwrap_or_default(), definitions }
}

/// Rules that know nothing but one implicit definition.
#[derive(Default)]
struct Lenient(BTreeSet<DefId>);

impl Rules for Lenient {
    fn check(&self, _: &Draft) -> Checked {
        Checked::default()
    }
    fn implicit(&self, _: &Catalog) -> BTreeSet<DefId> {
        self.0.clone()
    }
    fn check_claims(&self, claims: &BTreeMap<&str, &DefId>) -> Vec<Clash> {
        claims
            .iter()
            .filter(|(what, _)| what.contains('*'))
            .map(|(what, id)| Clash {
                id: (*id).clone(),
                about: About::Claim((*what).to_owned()),
                fault: Fault::new("", "overlaps"),
            })
            .collect()
    }
}

fn told(catalog: &Catalog) -> Vec<String> {
    let rules = Lenient([id("built in")].into());
    catalog.check(&rules).into_iter().map(|clash| format!("{} {}", clash.id, clash.fault)).collect()
}

fn names(levels: Vec<Vec<&Arc<Definition>>>) -> Vec<Vec<&str>> {
    levels.into_iter().map(|level| level.into_iter().map(|d| d.id.name.as_str()).collect()).collect()
}

#[test]
fn a_reference_to_nothing_is_a_fault_and_one_to_something_built_in_is_not() {
    let found = told(&catalog([needing("a", 1, &["built in", "order"]), needing("orders", 1, &[])]));
    assert_eq!(found, ["job/a : refers to job/order, which does not exist (did you mean \"orders\"?)"]);
}

#[test]
fn a_circle_is_a_fault_of_its_members_only() {
    let definitions = [
        needing("a", 1, &["b"]),
        needing("b", 1, &["a"]),
        needing("user", 1, &["a"]),
        needing("c", 1, &["c"]),
    ];
    let wanted = catalog(definitions);
    let found = told(&wanted);
    assert_eq!(found.len(), 3, "{found:?}");
    assert!(
        found[0].starts_with("job/a : refers to itself through others (job/a, job/b, job/c)"),
        "{found:?}"
    );
    assert!(wanted.in_start_order().is_empty());
    let many: Vec<String> = (0..2_000).map(|n| format!("d{n}")).collect();
    let ring = (0..many.len()).map(|n| needing(&many[n], 1, &[&many[(n + 1) % many.len()]]));
    let found = told(&catalog(ring));
    assert!(found.len() == 2_000 && found[0].len() < 300, "{}", found[0]);
}

#[test]
fn only_one_enabled_definition_holds_a_claim() {
    let holding = |name: &str, what: &str, enabled| Definition {
        claims: SmallSet::from_iter([what.to_owned()]),
        enabled,
        ..needing(name, 1, &[])
    };
    let definitions = [
        holding("a", "route GET /x", true),
        holding("b", "route GET /x", true),
        holding("c", "route GET /x", false),
        holding("d", "route GET /*", true),
    ];
    let found = told(&catalog(definitions));
    let expected = ["job/b : route GET /x is already held by job/a", "job/d : overlaps"];
    assert_eq!(found.len(), 2, "{found:?}");
    assert!(found.iter().zip(expected).all(|(found, expected)| found.starts_with(expected)), "{found:?}");
}

#[test]
fn levels_follow_the_references_and_versions_carry_them_on() {
    let wanted = catalog([
        needing("top", 1, &["left", "right"]),
        needing("left", 2, &["base"]),
        needing("right", 7, &[]),
        needing("base", 5, &["built in"]),
    ]);
    assert_eq!(names(wanted.start_levels()), [vec!["base", "right"], vec!["left"], vec!["top"]]);
    let versions: Vec<_> = wanted.versions().into_iter().map(|(id, v)| (id.name.as_str(), v.0)).collect();
    assert_eq!(versions, [("base", 5), ("left", 5), ("right", 7), ("top", 7)]);
}
