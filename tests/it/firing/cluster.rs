//! Three nodes, a thousand jobs, and everything that can happen to nodes and to Redis: every slot is fired once, or has
//! its reason. What was run is known by what the services have written into the logs, not by what the scheduler says.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde_json::{Value, json};

use crate::kit::cluster::{Cluster, SOON};
use crate::kit::process::eventually;
use crate::kit::program::Program;
use crate::kit::proxy::Proxy;

/// Logs each run of a job.
const LOUD: [&str; 2] = ["--log", "info"];

/// A bundle of so many jobs, each due once a second.
fn jobs(count: usize) -> Value {
    let job = |n: usize| {
        let missed = ["skip", "once", "all"][n % 3];
        json!({"name": format!("job {n:04}"), "type": "interval", "service": "zeugma.helpers.input-logger",
               "every": "1s", "missed": missed, "extra": format!("of job {n:04}")})
    };
    json!({ "jobs": (0..count).map(job).collect::<Vec<_>>() })
}

/// All records of all jobs, as Redis has them.
fn records(cluster: &Cluster) -> BTreeMap<String, Vec<Value>> {
    let script = "local lines = {} \
        for _, key in ipairs(redis.call('KEYS', '*:slots:*')) do \
          local name = string.match(key, ':slots:(.*)$') \
          for _, line in ipairs(redis.call('ZRANGE', key, 0, -1)) do lines[#lines + 1] = name .. '\\t' .. line end \
        end \
        for _, key in ipairs(redis.call('KEYS', '*:runs:*')) do \
          local all = redis.call('HGETALL', key) \
          for i = 1, #all, 2 do \
            lines[#lines + 1] = string.match(all[i], '^[^\\n]*') .. '\\t' .. all[i + 1] \
          end \
        end \
        return lines";
    let mut found: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    for line in cluster.redis.ask(&["--raw", "EVAL", script, "0"]).lines() {
        let Some((name, record)) = line.split_once('\t') else { continue };
        let record = serde_json::from_str(record).expect("a record is JSON");
        found.entry(name.to_owned()).or_default().push(record);
    }
    for all in found.values_mut() {
        all.sort_by_key(|record| micros(&record["slot"]));
    }
    found
}

fn micros(time: &Value) -> i64 {
    let time: chrono::DateTime<chrono::Utc> = time.as_str().expect("a time").parse().expect("a time");
    time.timestamp_micros()
}

/// The cids of the runs that a node has logged, each with its job.
fn ran(log: &str) -> Vec<(String, String)> {
    let run = |line: &str| {
        let (before, job) = line.split_once("channel ")?;
        let (job, _) = job.split_once(" (scheduler)")?;
        let mut words = before.split(|c: char| !c.is_ascii_hexdigit()).chain(line.split(' '));
        let cid =
            words.find_map(|word| word.strip_prefix("cid=").or(Some(word)).filter(|w| w.len() == 24))?;
        Some((cid.to_owned(), job.to_owned()))
    };
    log.lines().filter_map(run).collect()
}

/// Checks the record: what was run was run once and is written down, and each slot follows the one before.
fn check(cluster: &Cluster, logs: &[String], count: usize) -> BTreeMap<String, u64> {
    let records = records(cluster);
    assert_eq!(records.len(), count, "each job has its history");
    let (mut once, mut twice) = (BTreeMap::new(), Vec::new());
    for (cid, job) in logs.iter().flat_map(|log| ran(log)) {
        twice.extend(once.insert(cid, job));
    }
    assert!(!once.is_empty(), "the logs tell of runs");
    assert!(twice.is_empty(), "run twice: {:?}", &twice[..twice.len().min(5)]);
    let mut outcomes: BTreeMap<String, u64> = BTreeMap::new();
    let mut known = BTreeSet::new();
    for (name, all) in &records {
        for pair in all.windows(2) {
            let last = if pair[0]["until"].is_null() { &pair[0]["slot"] } else { &pair[0]["until"] };
            let gap = micros(&pair[1]["slot"]) - micros(last);
            assert_eq!(gap, 1_000_000, "{name}: no slot is left out and none is there twice: {pair:?}");
        }
        for record in all {
            let outcome = record["outcome"].as_str().expect("a word").to_owned();
            let why = record["why"].as_str().unwrap_or_default().to_owned();
            *outcomes.entry(outcome.clone()).or_default() += record["slots"].as_u64().unwrap_or(1);
            let cid = record["cid"].as_str().unwrap_or_default().to_owned();
            match outcome.as_str() {
                "done" => {
                    assert!(once.contains_key(&cid), "{name}: said to be done, and it never was: {record}");
                }
                "failed" => panic!("{name}: {record}"),
                "skipped" | "lost" => assert!(!why.is_empty(), "{name}: without a reason: {record}"),
                other => assert_eq!(other, "running", "{name}: {record}"),
            }
            known.insert(cid);
        }
    }
    // A history keeps so many records; of what is older nothing is known.
    let full = |job: &String| records.get(job).is_some_and(|all| all.len() >= config::slots::HISTORY);
    let unknown = once.iter().filter(|(cid, job)| !known.contains(*cid) && !full(job));
    let unknown: Vec<_> = unknown.take(5).collect();
    assert!(unknown.is_empty(), "run, and not written down: {unknown:?}");
    outcomes
}

/// Waits until every job has been fired at or after this moment of the store's clock.
async fn all_fire(cluster: &Cluster, count: usize, since: i64) {
    eventually(Duration::from_secs(60), "every job is fired again", async || {
        let fired = |all: &Vec<Value>| {
            all.iter().any(|record| record["outcome"] == "done" && micros(&record["slot"]) > since)
        };
        records(cluster).values().filter(|all| fired(all)).count() == count
    })
    .await;
}

/// How long after a moment other nodes have begun to fire the last of the jobs that this one had fired.
fn gone_on(cluster: &Cluster, node: &str, moment: i64) -> i64 {
    let mut last = 0;
    for all in records(cluster).into_values() {
        let by_it = |record: &&Value| record["node"].as_str().is_some_and(|by| by.starts_with(node));
        let begun = |record: &Value| record["started"].is_string().then(|| micros(&record["started"]));
        let before = all.iter().filter(|record| micros(&record["slot"]) < moment).next_back();
        if before.is_some_and(|record| by_it(&record)) {
            let others = all.iter().filter(|record| !by_it(record)).filter_map(begun);
            let first = others.filter(|at| *at > moment).min().expect("somebody goes on");
            last = last.max(first - moment);
        }
    }
    assert!(last > 0, "{node} had jobs");
    last
}

fn now(cluster: &Cluster) -> i64 {
    let time = cluster.redis.ask(&["--raw", "TIME"]);
    let mut numbers = time.lines().map(|line| line.parse::<i64>().expect("a number"));
    let mut next = || numbers.next().expect("two numbers");
    next() * 1_000_000 + next()
}

fn logs(cluster: &Cluster) -> Vec<String> {
    cluster.running().map(Program::log).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_jobs_each_second_are_fired_once_though_nodes_are_killed_stopped_and_cut_off() {
    const COUNT: usize = 1_000;
    let mut cluster = Cluster::of(0).await;
    let way = Proxy::to(cluster.redis.port).await;
    cluster.add(1, &LOUD, &[]);
    cluster.add(2, &LOUD, &[]);
    cluster.add_by(3, way.port, &LOUD, &[]);
    cluster.complete().await;
    cluster.node(1).apply(&jobs(COUNT));
    all_fire(&cluster, COUNT, 0).await;

    // One is killed: the next owner goes on within one lease term, and no slot of those who make up for it is lost.
    let killed = now(&cluster);
    cluster.kill(2);
    all_fire(&cluster, COUNT, killed).await;
    let last = gone_on(&cluster, "n2#", killed);
    assert!(last < 12_000_000, "others go on after 5 seconds, however busy the machine: {last} us");
    cluster.add(2, &LOUD, &[]);
    cluster.complete().await;

    // One stands still for long, and goes on as if nothing had been.
    cluster.node(1).signal("STOP");
    let stood = now(&cluster);
    tokio::time::sleep(Duration::from_secs(20)).await;
    cluster.node(1).signal("CONT");
    all_fire(&cluster, COUNT, stood + 20_000_000).await;

    // Redis is killed and comes back with what it had confirmed.
    cluster.redis.kill();
    cluster.redis.restart().await;
    let back = now(&cluster);
    all_fire(&cluster, COUNT, back).await;

    // One is cut off from Redis, and nobody is told.
    way.cut();
    let cut = now(&cluster);
    all_fire(&cluster, COUNT, cut + 6_000_000).await;
    way.heal();

    // A stop gives its jobs over at once.
    let told = now(&cluster);
    assert_eq!(cluster.stop(2), 0);
    all_fire(&cluster, COUNT, told).await;
    let outcomes = check(&cluster, &all_logs(&cluster), COUNT);
    assert!(outcomes["done"] > 10_000, "{outcomes:?}");
}

/// Those of nodes that are down, too.
fn all_logs(cluster: &Cluster) -> Vec<String> {
    let mut all = logs(cluster);
    all.extend(cluster.logs_of_those_down());
    all
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_stop_and_start_goes_on_with_all_jobs() {
    const COUNT: usize = 30;
    let mut cluster = Cluster::of(0).await;
    cluster.add(1, &LOUD, &[]);
    cluster.add(2, &LOUD, &[]);
    cluster.complete().await;
    cluster.node(1).apply(&jobs(COUNT));
    all_fire(&cluster, COUNT, 0).await;
    // One that stops hands its jobs over at once: nobody waits for its leases to end.
    eventually(SOON, "both have jobs", async || {
        let text = format!("{:?}", records(&cluster));
        text.contains("n1#") && text.contains("n2#")
    })
    .await;
    let one = now(&cluster);
    cluster.stop(2);
    all_fire(&cluster, COUNT, now(&cluster)).await;
    let last = gone_on(&cluster, "n2#", one);
    assert!(last < 3_900_000, "a lease has more than 4 s left when its node stops: {last} us");
    cluster.stop(1);
    let stopped = now(&cluster);
    tokio::time::sleep(Duration::from_secs(3)).await; // slots go by
    cluster.add(1, &LOUD, &[]);
    cluster.add(2, &LOUD, &[]);
    all_fire(&cluster, COUNT, stopped + 3_000_000).await;
    let outcomes = check(&cluster, &all_logs(&cluster), COUNT);
    assert!(outcomes["skipped"] >= 10, "what was missed is not replayed unless told to: {outcomes:?}");
    // Each job of both nodes is this node's or the other's.
    eventually(SOON, "each job has one owner", async || {
        let owned = |node: &Program| {
            let text = node.admin("/metrics").send().ok().text();
            text.lines().filter(|line| line.starts_with("zeugma_job_owner") && line.ends_with(" 1")).count()
        };
        let (one, two) = (owned(cluster.node(1)), owned(cluster.node(2)));
        one + two == COUNT && one > 0 && two > 0
    })
    .await;
}
