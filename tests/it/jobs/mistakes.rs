//! What is wrong with a job is told, with its place, before anything is changed.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use zeugma::definitions::Refused;

use crate::kit::node::TestNode;
use crate::kit::process::eventually;

/// One faulty job, and what is said of it.
const MISTAKES: &[(&str, &str)] = &[
    (
        "type: interval, service: no.such, every: 2s",
        "service: refers to service/no.such, which does not exist",
    ),
    ("type: interval, service: zeugma.ping", "every: it is not said how often"),
    ("type: interval, service: zeugma.ping, every: 0s", "every: an interval of nothing never gets anywhere"),
    (
        "type: interval, service: zeugma.ping, seconds: 0",
        "seconds: an interval of nothing never gets anywhere",
    ),
    ("type: interval, service: zeugma.ping, seconds: -5", "seconds: invalid value"),
    ("type: interval, service: zeugma.ping, every: 9ms", "every: the interval is 9ms, shorter than 10ms"),
    (
        "type: interval, service: zeugma.ping, every: 2s, minutes: 1",
        "every: it says how often, and so does minutes",
    ),
    (
        "type: interval, service: zeugma.ping, weeks: 99999999999999999",
        "weeks: the interval is longer than a hundred years",
    ),
    (
        "type: interval, service: zeugma.ping, every: 2s, repeats: 0",
        "repeats: a job that repeats 0 times never fires",
    ),
    ("type: interval, service: zeugma.ping, every: 2s, jitter: 3s", "jitter: it is longer than the interval"),
    (
        "type: interval, service: zeugma.ping, every: 2s, window: 1h",
        "window: it means nothing with missed: skip",
    ),
    (
        "type: interval, service: zeugma.ping, every: 2s, overlap: sometimes",
        "overlap: unknown variant `sometimes`",
    ),
    (
        "type: interval, service: zeugma.ping, every: 2s, start: 2026-02-30T00:00:00Z",
        "is no date that exists",
    ),
    ("type: interval, service: zeugma.ping, every: 2s, start: '19999-01-01'", "is no date that exists"),
    (
        "type: interval, service: zeugma.ping, every: 2s, timeout: 0s",
        "timeout: it must be longer than nothing",
    ),
    (
        "type: interval, service: zeugma.ping, every: 2s, on_failure: no.such",
        "on_failure: refers to service/no.such, which does not exist",
    ),
    (
        "type: cron, service: zeugma.ping, cron: '0 0 32 * *'",
        "cron: field 3 (day of month): 32 is out of 1-31, at column 5",
    ),
    ("type: cron, service: zeugma.ping, cron: '0 0 30 2 *'", "cron: it never fires"),
    (
        "type: cron, service: zeugma.ping, cron: '0 0 0 29 2 ? 2027', syntax: cron-crate",
        "cron: it never fires",
    ),
    ("type: cron, service: zeugma.ping, cron: '@dayly'", "did you mean \"@daily\"?"),
    (
        "type: cron, service: zeugma.ping, cron: '@daily', timezone: Europe/Londn",
        "did you mean \"Europe/London\"?",
    ),
    ("type: cron, service: zeugma.ping, cron: '@daily', gap: jump", "gap: unknown variant `jump`"),
    (
        "type: one-time, service: zeugma.ping, start: 2020-02-21T10:00:00Z",
        "start: 2020-02-21T10:00:00Z has passed",
    ),
    ("type: one-time, service: zeugma.ping, start: soon", "start: \"soon\" is no date that exists"),
    ("type: one-tme, service: zeugma.ping", "did you mean \"one-time\"?"),
    ("type: one-time, service: zeugma.ping, evry: 1s", "there is no parameter \"evry\""),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_mistake_about_a_job_has_its_fault() {
    let node = TestNode::start().await;
    let mut untold = Vec::new();
    for (job, said) in MISTAKES {
        match node.try_apply(&format!("jobs:\n- {{name: j, {job}}}")).await {
            Err(Refused::Faults(faults)) if faults.to_string().contains(said) => {}
            Err(Refused::Faults(faults)) => untold.push(format!("{job}: {faults}")),
            other => untold.push(format!("{job}: {other:?}")),
        }
    }
    assert!(untold.is_empty(), "{untold:#?}");
    let extra = "x".repeat(1_000_000);
    let large = format!("jobs:\n- {{name: j, type: one-time, service: zeugma.ping, extra: {extra}}}");
    let Err(Refused::Faults(faults)) = node.try_apply(&large).await else { panic!("a megabyte is refused") };
    let told = faults.to_string();
    assert!(
        told.contains("extra: it has 1000000 bytes, more than the 262144") && told.len() < 1_000,
        "{told}"
    );
    let twice = "jobs:\n- {name: j, type: one-time, service: zeugma.ping}\n- {name: j, type: one-time, service: zeugma.ping}";
    assert!(matches!(node.try_apply(twice).await, Err(Refused::Faults(_))), "two of one name");
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bundle_may_be_applied_again_after_its_jobs_have_fired() {
    let node = TestNode::start().await;
    let job = |start: DateTime<Utc>, more: &str| {
        format!(
            "jobs:\n- {{name: j, type: one-time, service: zeugma.ping, start: '{}'{more}}}",
            start.to_rfc3339()
        )
    };
    let soon = config::Clock::System.now() + TimeDelta::milliseconds(1_500);
    node.apply(&job(soon, "")).await;
    eventually(Duration::from_secs(20), "it has passed", async || config::Clock::System.now() > soon).await;
    node.apply(&job(soon, "")).await;
    node.apply(&job(soon, ", extra: more")).await;
    node.apply("jobs:\n- {name: kept, type: one-time, service: zeugma.ping, start: 2020-02-21T10:00:00Z, enabled: false}").await;
    node.stop().await;
}
