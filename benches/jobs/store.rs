//! How many slots a second one Redis decides and takes down the end of, in batches, as nodes send them.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use config::lease::{Held, Leases as _};
use config::slots::{
    Answer, BATCH, BUCKETS, Claim, Ending, Outcome, Record, Slots as _, Wanted, bucket_of, lease_of,
};
use config::store::redis::Redis as Store;
use config::{Change, Clock, DefId, Definition, Family, KindTag, Name, Note, Params, Revision, Store as _};

use super::nodes::Redis;

/// How many batches are on their way at once.
const AT_ONCE: u64 = 4;

fn job(name: &Name) -> Definition {
    Definition {
        id: DefId::new(Family::Job, name.clone()),
        kind: KindTag::new(Family::Job, "interval"),
        enabled: true,
        params: Params::default(),
        needs: Default::default(),
        claims: Default::default(),
        changed_at: Revision::ZERO,
    }
}

/// See the module.
pub fn decides(seconds: u64) {
    let folder = tempfile::TempDir::new().expect("a folder");
    let redis = Redis::start(&folder.path().join("redis"));
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    runtime.expect("a runtime").block_on(async {
        let url = format!("redis://127.0.0.1:{}", redis.port).parse().expect("a URL");
        let cluster = "zeugma".parse().expect("a name");
        let store = Store::open(&url, &cluster, &folder.path().join("data"), Clock::System).await;
        let store = Arc::new(store.expect("the store opens"));
        let names: Vec<Name> =
            (0..AT_ONCE * BATCH as u64).map(|n| format!("job {n}").parse().expect("a name")).collect();
        let at = store.load().await.expect("loads").revision;
        let put = names.iter().map(job).collect();
        let change = Change { put, delete: Vec::new() };
        let plan = store.commit(at, change, Note::default()).await.expect("commits").revision;
        let mut leases = Vec::new();
        for bucket in 0..BUCKETS {
            let held = store.lease(&lease_of(bucket), "bench#1", Duration::from_secs(3_600)).await;
            leases.push(held.expect("answers").expect("is free"));
        }
        let leases = Arc::new(leases);
        let decided = Arc::new(AtomicU64::new(0));
        let begun = Instant::now();
        let work = (0..AT_ONCE).map(|part| {
            let names = names.iter().skip((part as usize) * BATCH).take(BATCH).cloned().collect();
            let long = Duration::from_secs(seconds);
            tokio::spawn(claims(store.clone(), leases.clone(), names, plan, long, decided.clone()))
        });
        for part in work.collect::<Vec<_>>() {
            part.await.expect("it ends");
        }
        let each = decided.load(Ordering::Relaxed) as f64 / begun.elapsed().as_secs_f64();
        println!("one Redis decides {each:.0} slots a second and takes down their ends, {BATCH} in a call");
    });
}

async fn claims(
    store: Arc<Store>,
    leases: Arc<Vec<Held>>,
    names: Vec<Name>,
    plan: Revision,
    long: Duration,
    decided: Arc<AtomicU64>,
) {
    let mut jobs = Vec::new();
    for name in names {
        let held = &leases[usize::from(bucket_of(&name))];
        let wanted = [Wanted { name: name.clone(), plan, known: None }];
        let state = store.take_over(held, &wanted).await.expect("answers").expect("held")[0];
        jobs.push((name, held.fence, state));
    }
    let begun = Instant::now();
    let mut slot = config::Slots::look(&*store).await.expect("answers").now - 3_600_000_000;
    while begun.elapsed() < long {
        slot += 1_000;
        let claim = |(name, fence, state): &(Name, config::Fence, config::slots::JobState)| Claim {
            name: name.clone(),
            fence: *fence,
            plan: state.plan,
            turn: state.turn,
            anchor: state.anchor,
            slot,
            until: slot,
            spent: false,
            record: Record::begins(slot, "bench#1", slot, "0123456789abcdef01234567".into()),
        };
        let all: Vec<Claim> = jobs.iter().map(claim).collect();
        let answers = store.claim("bench#1", &all).await.expect("answers");
        assert!(answers.iter().all(|answer| *answer == Answer::Granted), "{answers:?}");
        let ending = |claim: Claim| Ending {
            name: claim.name,
            slot,
            record: claim.record.ended(Outcome::Done, slot + 1_000, None),
            presumed: false,
        };
        let endings: Vec<Ending> = all.into_iter().map(ending).collect();
        store.end(&endings).await.expect("answers");
        decided.fetch_add(answers.len() as u64, Ordering::Relaxed);
    }
}
