//! Nodes that are not there for long: stopped, cut off from each other, or behind by thousands of revisions.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::kit::cluster::{Cluster, SOON, channel};
use crate::kit::process::eventually;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_stood_still_for_20_seconds_goes_on_where_it_was() {
    let cluster = Cluster::of(3).await;
    cluster.node(1).apply(&channel("before"));
    cluster.node(3).signal("STOP");
    let begun = Instant::now();
    // The others go on without it as soon as it has been silent for long enough, and no request of theirs fails.
    let applied = cluster.node(1).apply(&channel("meanwhile"));
    assert!(applied.contains("applied on 2/2 nodes in "), "{applied}");
    while begun.elapsed() < Duration::from_secs(20) {
        for n in 1..=2 {
            for path in ["/before", "/meanwhile"] {
                assert_eq!(cluster.get(cluster.node(n), path).await.0, 200, "n{n} {path}");
            }
        }
        sleep(Duration::from_millis(200)).await;
    }
    cluster.node(3).signal("CONT");
    cluster.all_answer("/meanwhile", 200).await;
    cluster.complete().await;
    let applied = cluster.node(3).apply(&channel("after"));
    assert!(applied.contains("applied on 3/3 nodes in "), "{applied}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_missed_5000_revisions_catches_up_and_never_serves_a_mix() {
    const MISSED: u64 = 5_000;
    let mut cluster = Cluster::of(2).await;
    cluster.node(1).apply(&channel("left"));
    let first = cluster.admin(cluster.node(1), "revision").await["revision"].as_u64().expect("a number");
    cluster.disk_has(2, first).await;
    cluster.kill(2);
    // Through the API this takes minutes; what a node follows are the entries that each commit writes.
    let script = "
local head, log, objects = KEYS[1], KEYS[2], KEYS[3]
local last = redis.call('XREVRANGE', log, '+', '-', 'COUNT', 1)[1]
local fields, revision = {}, tonumber(redis.call('HGET', head, 'rev'))
for i = 1, #last[2], 2 do fields[last[2][i]] = last[2][i + 1] end
local left = fields.ops
for n = 1, ARGV[1] do
  revision = revision + 1
  redis.call('XADD', log, 'MAXLEN', '~', 1000, revision .. '-0', 'commit', 'c' .. n, 'at', fields.at, 'note', fields.note, 'ops', left)
end
redis.call('HSET', head, 'rev', string.format('%.0f', revision))
return revision";
    let keys = ["{zeugma:zeugma}:head", "{zeugma:zeugma}:log", "{zeugma:zeugma}:obj"];
    let missed = MISSED.to_string();
    let mut words = vec!["EVAL", script, "3"];
    words.extend(keys);
    words.push(&missed);
    let newest = cluster.redis.ask(&words).trim().parse::<u64>().expect("a revision");
    assert_eq!(newest, first + MISSED);
    // Both of a pair come with one commit, so whoever serves the one serves the other.
    let pair = serde_json::json!({"channels": [
        {"name": "one", "type": "rest", "path": "/one", "service": "zeugma.ping"},
        {"name": "two", "type": "rest", "path": "/two", "service": "zeugma.ping"},
    ]});
    eventually(SOON, "the node that stayed has followed", async || {
        cluster.admin(cluster.node(1), "revision").await["nodes"][0]["revision"] == newest
    })
    .await;
    cluster.node(1).apply(&pair);
    cluster.add(2, &[], &[]);
    let node = cluster.node(2);
    eventually(SOON, "the node that was away has caught up", async || {
        assert_eq!(cluster.get(node, "/left").await.0, 200, "what did not change is served all the time");
        let one = cluster.get(node, "/one").await.0;
        let two = cluster.get(node, "/two").await.0;
        assert!(one == 404 || two == 200, "a mix of revisions: {one}, {two}");
        assert_eq!(cluster.get(cluster.node(1), "/one").await.0, 200, "requests to the other go on");
        two == 200
    })
    .await;
    cluster.complete().await;
    let applied = cluster.node(2).apply(&channel("after"));
    assert!(applied.contains(&format!("revision {} applied on 2/2 nodes in ", newest + 2)), "{applied}");
}
