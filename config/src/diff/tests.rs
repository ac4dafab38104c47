//! Tests of the plan: carried out, it leads to what is wanted, in an order that works.

use std::collections::BTreeMap;
use std::sync::Arc;

use proptest::prelude::*;
use proptest::test_runner::RngSeed;

use super::*;
use crate::catalog::tests::{catalog, id, needing};
use crate::definition::Definition;

fn planned(running: &BTreeMap<DefId, Revision>, wanted: &Catalog) -> Plan {
    plan(running.iter().map(|(id, version)| (id, *version)), wanted)
}

/// What runs once a plan has been carried out.
fn carried_out(running: &BTreeMap<DefId, Revision>, wanted: &Catalog) -> BTreeMap<DefId, Revision> {
    let Plan { start, stop } = planned(running, wanted);
    let can_run = can_run(wanted);
    assert!(start.iter().flatten().all(|(id, version)| can_run.get(id) == Some(version)));
    let mut after = running.clone();
    after.extend(start.into_iter().flatten());
    after.retain(|id, _| !stop.contains(id));
    after
}

fn started(plan: &Plan) -> Vec<Vec<&str>> {
    plan.start.iter().map(|level| level.iter().map(|(id, _)| id.name.as_str()).collect()).collect()
}

fn chain(changed: u64) -> Catalog {
    catalog([
        needing("c", 1, &["b"]),
        needing("b", 1, &["a"]),
        needing("a", changed, &[]),
        needing("d", 1, &[]),
    ])
}

#[test]
fn an_empty_node_starts_everything_and_then_nothing() {
    let wanted = chain(1);
    assert_eq!(started(&planned(&BTreeMap::new(), &wanted)), [vec!["a", "d"], vec!["b"], vec!["c"]]);
    let running = carried_out(&BTreeMap::new(), &wanted);
    assert!(planned(&running, &wanted).is_empty());
    assert_eq!(planned(&running, &Catalog::default()).stop.len(), 4);
}

#[test]
fn a_change_of_what_is_needed_restarts_what_needs_it_and_nothing_else() {
    let running = carried_out(&BTreeMap::new(), &chain(1));
    let next = planned(&running, &chain(2));
    assert_eq!(started(&next), [vec!["a"], vec!["b"], vec!["c"]]);
    assert!(next.stop.is_empty());
}

#[test]
fn what_is_disabled_or_deleted_stops() {
    let running = carried_out(&BTreeMap::new(), &chain(1));
    let mut wanted = chain(1);
    wanted.definitions.remove(&id("c"));
    let disabled = Definition { enabled: false, changed_at: Revision(2), ..needing("d", 1, &[]) };
    wanted.definitions.insert(disabled.id.clone(), Arc::new(disabled));
    let next = planned(&running, &wanted);
    assert_eq!((next.start.len(), next.stop), (0, [id("c"), id("d")].into()));
}

#[test]
fn what_is_in_a_circle_is_left_as_it_is() {
    let running = BTreeMap::from([(id("a"), Revision(1))]);
    let wanted = catalog([needing("a", 2, &["b"]), needing("b", 2, &["a"])]);
    let next = planned(&running, &wanted);
    assert!(next.stop.is_empty());
}

/// Catalogs of up to 24 definitions; each may need any other, so that there are circles too.
fn any_catalog() -> impl Strategy<Value = Catalog> {
    let definition = |name: u8, forward: bool| {
        let needs = prop::collection::btree_set(0_u8..24, 0..3);
        (1_u64..9, any::<bool>(), needs).prop_map(move |(changed_at, enabled, needs)| {
            let needs =
                needs.into_iter().filter(|need| !forward || *need > name).map(|need| need.to_string());
            let needs: Vec<String> = needs.collect();
            let needs: Vec<&str> = needs.iter().map(String::as_str).collect();
            Definition { enabled, ..needing(&name.to_string(), changed_at, &needs) }
        })
    };
    (prop::collection::btree_set(0_u8..24, 0..24), any::<bool>())
        .prop_flat_map(move |(names, forward)| {
            names.into_iter().map(|n| definition(n, forward)).collect::<Vec<_>>()
        })
        .prop_map(catalog)
}

/// What is enabled and in no circle: all that can run.
fn can_run(wanted: &Catalog) -> BTreeMap<DefId, Revision> {
    let order = Order::of(wanted);
    let enabled = order.definitions.iter().zip(&order.versions).filter(|(definition, _)| definition.enabled);
    enabled.filter_map(|(definition, version)| Some((definition.id.clone(), (*version)?))).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, rng_seed: RngSeed::Fixed(1), ..ProptestConfig::default() })]

    #[test]
    fn a_plan_leads_to_what_is_wanted(before in any_catalog(), wanted in any_catalog()) {
        let running = carried_out(&BTreeMap::new(), &before);
        prop_assert_eq!(&running, &can_run(&before));
        prop_assert!(planned(&running, &before).start.is_empty());

        let next = planned(&running, &wanted);
        let after = carried_out(&running, &wanted);
        let can_run = can_run(&wanted);
        for (id, version) in &after {
            // What has come into a circle stays as it was: the check refuses such a catalog, so this is damage.
            prop_assert!(can_run.get(id).or_else(|| running.get(id)) == Some(version));
        }
        prop_assert!(can_run.keys().all(|id| after.contains_key(id)));
        let again = planned(&after, &wanted);
        prop_assert!(again.stop.is_empty());
        prop_assert!(again.start.iter().flatten().all(|(id, _)| !can_run.contains_key(id)), "{again:?}");

        // What starts comes after all that it needs, and nothing is started twice, or started and stopped.
        let mut seen = BTreeSet::new();
        for level in &next.start {
            for (id, _) in level {
                let starts: BTreeSet<&DefId> = next.start.iter().flatten().map(|(id, _)| id).collect();
                let needs = &wanted.definitions[id].needs;
                prop_assert!(needs.iter().filter(|n| starts.contains(n)).all(|n| seen.contains(n)));
                prop_assert!(!next.stop.contains(id));
            }
            for (id, _) in level {
                prop_assert!(seen.insert(id));
            }
        }
        // Nothing is touched without need.
        for (id, _) in next.start.iter().flatten() {
            prop_assert!(running.get(id) != can_run.get(id));
        }
    }
}
