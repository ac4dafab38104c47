//! One node fires jobs of every kind, by every rule, into services that write down what they are called with.

use std::time::Duration;

use actors::worker::Verb;
use config::slots::{Outcome, Record};
use config::{DefId, Family, Name};

use crate::kit::node::{TestNode, until};
use crate::kit::services::noted;

/// The history of a job, newest first.
async fn history(node: &TestNode, name: &str) -> Vec<Record> {
    let name: Name = name.parse().expect("a name");
    let scheduler = node.app().scheduler.as_ref().expect("it has begun");
    scheduler.slots().history(&name, 100).await.expect("it answers")
}

async fn count(node: &TestNode, name: &str, outcome: Outcome) -> usize {
    history(node, name).await.iter().filter(|record| record.outcome == outcome).count()
}

async fn has(node: &TestNode, name: &str, outcome: Outcome, many: usize) {
    until(&format!("{many} slots of {name} are {outcome:?}"), async || {
        count(node, name, outcome).await >= many
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_interval_job_fires_into_its_service_until_it_has_run_out_and_stays_so() {
    let node = TestNode::start().await;
    node.apply(
        "jobs:\n- {name: My Sample, type: interval, service: notes, every: 200ms, repeats: 3, extra: 'of sample, \"as it is\"'}",
    )
    .await;
    has(&node, "My Sample", Outcome::Done, 3).await;
    let told = noted("of sample");
    assert_eq!(told.len(), 3, "{told:?}");
    assert!(told.iter().all(|note| note.starts_with("My Sample scheduler interval ")), "{told:?}");
    assert!(told.iter().all(|note| note.ends_with("of sample, \"as it is\"")), "{told:?}");
    // Slots are exactly as far apart as the plan says, whenever they were fired, and each has its cid.
    let all = history(&node, "My Sample").await;
    assert_eq!(all.len(), 3, "{all:?}");
    for pair in all.windows(2) {
        assert_eq!((pair[0].slot - pair[1].slot).num_microseconds(), Some(200_000));
    }
    for record in &all {
        assert!(record.started >= Some(record.slot) && record.ended >= record.started, "{record:?}");
        assert!(
            noted(record.cid.as_deref().expect("a cid")).len() == 1 && record.attempts == 1,
            "{record:?}"
        );
    }
    let name: Name = "My Sample".parse().expect("a name");
    let spent = async |node: &TestNode| {
        let scheduler = node.app().scheduler.as_ref().expect("it has begun").clone();
        scheduler.slots().states(std::slice::from_ref(&name)).await.expect("answers")[0].expect("known").spent
    };
    assert!(spent(&node).await);
    // Not by a start of the node either.
    let node = TestNode::start_in(node.stop().await, |_| {}).await;
    assert!(spent(&node).await);
    node.apply("jobs:\n- {name: other, type: interval, service: notes, every: 200ms, extra: 'of the other'}")
        .await;
    has(&node, "other", Outcome::Done, 2).await;
    assert_eq!(noted("of sample").len(), 3);
    // With another plan it is active again, and its history goes on.
    node.apply("jobs:\n- {name: My Sample, type: interval, service: notes, every: 100ms, repeats: 2, extra: 'of sample'}").await;
    has(&node, "My Sample", Outcome::Done, 5).await;
    let text = node.metrics();
    assert!(text.contains("zeugma_job_owner{name=\"other\"} 1"), "{text}");
    assert!(text.contains("zeugma_job_slots_total{name=\"My Sample\",outcome=\"fired\"} 2"), "{text}");
    assert!(text.contains("zeugma_job_next_slot_seconds{name=\"other\"}"), "{text}");
    assert!(!text.contains("zeugma_job_lateness_seconds_count 0\n"), "{text}");
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_missed_while_the_node_was_down_is_skipped_or_made_up_for_as_each_job_says() {
    let node = TestNode::start().await;
    let job = |name: &str, more: &str| {
        format!(
            "- {{name: {name}, type: interval, service: notes, every: 500ms, extra: 'by {name}'{more}}}\n"
        )
    };
    let jobs = [
        job("skips", ""), // what is done if nothing is said
        job("once", ", missed: once"),
        job("all", ", missed: all"),
        job("recent", ", missed: all, window: 1s"),
    ];
    node.apply(&format!("jobs:\n{}", jobs.concat())).await;
    for name in ["skips", "once", "all", "recent"] {
        has(&node, name, Outcome::Done, 1).await;
    }
    let folder = node.stop().await;
    tokio::time::sleep(Duration::from_secs(4)).await; // slots go by
    let node = TestNode::start_in(folder, |_| {}).await;
    for name in ["skips", "once", "all", "recent"] {
        has(&node, name, Outcome::Done, 4).await;
    }
    // Every slot is accounted for: one follows the other without a gap.
    for name in ["skips", "once", "all", "recent"] {
        let mut all = history(&node, name).await;
        all.reverse();
        for pair in all.windows(2) {
            let gap = pair[1].slot - pair[0].until.unwrap_or(pair[0].slot);
            assert_eq!(gap.num_milliseconds(), 500, "{name}: {pair:?}");
        }
        let missed: u64 = all
            .iter()
            .filter(|record| record.why.as_deref().is_some_and(|why| why.starts_with("missed")))
            .map(|record| record.slots)
            .sum();
        match name {
            "all" => assert_eq!(missed, 0, "{all:?}"),
            _ => assert!(missed >= 3, "{name}: {all:?}"),
        }
    }
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_that_has_not_ended_is_overlapped_waited_for_or_ended_as_each_job_says() {
    let node = TestNode::start().await;
    let job = |overlap: &str| {
        let said = match overlap {
            "default" => String::new(),
            overlap => format!(", overlap: {overlap}"),
        };
        format!(
            "- {{name: {overlap}, type: interval, service: slow-note, every: 200ms, repeats: 6, extra: 'overlap {overlap} '{said}}}\n"
        )
    };
    let all = ["default", "allow", "skip", "queue-one", "cancel-old"];
    let jobs: String = all.map(job).concat();
    node.apply(&format!("jobs:\n{jobs}")).await;
    let ended = async |name: &str| {
        let all = history(&node, name).await;
        let over = |record: &Record| record.outcome != Outcome::Running;
        all.iter().map(|record| record.slots).sum::<u64>() == 6 && all.iter().all(over)
    };
    for name in all {
        until(&format!("{name} is over"), async || ended(name).await).await;
    }
    for name in ["default", "allow"] {
        assert_eq!(count(&node, name, Outcome::Done).await, 6);
        let all = history(&node, name).await;
        assert!(all.windows(2).any(|pair| pair[0].started < pair[1].ended), "some at once: {all:?}");
    }
    for name in ["skip", "queue-one"] {
        let all = history(&node, name).await;
        let done: Vec<_> = all.iter().filter(|record| record.outcome == Outcome::Done).collect();
        assert!(done.len() < 6 && done.len() >= 2, "{name}: {all:?}");
        for pair in done.windows(2) {
            assert!(pair[1].ended <= pair[0].started, "two at once: {pair:?}");
        }
        let skipped: Vec<_> = all.iter().filter(|record| record.outcome == Outcome::Skipped).collect();
        assert!(
            skipped.iter().all(|r| r.why.as_deref().is_some_and(|why| why.starts_with("overlap"))),
            "{all:?}"
        );
    }
    // What waited for the run is fired after it, so the last slot is not lost.
    assert_eq!(history(&node, "queue-one").await[0].outcome, Outcome::Done);
    let all = history(&node, "cancel-old").await;
    assert_eq!(all[0].outcome, Outcome::Done, "{all:?}");
    assert!(all[1..].iter().any(|record| record.outcome == Outcome::Cancelled), "{all:?}");
    assert_eq!(noted("overlap cancel-old ").len(), 6, "each has begun");
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_service_that_fails_is_called_again_and_others_hear_how_it_ended() {
    let node = TestNode::start().await;
    node.apply(
        "jobs:\n\
         - {name: patient, type: interval, service: fails-twice, every: 10s, repeats: 1, extra: 'patience', retry: {attempts: 3, wait: 10ms}, on_success: notes}\n\
         - {name: hasty, type: interval, service: fails-twice, every: 10s, repeats: 1, extra: 'haste', on_failure: notes}\n\
         - {name: late, type: interval, service: slow-note, every: 10s, repeats: 1, extra: 'lateness', timeout: 50ms}\n",
    )
    .await;
    has(&node, "patient", Outcome::Done, 1).await;
    has(&node, "hasty", Outcome::Failed, 1).await;
    has(&node, "late", Outcome::Failed, 1).await;
    assert_eq!(history(&node, "patient").await[0].attempts, 3);
    let failed = history(&node, "hasty").await.remove(0);
    assert!(
        failed.attempts == 1 && failed.why.as_deref().is_some_and(|why| why.contains("not yet")),
        "{failed:?}"
    );
    let late = history(&node, "late").await.remove(0);
    assert!(late.why.as_deref().is_some_and(|why| why.contains("took too long")), "{late:?}");
    until("both have followed up", async || {
        noted("\"outcome\":\"done\"").len() == 1 && noted("\"outcome\":\"failed\"").len() == 1
    })
    .await;
    let told = noted("\"outcome\":\"failed\"").remove(0);
    assert!(told.contains("\"job\":\"hasty\"") && told.contains("not yet"), "{told}");
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_operator_pauses_a_job_runs_it_by_hand_and_an_edit_retires_its_plan() {
    let node = TestNode::start().await;
    let id: DefId = DefId::new(Family::Job, "held".parse().expect("a name"));
    node.apply("jobs:\n- {name: held, type: interval, service: notes, every: 100ms, extra: 'old plan'}")
        .await;
    has(&node, "held", Outcome::Done, 2).await;
    let limit = Duration::from_secs(5);
    let report = node.app().supervisor.tell(&id, Verb::Stats, limit).await.expect("answers");
    assert!(report.more["owner"] == true && report.more["fired"].as_u64() >= Some(2), "{report:?}");
    node.app().supervisor.tell(&id, Verb::Pause, limit).await.expect("pauses");
    has(&node, "held", Outcome::Skipped, 2).await;
    let all = history(&node, "held").await;
    let skipped = all.iter().find(|record| record.outcome == Outcome::Skipped).expect("one");
    assert_eq!(skipped.why.as_deref(), Some("paused"));
    node.app().supervisor.tell(&id, Verb::Resume, limit).await.expect("resumes");

    // An edit retires the plan in the same commit.
    node.apply("jobs:\n- {name: held, type: one-time, service: notes, start: 2090-01-01T00:00:00Z, extra: 'new plan'}").await;
    let before = noted("old plan").len();
    let scheduler = node.app().scheduler.as_ref().expect("it has begun").clone();
    let cid = scheduler.run(&id.name).await.expect("it runs");
    until("it has run", async || noted(cid.as_str()).len() == 1).await;
    assert!(noted(cid.as_str())[0].contains("one-time"));
    until("its end is written down", async || {
        let all = history(&node, "held").await;
        all[0].manual && all[0].outcome == Outcome::Done && all[0].cid.as_deref() == Some(cid.as_str())
    })
    .await;
    assert_eq!(noted("old plan").len(), before, "the old plan fires no more");
    let unknown = scheduler.run(&"unknown".parse().expect("a name")).await.expect_err("there is none");
    assert!(unknown.to_string().contains("there is no job"), "{unknown}");
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn jitter_spreads_slots_and_what_is_deleted_fires_no_more() {
    let node = TestNode::start().await;
    node.apply(
        "jobs:\n- {name: spread, type: interval, service: notes, every: 200ms, jitter: 150ms, extra: 'by spread'}",
    )
    .await;
    has(&node, "spread", Outcome::Done, 12).await;
    let all = history(&node, "spread").await;
    let late = |r: &Record| r.started.map(|at| (at - r.slot).num_milliseconds());
    let late: Vec<i64> = all.iter().filter_map(late).collect();
    assert!(late.iter().max() > Some(&40) && late.iter().min() < Some(&110), "{late:?}");
    for pair in all.windows(2) {
        assert_eq!((pair[0].slot - pair[1].slot).num_milliseconds(), 200, "slots themselves are not moved");
    }
    let id: DefId = DefId::new(Family::Job, "spread".parse().expect("a name"));
    let options = zeugma::definitions::Options::default();
    node.app().definitions.delete(id, options, config::Note::default()).await.expect("deleted");
    // What is under way when it is deleted may still end.
    node.apply("jobs:\n- {name: other, type: interval, service: notes, every: 200ms, extra: 'by other'}")
        .await;
    has(&node, "other", Outcome::Done, 1).await;
    let before = noted("by spread").len();
    has(&node, "other", Outcome::Done, 6).await;
    assert_eq!(noted("by spread").len(), before);
    assert!(!node.metrics().contains("name=\"spread\""), "{}", node.metrics());
    node.stop().await;
}
