//! Redis goes away, comes back, comes back with less or with nothing; answers get lost.

use std::time::Duration;

use tokio::time::{Instant, timeout};

use super::super::scripts::{self, Commit, Outcome};
use super::super::{Redis, State};
use super::kit::{LONG, Node, Server, cluster};
use super::proxy::{Line, Proxy};
use crate::clock::Clock;
use crate::name::Revision;
use crate::store::contract::{by, put, value};
use crate::store::{CommitError, Store as _, StoreError};

async fn commit(node: &Node, name: &str, number: i64) -> u64 {
    let at = node.load().await.expect("loads").revision;
    node.commit(at, put([(name, number)]), by("test")).await.expect("commits").revision.0
}

async fn refused(node: &Node) -> String {
    let begin = Instant::now();
    let at = node.load().await.expect("loads").revision;
    match node.commit(at, put([("refused", 1)]), by("test")).await {
        Err(CommitError::Store(StoreError::Unavailable(error))) => {
            assert!(begin.elapsed() < Duration::from_secs(1), "{:?}: {error}", begin.elapsed());
            error
        }
        other => panic!("not refused: {other:?}"),
    }
}

fn is_away(state: &State) -> bool {
    matches!(state, State::Away { .. })
}

fn is_refused(state: &State) -> bool {
    matches!(state, State::Refused { .. })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_redis_that_comes_back_with_its_data_is_caught_up_with() {
    let mut server = Server::redis().await;
    let nodes = [Node::join(&server.url()).await, Node::join(&server.url()).await];
    for number in 1..=3 {
        commit(&nodes[0], "a", number).await;
    }
    nodes[1].sees(3).await;
    server.kill();
    for node in &nodes {
        node.becomes(is_away).await;
        assert_eq!(node.revision().await, 3);
        assert!(refused(node).await.contains("cannot be reached"));
    }
    server.start().await;
    for node in &nodes {
        node.connected().await;
        assert_eq!((node.revision().await, node.health().alarms, node.health().resyncs), (3, 0, 0));
    }
    assert_eq!(commit(&nodes[1], "a", 4).await, 4);
    nodes[0].sees(4).await;
    assert_eq!(nodes[0].history(None, 9).await.expect("reads").len(), 4);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_without_its_data_changes_nothing_until_it_is_restored() {
    let mut server = Server::redis().await;
    let nodes = [Node::join(&server.url()).await, Node::join(&server.url()).await];
    commit(&nodes[0], "a", 1).await;
    commit(&nodes[0], "b", 2).await;
    nodes[1].sees(2).await;
    server.kill();
    server.forget();
    server.start().await;
    for node in &nodes {
        node.becomes(is_refused).await;
        assert_eq!(value(&node.load().await.expect("loads"), "b"), Some(2.into()));
        assert!(refused(node).await.contains("Redis is empty"));
    }
    // A node that is new begins something of its own there; that does not carry the others away.
    let new = Node::join(&server.url()).await;
    assert_eq!(commit(&new, "new", 1).await, 1);
    nodes[0]
        .becomes(|state| matches!(state, State::Refused { error, .. } if error.contains("another")))
        .await;

    let restored = nodes[1].restore(by("operator")).await.expect("restores");
    assert_eq!((restored.revision, value(&restored, "b")), (Revision(1_002), Some(2.into())));
    for node in [&nodes[0], &nodes[1], &new] {
        node.sees(1_002).await;
        node.connected().await;
        assert_eq!(node.load().await.expect("loads"), restored);
    }
    assert_eq!(commit(&new, "c", 3).await, 1_003);
    nodes[0].sees(1_003).await;
    assert!(nodes[0].health().alarms >= 1 && new.health().alarms == 1);
    let entries = new.history(None, 9).await.expect("reads");
    assert_eq!(entries[1].note, by("operator"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn data_that_goes_while_everybody_watches_is_missed_at_once_and_may_be_given_up() {
    let server = Server::redis().await;
    let node = Node::join(&server.url()).await;
    commit(&node, "a", 1).await;
    server.tell::<()>("DEL {zeugma:c}:obj").await;
    node.becomes(is_refused).await;
    assert!(refused(&node).await.contains("lost part"));
    server.tell::<()>("FLUSHALL").await;
    node.becomes(|state| matches!(state, State::Refused { error, .. } if error.contains("empty"))).await;
    assert_eq!(node.revision().await, 1);
    node.flush(LONG).await;

    let accepted = node.accept(by("operator")).await.expect("accepts");
    assert_eq!((accepted.revision, accepted.definitions.len()), (Revision(1_001), 0));
    node.connected().await;
    assert_eq!(commit(&node, "b", 1).await, 1_002);
    let folder = node.stop().await;
    let kept = std::fs::read_to_string(folder.path().join("last-good.given-up.json")).expect("is kept");
    assert!(kept.contains("job/a"), "{kept}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_that_went_back_goes_on_above_what_was_lost() {
    let mut server = Server::redis().await;
    let nodes = [Node::join(&server.url()).await, Node::join(&server.url()).await];
    commit(&nodes[0], "a", 1).await;
    commit(&nodes[0], "a", 2).await;
    let data = server.folder.path().join("appendonlydir");
    let backup = server.folder.path().join("backup");
    std::fs::create_dir(&backup).expect("a folder");
    for file in std::fs::read_dir(&data).expect("data").flatten() {
        std::fs::copy(file.path(), backup.join(file.file_name())).expect("copies");
    }
    commit(&nodes[0], "a", 3).await;
    commit(&nodes[0], "lost", 4).await;
    nodes[1].sees(4).await;
    for node in &nodes {
        node.flush(LONG).await;
    }
    server.kill();
    server.forget();
    std::fs::rename(&backup, &data).expect("the backup");
    server.start().await;
    for node in &nodes {
        node.sees(1_004).await;
        node.connected().await;
        let catalog = node.load().await.expect("loads");
        assert_eq!((value(&catalog, "a"), value(&catalog, "lost")), (Some(2.into()), None));
        assert!(node.health().last_alarm.is_some());
    }
    let before = nodes[0].revision().await;
    assert_eq!(commit(&nodes[1], "a", 5).await, nodes[1].revision().await);
    nodes[0].sees(before + 1).await;
    assert_eq!(nodes[0].load().await.expect("loads"), nodes[1].load().await.expect("loads"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_while_redis_pauses_is_answered_with_what_became_of_it() {
    let server = Server::redis().await;
    let node = Node::join(&server.url()).await;
    commit(&node, "a", 1).await;
    server.tell::<()>("CLIENT PAUSE 3000 ALL").await;
    let begin = Instant::now();
    assert_eq!(timeout(LONG, commit(&node, "a", 2)).await.expect("in time"), 2);
    assert!(begin.elapsed() > Duration::from_secs(2), "{:?}", begin.elapsed());
    node.connected().await;
    assert_eq!(commit(&node, "a", 3).await, 3);
    assert_eq!(node.history(None, 9).await.expect("reads").len(), 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_whose_answer_is_lost_has_happened_once() {
    let server = Server::redis().await;
    for (line, number) in [(Line::LosesAnswers, 1), (Line::IsMute, 2)] {
        let proxy = Proxy::to(server.port).await;
        let node = Node::join(&proxy.url()).await;
        // Its scripts are known to Redis and its connection is open, so that the commit alone is what gets lost.
        commit(&node, "before", number).await;
        proxy.now(line);
        let at = commit(&node, "a", number).await;
        assert_eq!(at, number as u64 * 2);
        node.connected().await;
        assert_eq!(node.history(None, 9).await.expect("reads").len() as u64, at);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_that_was_given_up_cannot_happen_later() {
    let server = Server::redis().await;
    let node = Node::join(&server.url()).await;
    let mut client = server.client().await;
    let found = scripts::head(&mut client, &node.inner.keys).await.expect("a head");
    let late = Commit {
        id: scripts::commit_id(),
        lineage: found.lineage,
        expect: Revision::ZERO,
        note: b"{\"author\":\"late\"}".to_vec(),
        ops: b"[]".to_vec(),
        objects: vec![("job/late".into(), b"{}".to_vec())],
        keep: 10,
    };
    assert_eq!(late.verify(&mut client, &node.inner.keys).await.expect("answers"), Outcome::Void);
    assert_eq!(late.send(&mut client, &node.inner.keys).await.expect("answers"), Outcome::Void);
    assert_eq!(server.tell::<u64>("HLEN {zeugma:c}:obj").await, 0);
    assert_eq!(commit(&node, "a", 1).await, 1);
    let again = Commit { id: scripts::commit_id(), ..late };
    assert_eq!(
        again.verify(&mut client, &node.inner.keys).await.expect("answers"),
        Outcome::Conflict(Revision(1))
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_starts_from_its_disk_when_redis_is_away_and_catches_up() {
    let mut server = Server::redis().await;
    let node = Node::join(&server.url()).await;
    commit(&node, "a", 1).await;
    let folder = node.stop().await;
    let other = Node::join(&server.url()).await;
    commit(&other, "a", 2).await;
    server.kill();

    let node = Node::try_join(&server.url(), folder).await.expect("starts");
    assert!(is_away(&node.state().borrow()));
    assert_eq!(value(&node.load().await.expect("loads"), "a"), Some(1.into()));
    refused(&node).await;
    let new = Node::try_join(&server.url(), tempfile::tempdir().expect("a folder")).await;
    assert!(new.expect_err("nothing to begin with").to_string().contains("no earlier catalog"));

    server.start().await;
    node.connected().await;
    assert_eq!(value(&node.load().await.expect("loads"), "a"), Some(2.into()));
    let folder = node.stop().await;
    let name = cluster("d");
    let error = Redis::open(&server.url(), &name, folder.path(), Clock::System).await.expect_err("another's");
    assert!(error.to_string().contains("cluster c"), "{error}");
}
