//! The contract that every membership keeps, as a test.

use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};

use super::{Heard, Load, Membership, NodeRecord, Report};
use crate::fault::Fault;
use crate::name::{Name, Revision};
use crate::store::Store;
use crate::store::contract::{by, put};

const LONG: Duration = Duration::from_secs(20);

fn name(text: &str) -> Name {
    text.parse().expect("a name")
}

/// What a node of this name says.
pub(crate) fn record(node: &str, incarnation: u64) -> NodeRecord {
    NodeRecord {
        node: name(node),
        incarnation,
        address: Some("127.0.0.1:7".into()),
        version: "0.1.0".into(),
        revision: Revision(3),
        load: Load { in_flight: 2, per_second: 0.5 },
    }
}

/// On an empty store and its membership.
pub(crate) async fn keeps(members: &dyn Membership, store: &dyn Store) {
    let first = members.incarnation().await.expect("counts");
    let second = members.incarnation().await.expect("counts");
    assert!(first > 0 && second > first);
    assert!(members.members().await.expect("reads").is_empty());

    // Heartbeats.
    for (node, incarnation) in [("b", first), ("a", first), ("a", second)] {
        let heard = members.heartbeat(&record(node, incarnation), LONG).await;
        assert_eq!(heard.expect("ok"), Heard::Yes);
    }
    assert_eq!(members.heartbeat(&record("a", first), LONG).await.expect("ok"), Heard::Replaced);
    let found = members.members().await.expect("reads");
    let records: Vec<_> = found.iter().map(|member| member.record.clone()).collect();
    assert_eq!(records, [record("a", second), record("b", first)]);
    assert!(found.iter().all(|member| member.alive && member.age < LONG));
    members.heartbeat(&record("b", first), Duration::from_millis(30)).await.expect("ok");
    let end = Instant::now() + LONG;
    while members.members().await.expect("reads")[1].alive {
        assert!(Instant::now() < end, "silence is not noticed");
        sleep(Duration::from_millis(5)).await;
    }

    // Reports.
    store.commit(Revision::ZERO, put([("x", 1)]), by("test")).await.expect("commits");
    let mut reported = members.reported();
    reported.mark_unchanged();
    let report = |node: &str, incarnation, revision, faults: &[&str]| Report {
        node: name(node),
        incarnation,
        revision: Revision(revision),
        faults: faults.iter().map(|fault| Fault::new("job/x", *fault)).collect(),
    };
    assert_eq!(members.report(&report("a", second, 1, &[])).await.expect("ok"), Heard::Yes);
    timeout(LONG, reported.changed()).await.expect("in time").expect("a hint");
    let before = members.reports().await.expect("reads");
    assert_eq!(before[0].report, report("a", second, 1, &[]));
    assert!(before[0].after.is_some_and(|after| after < LONG), "{before:?}");
    // The same again, later: what is wrong is news, the time is not.
    sleep(Duration::from_millis(5)).await;
    members.report(&report("a", second, 1, &["is slow"])).await.expect("ok");
    members.report(&report("b", first, 7, &[])).await.expect("ok");
    assert_eq!(members.report(&report("a", first, 1, &[])).await.expect("ok"), Heard::Replaced);
    let after = members.reports().await.expect("reads");
    assert_eq!(after[0].after, before[0].after);
    assert_eq!(after[0].report.faults, [Fault::new("job/x", "is slow")]);
    assert_eq!((after[1].report.revision, after[1].after), (Revision(7), None));

    // All of it at once.
    let round = members.round(&record("b", first), LONG).await.expect("ok");
    assert_eq!((round.heard, &round.reports), (Heard::Yes, &after));
    let alive: Vec<_> = round.members.iter().map(|m| (m.record.clone(), m.alive)).collect();
    assert_eq!(alive, [(record("a", second), true), (record("b", first), true)], "with what was just said");
    let round = members.round(&record("a", first), LONG).await.expect("ok");
    assert_eq!((round.heard, round.members.len(), round.reports.len()), (Heard::Replaced, 0, 0));

    // Goodbyes.
    members.leave(&name("a"), first).await.expect("ok");
    assert_eq!(members.members().await.expect("reads").len(), 2, "a later process has the name");
    members.leave(&name("a"), second).await.expect("ok");
    members.leave(&name("nobody"), second).await.expect("ok");
    let left = (members.members().await.expect("reads"), members.reports().await.expect("reads"));
    assert_eq!((left.0.len(), left.1.len()), (1, 1));
}
