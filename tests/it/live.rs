//! Everything is changed while it runs: no request is lost, and nothing that fails takes anything else down.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use actors::supervisor::ActorState;
use actors::worker::Verb;
use reqwest::StatusCode;
use zeugma::definitions::Options;

use crate::kit::node::{TestNode, until};

const LIMIT: Duration = Duration::from_secs(10);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_changes_under_load_lose_no_request() {
    let node = Arc::new(TestNode::start().await);
    let bundle = |n: usize| {
        let service = if n.is_multiple_of(2) { "zeugma.helpers.echo" } else { "who" };
        format!(
            "channels: [{{name: c, type: rest, path: /c, service: {service}, response_headers: {{x-change: '{n}'}}}}]"
        )
    };
    node.apply(&bundle(0)).await;
    let (done, answered) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let load: Vec<_> = (0..4)
        .map(|_| {
            let (node, done, answered) = (node.clone(), done.clone(), answered.clone());
            tokio::spawn(async move {
                let (mut sent, mut seen) = (0, 0);
                while !done.load(Ordering::SeqCst) {
                    sent += 1;
                    let answer = node.post("/c").body("nobody").send().await.expect("an answer");
                    assert_eq!(answer.status(), StatusCode::OK);
                    let change = answer.headers()["x-change"]
                        .to_str()
                        .expect("text")
                        .parse::<usize>()
                        .expect("a number");
                    assert!(change >= seen, "an older revision after a newer one: {change} < {seen}");
                    seen = change;
                    assert_eq!(answer.text().await.expect("text"), "nobody");
                    answered.fetch_add(1, Ordering::SeqCst);
                }
                sent
            })
        })
        .collect();
    for n in 1..=1000 {
        node.apply(&bundle(n)).await;
        // The writer's receipt means that requests see it: at once, and on the first try.
        if n.is_multiple_of(50) {
            let answer = node.get("/c").send().await.expect("an answer");
            assert_eq!(answer.headers()["x-change"], n.to_string().as_str());
        }
    }
    done.store(true, Ordering::SeqCst);
    let mut sent = 0;
    for task in load {
        sent += task.await.expect("no request failed");
    }
    assert_eq!(sent, answered.load(Ordering::SeqCst));
    assert!(sent >= 100, "there was next to no load: {sent} requests");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_does_not_start_leaves_the_rest_and_starts_at_last() {
    let node = TestNode::start().await;
    let mood = tempfile::TempDir::new().expect("a folder");
    let refuses = mood.path().join("refuses");
    std::fs::write(&refuses, "").expect("written");
    let bundle = format!(
        "connections: [{{name: m, type: moody, refuses_if: {0}/refuses, away_if: {0}/away, panics_if: {0}/panics}}]
channels: [{{name: p, type: rest, path: /p, service: zeugma.ping}}]",
        mood.path().display()
    );
    let outcome = node.try_apply(&bundle).await.expect("it is stored");
    let receipt = outcome.receipt;
    assert!(receipt.settled, "the revision is served: {receipt:?}");
    let faults = &receipt.nodes[0].faults;
    assert!(faults.len() == 1 && faults[0].at.contains("connection/m"), "{faults:?}");
    assert!(faults[0].message.contains("it is in the mood not to start"), "{faults:?}");
    assert_eq!(node.get("/p").send().await.expect("an answer").status(), StatusCode::OK);

    std::fs::remove_file(&refuses).expect("removed");
    let state = |name: &str| {
        let all = node.app().supervisor.list();
        all.into_iter().find(|a| a.id.to_string() == name).map(|a| a.state)
    };
    until("it starts by itself", async || state("connection/m") == Some(ActorState::Running)).await;

    // The other side goes away and comes back.
    std::fs::write(mood.path().join("away"), "").expect("written");
    until("it is seen to be away", async || state("connection/m") == Some(ActorState::Down)).await;
    assert!(node.metrics().contains(r#"zeugma_connection_up{name="m"} 0"#));
    std::fs::remove_file(mood.path().join("away")).expect("removed");
    until("it is seen to be back", async || state("connection/m") == Some(ActorState::Running)).await;

    // Its actor dies and is started anew.
    std::fs::write(mood.path().join("panics"), "").expect("written");
    until("the death is counted", async || {
        !node.metrics().contains(r#"zeugma_actor_restarts_total{family="connection",name="m"} 0"#)
    })
    .await;
    std::fs::remove_file(mood.path().join("panics")).expect("removed");
    until("it runs again", async || state("connection/m") == Some(ActorState::Running)).await;
    assert_eq!(node.get("/p").send().await.expect("an answer").status(), StatusCode::OK);
}

/// What never started has no numbers left when it is deleted.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_never_started_is_forgotten_with_its_definition() {
    let node = TestNode::start().await;
    let mood = tempfile::NamedTempFile::new().expect("a file");
    let path = mood.path().display();
    let bundle = format!(
        "connections: [{{name: never, type: moody, refuses_if: {path}, away_if: {path}, panics_if: {path}}}]"
    );
    assert_eq!(node.try_apply(&bundle).await.expect("it is stored").receipt.nodes[0].faults.len(), 1);
    assert!(node.metrics().contains("name=\"never\""));
    let (id, note) = ("connection/never".parse().expect("an id"), config::Note::default());
    node.app().definitions.delete(id, Options::default(), note).await.expect("deleted");
    assert!(!node.metrics().contains("name=\"never\""), "{}", node.metrics());
}

/// What is tried again is tried aside: other changes do not wait until it has given up, which it does after 15 seconds.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_hangs_while_it_is_tried_again_holds_up_nothing_else() {
    let node = TestNode::start().await;
    let mood = tempfile::TempDir::new().expect("a folder");
    let (refuses, hangs) = (mood.path().join("refuses"), mood.path().join("hangs"));
    std::fs::write(&refuses, "").expect("written");
    std::fs::write(&hangs, "").expect("written");
    let folder = mood.path().display();
    let moody = format!(
        "connections: [{{name: m, type: moody, refuses_if: {folder}/refuses, hangs_if: {folder}/hangs, \
         away_if: {folder}/away, panics_if: {folder}/panics}}]"
    );
    let runs = |name: &str| {
        let all = node.app().supervisor.list();
        all.into_iter().any(|a| a.id.to_string() == name && a.state == ActorState::Running)
    };
    let outcome = node.try_apply(&moody).await.expect("it is stored");
    assert_eq!(outcome.receipt.nodes[0].faults.len(), 1);
    std::fs::remove_file(&refuses).expect("removed");
    until("it hangs", async || mood.path().join("hangs.seen").exists()).await;
    let receipt = node.try_apply("channels: [{name: p, type: rest, path: /p, service: zeugma.ping}]").await;
    let receipt = receipt.expect("it is stored").receipt;
    assert!(receipt.settled, "{receipt:?}");
    assert_eq!(node.get("/p").send().await.expect("an answer").status(), StatusCode::OK);

    // Others that start at last, or come back, make what failed due again: not what is under way.
    let other = mood.path().join("other");
    std::fs::write(&other, "").expect("written");
    let path = other.display();
    let other_moody = format!(
        "connections: [{{name: o, type: moody, refuses_if: {path}, away_if: {folder}/x, panics_if: {folder}/x}}]"
    );
    node.try_apply(&other_moody).await.expect("it is stored");
    std::fs::remove_file(&other).expect("removed");
    until("the other one starts", async || runs("connection/o")).await;
    // By the time that this is live, whatever the other one has set off has been done.
    node.try_apply("channels: [{name: q, type: rest, path: /q, service: zeugma.ping}]")
        .await
        .expect("stored");
    let starts = std::fs::read_to_string(mood.path().join("hangs.seen")).expect("it hangs");
    assert_eq!(starts.lines().count(), 1, "it was begun again");

    std::fs::remove_file(&hangs).expect("removed");
    until("it starts at last", async || runs("connection/m")).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_operators_pause_holds_until_resume_even_over_a_change() {
    let node = TestNode::start().await;
    node.apply("channels: [{name: c, type: rest, path: /c, service: sleepy}]").await;
    let id = "channel/c".parse().expect("an id");
    let tell = async |verb| node.app().supervisor.tell(&id, verb, LIMIT).await;
    let status = async || node.post("/c").body("0").send().await.expect("an answer").status();
    tell(Verb::Pause).await.expect("paused");
    assert_eq!(status().await, StatusCode::SERVICE_UNAVAILABLE);
    node.apply("channels: [{name: c, type: rest, path: /c, service: sleepy, deadline: 20s}]").await;
    assert_eq!(status().await, StatusCode::SERVICE_UNAVAILABLE, "a change must not end a pause");
    tell(Verb::Restart).await.expect("restarted");
    assert_eq!(status().await, StatusCode::SERVICE_UNAVAILABLE, "a restart must not end a pause");
    tell(Verb::Resume).await.expect("resumed");
    assert_eq!(status().await, StatusCode::OK);

    let inside = tokio::spawn(node.post("/c").body("300").send());
    until("one request is inside", async || {
        node.metrics().contains(r#"zeugma_in_flight{family="channel",name="c"} 1"#)
    })
    .await;
    let report = tell(Verb::Drain).await.expect("drained");
    assert_eq!(report.in_flight, 0);
    assert_eq!(
        inside.await.expect("joined").expect("an answer").status(),
        StatusCode::OK,
        "it was let finish"
    );
    assert_eq!(status().await, StatusCode::SERVICE_UNAVAILABLE);
    tell(Verb::Resume).await.expect("resumed");
    let stats = tell(Verb::Stats).await.expect("stats");
    assert!(stats.totals.ok >= 2 && stats.totals.failed >= 4, "{stats:?}");
    assert!(tell(Verb::Ping).await.is_ok());
    let nobody = "channel/none".parse().expect("an id");
    assert!(node.app().supervisor.tell(&nobody, Verb::Ping, LIMIT).await.is_err());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restart_of_the_node_gives_the_same_catalog() {
    let node = TestNode::start().await;
    let applied = node
        .apply(
            "security: [{name: clerk, type: basic, username: clerk, password: s3cret}]
channels: [{name: w, type: rest, path: /w, service: who, security: clerk}]",
        )
        .await;
    let folder = node.stop().await;
    let node = TestNode::start_in(folder, |_| {}).await;
    assert_eq!(node.app().live.now().revision, applied.revision);
    let answer = node.get("/w").basic_auth("clerk", Some("s3cret")).send().await.expect("an answer");
    assert_eq!(answer.text().await.expect("text"), "clerk");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_lets_requests_finish() {
    let node = TestNode::start().await;
    node.apply("channels: [{name: c, type: rest, path: /c, service: sleepy}]").await;
    let inside = tokio::spawn(node.post("/c").body("400").send());
    until("one request is inside", async || {
        node.metrics().contains(r#"zeugma_in_flight{family="channel",name="c"} 1"#)
    })
    .await;
    node.stop().await;
    assert_eq!(inside.await.expect("joined").expect("an answer").status(), StatusCode::OK);
}
