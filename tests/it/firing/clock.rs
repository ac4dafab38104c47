//! The clock of jobs is that of the store, whatever those of the nodes show.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Value, json};

use crate::kit::cluster::Cluster;
use crate::kit::process::eventually;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slot_is_due_when_the_clock_of_the_store_says_so() {
    let mut cluster = Cluster::whose_redis_is_ahead("1h").await;
    cluster.add(1, &[], &[]);
    cluster.complete().await;
    let theirs: DateTime<Utc> = DateTime::from_timestamp(time(&cluster), 0).expect("a time");
    let ours = config::Clock::System.now();
    let apart = theirs - ours;
    assert!(apart > TimeDelta::minutes(59), "Redis is ahead by {apart}");
    let once = |name: &str, start: DateTime<Utc>| json!({"name": name, "type": "one-time", "service": "zeugma.ping", "start": start.to_rfc3339()});
    let soon = theirs + TimeDelta::seconds(4);
    // By the clock of the node this one is due in a moment; by that of the store it has been for an hour.
    let over = ours + TimeDelta::seconds(2);
    cluster.node(1).apply(&json!({"jobs": [once("soon", soon), once("over", over)]}));
    eventually(Duration::from_secs(20), "it is fired", async || {
        let history = cluster.admin(cluster.node(1), "jobs/soon/history").await;
        history[0]["outcome"] == "done"
    })
    .await;
    let record = cluster.admin(cluster.node(1), "jobs/soon/history").await[0].clone();
    let moment = |at: &Value| at.as_str().expect("a moment").parse::<DateTime<Utc>>().expect("a moment");
    assert_eq!(moment(&record["slot"]), soon);
    let late = moment(&record["started"]) - soon;
    assert!(late >= TimeDelta::milliseconds(-50) && late < TimeDelta::seconds(10), "{record}");
    let over = cluster.admin(cluster.node(1), "jobs/over").await;
    assert_eq!((&over["active"], over.get("next")), (&json!(false), None), "{over}");
    let history = cluster.admin(cluster.node(1), "jobs/over/history").await;
    assert!(history.as_array().is_some_and(|all| all.iter().all(|r| r["outcome"] == "skipped")), "{history}");
}

/// The time by the clock of Redis, in seconds.
fn time(cluster: &Cluster) -> i64 {
    let time = cluster.redis.ask(&["--raw", "TIME"]);
    time.lines().next().and_then(|line| line.parse().ok()).expect("a number")
}
