//! The clock of jobs is that of the store, whatever those of the nodes show.

use std::time::Duration;

use chrono::{DateTime, SubsecRound as _, TimeDelta, Utc};
use serde_json::{Value, json};

use crate::kit::cluster::Cluster;
use crate::kit::process::{eventually, installed};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slot_is_due_when_the_clock_of_the_store_says_so() {
    let mut cluster = Cluster::of(0).await;
    let library = installed("faketime", "libfaketime.so.1");
    let ahead = [
        ("LD_PRELOAD", library.to_str().expect("text")),
        ("FAKETIME", "+1h"),
        ("FAKETIME_DONT_FAKE_MONOTONIC", "1"),
    ];
    cluster.add(1, &[], &ahead);
    cluster.complete().await;
    let node = cluster.node(1);
    let now = config::Clock::System.now().trunc_subsecs(3);
    let answer = node.curl("/").send();
    let date = answer.header("date").expect("a date");
    let apart = DateTime::parse_from_rfc2822(date).expect("a date").to_utc() - now;
    assert!(apart > TimeDelta::minutes(59), "the clock of the node is ahead by {apart}");
    let once = |name: &str, start: DateTime<Utc>| json!({"name": name, "type": "one-time", "service": "zeugma.ping", "start": start.to_rfc3339()});
    // By the clock of the node, the first has passed for an hour, and the second is due before it.
    let (soon, later) = (now + TimeDelta::seconds(4), now + TimeDelta::hours(1) + TimeDelta::seconds(2));
    node.apply(&json!({"jobs": [once("soon", soon), once("later", later)]}));
    eventually(Duration::from_secs(20), "it is fired", async || {
        cluster.admin(node, "jobs/soon/history").await[0]["outcome"] == "done"
    })
    .await;
    let record = cluster.admin(node, "jobs/soon/history").await[0].clone();
    let moment = |at: &Value| at.as_str().expect("a moment").parse::<DateTime<Utc>>().expect("a moment");
    assert_eq!(moment(&record["slot"]), soon);
    for at in ["started", "ended"] {
        let late = moment(&record[at]) - soon;
        assert!(late >= TimeDelta::milliseconds(-50) && late < TimeDelta::seconds(10), "{at}: {record}");
    }
    let job = cluster.admin(node, "jobs/later").await;
    assert_eq!((&job["active"], moment(&job["next"])), (&json!(true), later), "{job}");
    assert_eq!(cluster.admin(node, "jobs/later/history").await, json!([]));
}
