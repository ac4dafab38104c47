//! Tests of the checks over all definitions, and the catalogs that other tests make.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use proptest::test_runner::RngSeed;

use super::order::Order;
use super::*;
use crate::definition::{Draft, Params};
use crate::fault::Fault;
use crate::name::{Family, KindTag};
use crate::rules::{About, Checked, Clash, Rules};
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
    let definitions: ById<Arc<Definition>> =
        definitions.into_iter().map(|d| (d.id.clone(), Arc::new(d))).collect();
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
    fn scope<'c>(&self, claim: &'c str) -> &'c str {
        claim
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
    let all = catalog.definitions.keys().collect();
    let clashes = catalog.check(&Catalog::default(), &all, &rules);
    clashes.into_iter().map(|clash| format!("{} {}", clash.id, clash.fault)).collect()
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
    assert!(Order::of(&wanted).levels.is_empty());
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
    let order = Order::of(&wanted);
    let name = |at: usize| order.definitions[at].id.name.as_str();
    let levels = order.levels.iter().map(|level| level.iter().map(|at| name(*at)).collect::<Vec<_>>());
    assert_eq!(levels.collect::<Vec<_>>(), [vec!["base", "right"], vec!["left"], vec!["top"]]);
    let versions = order.versions.iter().enumerate().map(|(at, v)| (name(at), v.map(|v| v.0)));
    let expected = [("base", Some(5)), ("left", Some(5)), ("right", Some(7)), ("top", Some(7))];
    assert_eq!(versions.collect::<Vec<_>>(), expected);
}

/// Up to eight definitions that need each other and hold things at random.
fn any_catalog() -> impl Strategy<Value = Catalog> {
    let one = (any::<bool>(), prop::collection::vec(0_usize..10, 0..3), prop::option::of(0_u8..4), 0_u64..3);
    prop::collection::btree_map(0_usize..8, one, 0..8).prop_map(|all| {
        let definition =
            |(n, (enabled, needs, claim, version)): (usize, (bool, Vec<usize>, Option<u8>, u64))| {
                let needs: Vec<String> = needs.into_iter().map(|n| format!("d{n}")).collect();
                let needs: Vec<&str> = needs.iter().map(String::as_str).collect();
                let claims = claim.map(|c| format!("{c}{}", ["", "*"][n % 2])).into_iter().collect();
                Definition { enabled, claims, ..needing(&format!("d{n}"), version, &needs) }
            };
        catalog(all.into_iter().map(definition))
    })
}

/// Rules by which things that begin alike conflict if one of them has a star.
struct Starred;

impl Rules for Starred {
    fn check(&self, _: &Draft) -> Checked {
        Checked::default()
    }
    fn implicit(&self, catalog: &Catalog) -> BTreeSet<DefId> {
        // The first one brings along the last.
        catalog.get(&id("d0")).map(|_| id("d9")).into_iter().collect()
    }
    fn scope<'c>(&self, claim: &'c str) -> &'c str {
        &claim[..1]
    }
    fn check_claims(&self, claims: &BTreeMap<&str, &DefId>) -> Vec<Clash> {
        let conflict = |(what, id): (&&str, &&DefId)| {
            let other = what.strip_suffix('*').filter(|other| claims.contains_key(other))?;
            let fault = Fault::new("", format!("conflicts with {other}"));
            Some(Clash { id: (*id).clone(), about: About::Claim((*what).to_owned()), fault })
        };
        claims.iter().filter_map(conflict).collect()
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4_000, max_global_rejects: 8_000, failure_persistence: None, rng_seed: RngSeed::Fixed(7), ..ProptestConfig::default() })]

    /// What is told of a change is what a look at everything, before and after, shows to be new or touched.
    #[test]
    fn a_check_of_a_change_finds_what_a_check_of_everything_does(before in any_catalog(), after in any_catalog(), again in 0_usize..8) {
        let everything = |catalog: &Catalog| {
            catalog.check(&Catalog::default(), &catalog.definitions.keys().collect(), &Starred)
        };
        let known = everything(&before);
        prop_assume!(known.iter().all(|clash| clash.about != About::Circle));
        let again = id(&format!("d{again}"));
        let ids = before.definitions.keys().chain(after.definitions.keys()).chain([&again]);
        let touched: BTreeSet<&DefId> = ids.filter(|id| before.get(id) != after.get(id) || **id == again).collect();
        // Not their words: what is suggested instead may be another by now.
        let told = |clashes: Vec<Clash>| -> BTreeSet<String> {
            clashes.into_iter().map(|clash| format!("{} {:?}", clash.id, clash.about)).collect()
        };
        let known = told(known);
        let mut expected = everything(&after);
        let is_known = |clash: &Clash| known.contains(&format!("{} {:?}", clash.id, clash.about));
        expected.retain(|clash| touched.contains(&clash.id) || !is_known(clash));
        prop_assert_eq!(told(after.check(&before, &touched, &Starred)), told(expected));
    }
}
