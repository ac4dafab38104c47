//! Several nodes on one Redis: what one commits, the others see, in order and once, whatever breaks in between.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

use super::super::Redis;
use super::kit::{LONG, Node, Server, cluster};
use crate::catalog::Catalog;
use crate::clock::Clock;
use crate::name::Revision;
use crate::store::contract::{by, delete, put, value};
use crate::store::{CommitError, Store as _, StoreError};
use crate::{cache, lease, members, sessions, slots};

/// Every catalog that this node shows until it is at `end`.
async fn watched(node: Arc<Node>, end: u64) -> Vec<Arc<Catalog>> {
    let mut nudges = node.nudges();
    let mut seen = vec![node.load().await.expect("loads")];
    while seen.last().is_none_or(|catalog| catalog.revision.0 < end) {
        timeout(LONG, nudges.changed()).await.expect("in time").expect("a store");
        seen.push(node.load().await.expect("loads"));
    }
    seen
}

/// Commits `each` numbers, one after the other, and tells at which revision each arrived.
async fn write(node: Arc<Node>, writer: &'static str, each: i64) -> BTreeMap<u64, i64> {
    let mut written = BTreeMap::new();
    for number in 1..=each {
        let end = Instant::now() + LONG;
        loop {
            assert!(Instant::now() < end, "{writer} cannot write {number}: {node:?}");
            let at = node.load().await.expect("loads").revision;
            match node.commit(at, put([(writer, number)]), by(writer)).await {
                Ok(after) => {
                    written.insert(after.revision.0, number);
                    break;
                }
                Err(CommitError::Conflict { .. }) => {}
                Err(CommitError::Store(StoreError::Unavailable(error))) => {
                    assert!(!error.contains("not known"), "{error}");
                    node.connected().await;
                    tokio::task::yield_now().await;
                }
                Err(CommitError::Store(error)) => panic!("{error}"),
            }
        }
    }
    written
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_commits_of_two_writers_are_seen_in_order_and_once_though_connections_break() {
    const EACH: i64 = 500;
    let server = Server::redis().await;
    let nodes = [Arc::new(Node::join(&server.url()).await), Arc::new(Node::join(&server.url()).await)];
    let mut killer = server.client().await;
    let mut background = JoinSet::new();
    background.spawn(async move {
        loop {
            sleep(Duration::from_millis(40)).await;
            let mut kill = redis::cmd("CLIENT");
            kill.arg("KILL").arg("TYPE").arg("normal").arg("SKIPME").arg("yes");
            kill.exec_async(&mut killer).await.expect("kills");
        }
    });
    let work = async {
        tokio::join!(
            watched(nodes[0].clone(), 2 * EACH as u64),
            watched(nodes[1].clone(), 2 * EACH as u64),
            tokio::spawn(write(nodes[0].clone(), "one", EACH)),
            tokio::spawn(write(nodes[1].clone(), "two", EACH)),
        )
    };
    let (first, second, one, two) = timeout(LONG * 2, work).await.expect("in time");
    background.shutdown().await;
    let acknowledged = [("one", one.expect("writes")), ("two", two.expect("writes"))];

    nodes[0].connected().await;
    let entries = nodes[0].history(None, 10_000).await.expect("reads");
    let numbers: Vec<u64> = entries.iter().rev().map(|entry| entry.revision.0).collect();
    assert_eq!(numbers, (1..=2 * EACH as u64).collect::<Vec<_>>(), "each commit made one revision");
    let mut truth = vec![Catalog::default()];
    for entry in entries.iter().rev() {
        let after = entry.ops[0].after.clone().expect("a definition");
        let number = after.params.0["value"].as_i64().expect("a number");
        let (_, written) =
            acknowledged.iter().find(|(writer, _)| *writer == entry.note.author).expect("a writer");
        assert_eq!(written.get(&entry.revision.0), Some(&number), "{}", entry.revision);
        let mut catalog = truth.last().expect("one").clone();
        catalog.revision = entry.revision;
        catalog.definitions.insert(after.id.clone(), Arc::new(after));
        truth.push(catalog);
    }
    for seen in [first, second] {
        assert!(seen.windows(2).all(|pair| pair[0].revision <= pair[1].revision), "revisions go backwards");
        for catalog in seen {
            assert_eq!(*catalog, truth[catalog.revision.0 as usize], "a catalog that never was");
        }
    }
    for node in &nodes {
        assert_eq!((node.health().alarms, node.health().resyncs), (0, 0), "{node:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_who_write_at_once_one_is_told() {
    let server = Server::redis().await;
    let nodes = [Node::join(&server.url()).await, Node::join(&server.url()).await];
    for round in 0..50 {
        for node in &nodes {
            node.sees(round).await;
        }
        let [one, two] = [("one", &nodes[0]), ("two", &nodes[1])]
            .map(|(name, node)| node.commit(Revision(round), put([(name, round as i64)]), by(name)));
        let (one, two) = tokio::join!(one, two);
        let conflict = match (&one, &two) {
            (Ok(_), Err(conflict)) | (Err(conflict), Ok(_)) => conflict,
            _ => panic!("{one:?} {two:?}"),
        };
        let CommitError::Conflict { expected, current } = conflict else { panic!("{conflict}") };
        assert_eq!((expected.0, current.0), (round, round + 1));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_missed_more_than_the_history_keeps_fetches_everything() {
    let server = Server::redis().await;
    let url = server.url();
    let late = [Node::join(&url).await.stop().await, Node::join(&url).await.stop().await];
    let folder = tempfile::tempdir().expect("a folder");
    let writer =
        Redis::open_with(&url, &cluster("c"), folder.path(), Clock::System, 1_000).await.expect("opens");
    let mut at = Revision::ZERO;
    let mut write = async |number: i64| {
        let name = format!("d{}", number % 100);
        let change = if number % 7 == 0 { delete([&name]) } else { put([(&name, number)]) };
        at = writer.commit(at, change, by("test")).await.expect("commits").revision;
    };
    for number in 1..=500 {
        write(number).await;
    }
    let [one, two] = late;
    let one = Node::try_join(&url, one).await.expect("opens");
    assert_eq!((one.revision().await, one.health().resyncs), (500, 0), "500 are followed one by one");
    for number in 501..=5_000 {
        write(number).await;
    }
    let two = Node::try_join(&url, two).await.expect("opens");
    assert_eq!((two.revision().await, two.health().resyncs), (5_000, 1), "5,000 are not");
    one.sees(5_000).await;
    let truth = writer.load().await.expect("loads");
    assert_eq!(one.load().await.expect("loads"), truth);
    assert_eq!(two.load().await.expect("loads"), truth);
    let kept = two.history(None, 10_000).await.expect("reads").len();
    assert!((1_000..1_200).contains(&kept), "{kept}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_read_is_one_faulty_definition() {
    let server = Server::redis().await;
    let node = Node::join(&server.url()).await;
    node.commit(Revision::ZERO, put([("a", 1), ("b", 1), ("c", 1)]), by("test")).await.expect("commits");
    server.tell::<()>("HSET {zeugma:c}:obj job/b {\"id\":\"job/other\"} job/c \u{1}").await;
    let other = Node::join(&server.url()).await;
    let health = other.health();
    assert_eq!((health.unreadable, health.alarms), (vec!["job/b".into(), "job/c".into()], 1));
    assert_eq!(value(&other.load().await.expect("loads"), "a"), Some(1.into()));
    other.commit(Revision(1), put([("b", 2)]), by("test")).await.expect("commits");
    other.commit(Revision(2), delete(["c"]), by("test")).await.expect("commits");
    assert_eq!(other.health().unreadable, Vec::<String>::new());
    node.sees(3).await;
    assert_eq!(node.load().await.expect("loads"), other.load().await.expect("loads"));

    // An entry of the history that cannot be read: what it did is in the definitions.
    let mut broken = redis::pipe();
    broken.atomic().cmd("XADD").arg("{zeugma:c}:log").arg("4-0").arg("ops").arg("{").ignore();
    broken.hset("{zeugma:c}:head", "rev", 4).ignore();
    broken.exec_async(&mut server.client().await).await.expect("breaks");
    for node in [&node, &other] {
        node.sees(4).await;
        node.connected().await;
        assert!(node.health().resyncs == 1 && node.health().last_alarm.is_some());
    }
    node.commit(Revision(4), put([("b", 3)]), by("test")).await.expect("commits");
    other.sees(5).await;
    let error = node.history(None, 9).await.expect_err("broken");
    assert!(error.to_string().contains("revision 4 of the history"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_know_of_each_other_and_lease_what_only_one_may_do() {
    let server = Server::redis().await;
    let node = Node::join(&server.url()).await;
    members::contract::keeps(&*node, &*node).await;
    lease::contract::keeps(&*node).await;
    slots::contract::keeps(&*node, &*node, &*node).await;
    crate::budgets::contract::keeps(&*node).await;
    crate::journal::contract::keeps(&*node.journal()).await;
    let other = Node::join(&server.url()).await;
    sessions::contract::keeps(&*node.sessions(), &*other.sessions()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn services_share_caches() {
    let server = Server::redis().await;
    let node = Node::join(&server.url()).await;
    cache::contract::keeps(&*node).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_idle_node_asks_for_little() {
    let server = Server::redis().await;
    let _node = Node::join(&server.url()).await;
    let mut client = server.client().await;
    let mut processed = async || {
        let stats: String =
            redis::cmd("INFO").arg("commandstats").query_async(&mut client).await.expect("answers");
        let calls = |line: &str| line.split_once("calls=")?.1.split(',').next()?.parse::<u64>().ok();
        stats.lines().filter_map(calls).sum::<u64>()
    };
    let before = processed().await;
    sleep(Duration::from_secs(4)).await;
    // One of them is the question itself.
    let asked = processed().await - before - 1;
    assert!(asked <= 12, "{asked} commands in 4 s");
}
