//! The contract that every store keeps, as tests. `contract!` runs them on a store that a function makes.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use super::{Change, CommitError, Entry, Note, Store, StoreError};
use crate::catalog::Catalog;
use crate::definition::{Definition, Params};
use crate::name::{DefId, Family, KindTag, Revision};
use crate::small_set::SmallSet;

/// One test a case, on the stores that `$make().await` gives; each call gives an empty one.
macro_rules! contract {
    ($make:path) => {
        $crate::store::contract::contract!($make:
            an_empty_store_is_at_zero
            a_commit_writes_and_says_when
            a_writer_who_saw_less_is_told_so
            a_commit_is_all_or_nothing
            the_last_word_on_an_id_counts
            the_history_is_told_newest_first_in_pages
            any_kept_revision_can_be_gone_back_to
            a_nudge_comes_after_each_commit
            no_update_of_many_writers_is_lost
            a_writer_who_gives_up_waiting_harms_nobody);
    };
    ($make:path: $($case:ident)*) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
            async fn $case() {
                $crate::store::contract::$case($make().await).await;
            }
        )*
    };
}
pub(crate) use contract;

/// A definition with one parameter.
pub(crate) fn definition(name: &str, value: impl Into<Value>) -> Definition {
    let Value::Object(params) = json!({ "value": value.into() }) else { unreachable!("made here") };
    Definition {
        id: id(name),
        kind: KindTag::new(Family::Job, "test"),
        enabled: true,
        params: Params(params),
        needs: SmallSet::default(),
        claims: SmallSet::default(),
        changed_at: Revision::ZERO,
    }
}

/// The id of such a definition.
pub(crate) fn id(name: &str) -> DefId {
    DefId::new(Family::Job, name.parse().expect("a name"))
}

/// The parameter of such a definition.
pub(crate) fn value(catalog: &Catalog, name: &str) -> Option<Value> {
    catalog.get(&id(name)).map(|d| d.params.0["value"].clone())
}

/// A change that writes these definitions.
pub(crate) fn put<const N: usize>(definitions: [(&str, i64); N]) -> Change {
    Change { put: definitions.map(|(name, value)| definition(name, value)).into(), delete: Vec::new() }
}

/// A change that deletes these definitions.
pub(crate) fn delete<const N: usize>(names: [&str; N]) -> Change {
    Change { put: Vec::new(), delete: names.map(id).into() }
}

/// Who commits in a test.
pub(crate) fn by(author: &str) -> Note {
    Note { author: author.into(), reason: None, ..Note::default() }
}

async fn commit(store: &impl Store, change: Change) -> Arc<Catalog> {
    let at = store.load().await.expect("loads").revision;
    store.commit(at, change, by("test")).await.expect("commits")
}

fn numbers(entries: &[Entry]) -> Vec<u64> {
    entries.iter().map(|entry| entry.revision.0).collect()
}

pub(crate) async fn an_empty_store_is_at_zero(store: impl Store) {
    assert_eq!(*store.load().await.expect("loads"), Catalog::default());
    assert!(store.history(None, 10).await.expect("reads").is_empty());
    assert_eq!(store.load_at(Revision::ZERO).await.expect("loads"), Catalog::default());
    assert!(!store.describe().is_empty());
}

pub(crate) async fn a_commit_writes_and_says_when(store: impl Store) {
    let first = commit(&store, put([("a", 1), ("b", 1)])).await;
    assert_eq!((first.revision, first.definitions.len()), (Revision(1), 2));
    let second = commit(&store, put([("b", 2)])).await;
    let changed_at = |name| second.get(&id(name)).map(|d| d.changed_at.0);
    assert_eq!((second.revision, changed_at("a"), changed_at("b")), (Revision(2), Some(1), Some(2)));
    let third = commit(&store, delete(["a"])).await;
    assert_eq!(third.definitions.keys().collect::<Vec<_>>(), [&id("b")]);
    assert_eq!(value(&third, "b"), Some(2.into()));
    assert_eq!(store.load().await.expect("loads"), third);
}

pub(crate) async fn a_writer_who_saw_less_is_told_so(store: impl Store) {
    let first = commit(&store, put([("a", 1)])).await;
    for expect in [Revision::ZERO, Revision(2)] {
        match store.commit(expect, put([("a", 2)]), by("late")).await {
            Err(CommitError::Conflict { expected, current }) => {
                assert_eq!((expected, current), (expect, Revision(1)));
            }
            other => panic!("no conflict: {other:?}"),
        }
    }
    assert_eq!(store.load().await.expect("loads"), first);
    assert_eq!(store.history(None, 10).await.expect("reads").len(), 1);
}

pub(crate) async fn a_commit_is_all_or_nothing(store: impl Store) {
    commit(&store, put([("a", 1), ("b", 1)])).await;
    let change = Change { put: put([("b", 2), ("c", 2)]).put, delete: vec![id("a")] };
    assert!(store.commit(Revision::ZERO, change.clone(), by("late")).await.is_err());
    let untouched = store.load().await.expect("loads");
    assert_eq!((value(&untouched, "a"), value(&untouched, "c")), (Some(1.into()), None));
    let after = store.commit(Revision(1), change, by("test")).await.expect("commits");
    let values = ["a", "b", "c"].map(|name| value(&after, name));
    assert_eq!((after.revision, values), (Revision(2), [None, Some(2.into()), Some(2.into())]));
}

pub(crate) async fn the_last_word_on_an_id_counts(store: impl Store) {
    let twice = commit(&store, put([("a", 1), ("a", 2)])).await;
    assert_eq!(value(&twice, "a"), Some(2.into()));
    let both = Change { put: put([("a", 3)]).put, delete: vec![id("a"), id("never there")] };
    assert_eq!(value(&*commit(&store, both).await, "a"), None);
    assert_eq!(commit(&store, Change::default()).await.revision, Revision(3));
    assert_eq!(value(&store.load_at(Revision(1)).await.expect("loads"), "a"), Some(2.into()));
    assert_eq!(store.load_at(Revision::ZERO).await.expect("loads"), Catalog::default());
}

pub(crate) async fn the_history_is_told_newest_first_in_pages(store: impl Store) {
    for n in 1..=7 {
        let note = Note {
            author: format!("author {n}"),
            reason: (n == 3).then(|| "because".into()),
            ..Note::default()
        };
        store.commit(Revision(n - 1), put([("a", n as i64)]), note).await.expect("commits");
    }
    let all = store.history(None, 100).await.expect("reads");
    assert_eq!(numbers(&all), [7, 6, 5, 4, 3, 2, 1]);
    for (before, limit, expected) in [
        (None, 3, &[7, 6, 5][..]),
        (Some(5), 3, &[4, 3, 2]),
        (Some(2), 3, &[1]),
        (Some(1), 3, &[]),
        (Some(0), 3, &[]),
        (Some(99), 2, &[7, 6]),
        (None, 0, &[]),
    ] {
        let page = store.history(before.map(Revision), limit).await.expect("reads");
        assert_eq!(numbers(&page), expected, "{limit} before {before:?}");
    }
    let third = &all[4];
    assert_eq!(
        third.note,
        Note { author: "author 3".into(), reason: Some("because".into()), ..Note::default() }
    );
    assert!(all.windows(2).all(|pair| pair[0].at >= pair[1].at), "time runs backwards");
    let [op] = &third.ops[..] else { panic!("one op: {:?}", third.ops) };
    let of = |d: &Option<Definition>| d.as_ref().map(|d| (d.params.0["value"].clone(), d.changed_at.0));
    assert_eq!((&op.id, of(&op.before), of(&op.after)), (&id("a"), Some((2.into(), 2)), Some((3.into(), 3))));
}

pub(crate) async fn any_kept_revision_can_be_gone_back_to(store: impl Store) {
    let mut kept = vec![(*store.load().await.expect("loads")).clone()];
    for n in 1..=250_i64 {
        let name = format!("d{}", n % 7);
        let change = match n % 5 {
            0 => delete([&name]),
            1 => Change { put: put([(&name, n), ("x", n)]).put, delete: vec![id("d3")] },
            _ => put([(&name, n)]),
        };
        kept.push((*commit(&store, change).await).clone());
    }
    for catalog in kept.iter().step_by(17).chain(kept.last()) {
        assert_eq!(store.load_at(catalog.revision).await.expect("loads"), *catalog);
    }
    match store.load_at(Revision(251)).await {
        Err(StoreError::NotYet(asked, newest)) => assert_eq!((asked.0, newest.0), (251, 250)),
        other => panic!("not yet: {other:?}"),
    }
}

pub(crate) async fn a_nudge_comes_after_each_commit(store: impl Store) {
    let mut nudges = store.nudges();
    nudges.mark_unchanged();
    for n in 1..=3 {
        commit(&store, put([("a", n)])).await;
        // A nudge may be doubled, and one of an earlier commit may come late; the newest comes in the end.
        let arrived =
            tokio::time::timeout(Duration::from_secs(20), nudges.wait_for(|r| r.0 as i64 >= n)).await;
        assert_eq!(arrived.expect("a nudge").expect("a store").0 as i64, n);
        assert!(store.load().await.expect("loads").revision.0 as i64 >= n);
    }
}

pub(crate) async fn no_update_of_many_writers_is_lost(store: impl Store) {
    const WRITERS: usize = 8;
    const EACH: usize = 10;
    let store = Arc::new(store);
    commit(&*store, put([("sum", 0)])).await;
    let writer = |store: Arc<_>| async move {
        for _ in 0..EACH {
            loop {
                let seen: Arc<Catalog> = Store::load(&*store).await.expect("loads");
                let sum = value(&seen, "sum").and_then(|v| v.as_i64()).expect("a number");
                match Store::commit(&*store, seen.revision, put([("sum", sum + 1)]), by("test")).await {
                    Ok(after) => break assert_eq!(after.revision, seen.revision.next()),
                    Err(CommitError::Conflict { current, .. }) => assert!(current > seen.revision),
                    Err(CommitError::Store(error)) => panic!("{error}"),
                }
            }
        }
    };
    let tasks: Vec<_> = (0..WRITERS).map(|_| tokio::spawn(writer(store.clone()))).collect();
    for task in tasks {
        task.await.expect("a writer");
    }
    let after = store.load().await.expect("loads");
    assert_eq!(value(&after, "sum"), Some((WRITERS * EACH).into()));
    assert_eq!(after.revision.0 as usize, 1 + WRITERS * EACH);
    assert_eq!(store.history(None, 1_000).await.expect("reads").len(), 1 + WRITERS * EACH);
}

pub(crate) async fn a_writer_who_gives_up_waiting_harms_nobody(store: impl Store) {
    for n in 0..40 {
        let at = store.load().await.expect("loads").revision;
        // Polled once and dropped: the write may have happened or not, but nothing may be left half-way.
        let given_up = store.commit(at, put([("gone", n)]), by("impatient"));
        let _ = tokio::time::timeout(Duration::ZERO, given_up).await;
        loop {
            let at = store.load().await.expect("loads").revision;
            match store.commit(at, put([("kept", n)]), by("test")).await {
                Ok(_) => break,
                Err(CommitError::Conflict { .. }) => {}
                Err(CommitError::Store(error)) => panic!("{error}"),
            }
        }
    }
    let after = store.load().await.expect("loads");
    assert_eq!(value(&after, "kept"), Some(39.into()));
    let entries = store.history(None, 1_000).await.expect("reads");
    assert_eq!(numbers(&entries), (1..=after.revision.0).rev().collect::<Vec<_>>());
}
