//! What a commit to the embedded store costs, the disk included.

#![allow(clippy::disallowed_methods, missing_docs)] // real time is what is measured

use std::time::{Duration, Instant};

use criterion::{Criterion, criterion_group, criterion_main};
use serde_json::json;
use zeugma_config::store::embedded::Embedded;
use zeugma_config::{Change, Clock, Definition, Note, Store as _};

fn definition(n: usize) -> Definition {
    serde_json::from_value(json!({
        "id": format!("channel/my.api.get-customer.{n:06}"),
        "kind": "channel.rest",
        "enabled": true,
        "params": {"path": format!("/customer/{n}"), "method": "GET", "service": "my.api.get-customer", "data_format": "json"},
        "needs": ["service/my.api.get-customer"],
        "claims": [format!("route GET /customer/{n}")],
    }))
    .expect("a definition")
}

async fn commit(store: &Embedded, put: Vec<Definition>) -> Duration {
    let at = store.load().await.expect("loads").revision;
    let begin = Instant::now();
    store.commit(at, Change { put, delete: Vec::new() }, Note::default()).await.expect("commits");
    begin.elapsed()
}

fn commits(criterion: &mut Criterion) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().expect("a runtime");
    let mut group = criterion.benchmark_group("embedded commit");
    group.sample_size(20);
    for (catalog, changed) in [(0, 1), (10_000, 1), (0, 1_000), (200_000, 1)] {
        // In the current folder: a folder for temporary files may be in memory.
        let folder = tempfile::tempdir_in(".").expect("a folder");
        let store = Embedded::open(folder.path(), Clock::System).expect("opens");
        runtime.block_on(commit(&store, (0..catalog).map(definition).collect()));
        group.bench_function(format!("{changed} of {}", catalog.max(changed)), |b| {
            b.iter_custom(|times| {
                let put: Vec<Definition> = (0..changed).map(definition).collect();
                (0..times).map(|_| runtime.block_on(commit(&store, put.clone()))).sum()
            });
        });
        drop(store);
        let begin = Instant::now();
        let store = Embedded::open(folder.path(), Clock::System).expect("opens");
        println!("opened with {catalog} definitions in {:?}", begin.elapsed());
        drop(store);
    }
    group.finish();
}

criterion_group!(benches, commits);
criterion_main!(benches);
