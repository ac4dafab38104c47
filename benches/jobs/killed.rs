//! How soon others fire the jobs of a node that was killed, and what becomes of the slots in between.

use std::collections::BTreeMap;
use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::Deserialize;

use super::nodes::{Redis, Served};
use super::{apply, metrics, owned};

/// A line of a job's history, as far as it is needed.
#[derive(Deserialize)]
struct Line {
    slot: DateTime<Utc>,
    node: String,
    started: Option<DateTime<Utc>>,
    outcome: String,
}

/// See the module. Each job is due every second, and makes up for what it missed.
pub fn goes_on(jobs: u64) {
    let folder = tempfile::TempDir::new().expect("a folder");
    let redis = Redis::start(&folder.path().join("redis"));
    let mut nodes: Vec<Served> =
        ["a", "b", "c"].iter().map(|name| Served::start(folder.path(), redis.port, name)).collect();
    apply(&nodes[0], jobs, "type: interval, every: 1s, missed: all");
    owned(&nodes, jobs);
    std::thread::sleep(Duration::from_secs(8)); // until the nodes have found their shares
    let killed = nodes.pop().expect("the last of three");
    let text = metrics(&killed);
    let own = |line: &str| {
        let name = line.strip_prefix("zeugma_job_owner{name=\"")?.strip_suffix("\"} 1")?;
        Some(name.to_owned())
    };
    let its: Vec<String> = text.lines().filter_map(own).collect();
    let at = Utc::now();
    drop(killed);
    std::thread::sleep(Duration::from_secs(20));
    let mut after: Vec<f64> = Vec::new();
    let (mut absent, mut outcomes) = (0, BTreeMap::<String, u64>::new());
    for name in &its {
        let path = format!("/api/v1/jobs/{name}/history?limit=100");
        let (status, body) = nodes[0].admin().ask("GET", &path, "").expect("an answer");
        assert_eq!(status, 200, "{body}");
        let mut lines: Vec<Line> = serde_json::from_str(&body).expect("a history");
        lines.sort_by_key(|line| line.slot);
        let others = lines.iter().filter(|line| !line.node.starts_with("c#")).filter_map(|line| line.started);
        let first = others.filter(|started| *started > at).min().expect("somebody else has fired it");
        after.push((first - at).num_milliseconds() as f64 / 1_000.0);
        absent += lines.windows(2).map(|two| (two[1].slot - two[0].slot).num_seconds() - 1).sum::<i64>();
        for line in lines {
            *outcomes.entry(line.outcome).or_default() += 1;
        }
    }
    after.sort_by(f64::total_cmp);
    println!(
        "{} jobs of a node that was killed: others fire the first after {:.2} s, the last after {:.2} s; {absent} slots \
         are absent; what became of the others: {outcomes:?}",
        its.len(),
        after.first().copied().unwrap_or_default(),
        after.last().copied().unwrap_or_default(),
    );
}
