//! What single steps cost: finding a route among many, building a snapshot, and the one after a change of one channel.

#![allow(clippy::disallowed_methods, missing_docs)] // real time is what is measured

use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use actors::{Live, Meters, Reconciler, Registry};
use cluster::Board;
use config::store::memory::Memory;
use config::store::{Change, Note};
use config::{Checked, Clock, Definition, Family, Keyring, Revision, Rules as _, Store as _};
use criterion::{Criterion, criterion_group, criterion_main};
use http::{HeaderMap, Method, Uri};
use ractor::Actor as _;
use sdk::task::Tasks;
use tokio::time::Instant;

/// A snapshot with this many channels, made the way a node makes it.
async fn live_with(channels: usize) -> Live {
    let (tasks, clock) = (Tasks::default(), Clock::System);
    let store = Arc::new(Memory::new(clock.clone()));
    let registry = Arc::new(Registry::new(&[], &[]).expect("a registry"));
    let (keyring, live) = (Keyring::generate(), Live::new(tasks.clone(), clock.clone()));
    let board = Arc::<Board>::default();
    let list: String = (0..channels)
        .map(|n| format!("- {{name: c{n}, type: rest, path: '/a{n}/{{x}}/b', service: zeugma.ping}}\n"))
        .collect();
    let drafts = config::bundle::parse(&format!("channels:\n{list}"), None).expect("a bundle");
    let definition = |draft: &config::Draft| {
        let Checked { faults, needs, claims, secrets, .. } = registry.check(draft);
        assert!(faults.is_empty(), "{faults:?}");
        Definition {
            id: draft.id.clone(),
            kind: draft.kind.clone(),
            enabled: true,
            params: keyring.seal(&draft.params, &secrets, None).expect("no secrets"),
            needs: needs.into_iter().map(|need| need.id).collect(),
            claims: claims.into_iter().map(|claim| claim.what).collect(),
            changed_at: Revision::ZERO,
        }
    };
    let change = Change { put: drafts.iter().map(definition).collect(), delete: vec![] };
    store.commit(Revision::ZERO, change, Note::default()).await.expect("committed");
    let reconciler = Reconciler {
        node: "bench".parse().expect("a name"),
        store,
        registry,
        keyring,
        live: live.clone(),
        board: board.clone(),
        meters: Meters::new(&prometheus::Registry::new()).expect("metrics"),
        clock,
        tasks,
    };
    Reconciler::spawn(None, reconciler, ()).await.expect("a reconciler");
    let receipt = board.settled(Revision(1), Instant::now(), Duration::from_secs(120)).await;
    assert!(receipt.settled);
    live
}

fn benches(c: &mut Criterion) {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let nothing = Live::new(Tasks::default(), Clock::System).now();
    for channels in [10, 1_000, 10_000] {
        let live = runtime.block_on(live_with(channels));
        let snapshot = live.now();
        assert_eq!(snapshot.routes.len(), channels);
        let uri: Uri = format!("/a{}/17/b", channels / 2).parse().expect("a path");
        let headers = HeaderMap::new();
        c.bench_function(&format!("route/{channels}"), |b| {
            b.iter(|| black_box(snapshot.routes.find(&Method::GET, black_box(&uri), &headers)).is_ok());
        });
        c.bench_function(&format!("snapshot/{channels}"), |b| {
            b.iter(|| nothing.next(Revision(2), snapshot.parts.clone(), Default::default()));
        });
        let (id, _) = snapshot.parts.iter().find(|(id, _)| id.family == Family::Channel).expect("a channel");
        let without = snapshot.next(Revision(2), snapshot.parts.without(id), Default::default());
        c.bench_function(&format!("change/{channels}"), |b| {
            b.iter(|| without.next(Revision(3), snapshot.parts.clone(), Default::default()));
        });
    }
}

criterion_group! { name = micro; config = Criterion::default().sample_size(20); targets = benches }
criterion_main!(micro);
