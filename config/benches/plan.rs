//! What a plan costs: every node makes one after every change.

#![allow(clippy::disallowed_methods, missing_docs)] // real time is what is measured

use std::collections::BTreeMap;
use std::hint::black_box;
use std::sync::Arc;

use criterion::{Criterion, criterion_group, criterion_main};
use zeugma_config::{Catalog, DefId, Definition, Params, Revision, diff};

/// Two thirds channels, each with a service and, in part, a security definition and a connection that it needs.
fn catalog(size: usize) -> Catalog {
    let id = |text: String| -> DefId { text.parse().expect("an id") };
    let definition = |id: DefId, needs: Vec<DefId>, n: usize| Definition {
        kind: format!("{}.test", id.family).parse().expect("a kind"),
        enabled: !n.is_multiple_of(50),
        params: Params::default(),
        needs: needs.into_iter().collect(),
        claims: Default::default(),
        changed_at: Revision(n as u64),
        id,
    };
    let of_three = size / 3;
    let connections =
        (0..of_three).map(|n| definition(id(format!("connection/outgoing.crm.{n:06}")), Vec::new(), n));
    let channels = (0..size - of_three).map(|n| {
        let needs = vec![
            id(format!("connection/outgoing.crm.{:06}", n % of_three)),
            id(format!("service/my.api.customer.{n:06}")),
        ];
        definition(id(format!("channel/my.api.get-customer.{n:06}")), needs, n)
    });
    let definitions = connections.chain(channels).map(|d| (d.id.clone(), Arc::new(d))).collect();
    Catalog { revision: Revision(size as u64), definitions }
}

fn plans(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("plan");
    group.sample_size(10);
    for size in [10_000, 200_000] {
        let wanted = catalog(size);
        let running: BTreeMap<DefId, Revision> =
            diff::plan([], &wanted).start.into_iter().flatten().collect();
        group.bench_function(format!("{size}, nothing to do"), |b| {
            let running = || running.iter().map(|(id, version)| (id, *version));
            b.iter(|| diff::plan(black_box(running()), black_box(&wanted)));
        });
        group.bench_function(format!("{size}, everything to start"), |b| {
            b.iter(|| diff::plan(black_box([]), black_box(&wanted)));
        });
    }
    group.finish();
}

criterion_group!(benches, plans);
criterion_main!(benches);
