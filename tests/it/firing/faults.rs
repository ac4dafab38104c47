//! The scheduler itself gets into trouble: what it does then, and that it is seen.

use std::time::Duration;

use tokio::time::Instant;

use crate::kit::node::{TestNode, until};
use crate::kit::services::noted;

fn jobs(folder: &std::path::Path) -> String {
    let path = |name: &str| folder.join(name).display().to_string();
    let (panics, stands) = (path("panics"), path("stands"));
    format!(
        "jobs:\n- {{name: moody, type: moody, panics_if: '{panics}', stands_if: '{stands}'}}\n\
         - {{name: calm, type: interval, service: notes, every: 100ms, extra: 'calm in {panics}'}}\n"
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_whose_times_cannot_be_computed_is_a_fault_and_the_others_go_on() {
    let (node, folder) = (TestNode::start().await, tempfile::tempdir().expect("a folder"));
    node.apply(&jobs(folder.path())).await;
    let calm = format!("calm in {}", folder.path().join("panics").display());
    until("both fire", async || !noted(&calm).is_empty() && !noted("by a moody job").is_empty()).await;
    std::fs::write(folder.path().join("panics"), "").expect("written");
    until("it is a fault", async || {
        let nodes = zeugma::nodes::list(node.app()).await;
        nodes[0].faults.iter().any(|fault| fault.at == "job/moody" && fault.message.contains("has failed"))
    })
    .await;
    assert!(node.metrics().contains("\nzeugma_jobs_silent 1\n"));
    let before = noted(&calm).len();
    until("the other goes on", async || noted(&calm).len() > before + 3).await;
    assert!(node.metrics().contains("\nzeugma_scheduler_restarts 0\n"));
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_loop_that_stands_still_is_noticed_and_begun_anew() {
    let (node, folder) = (TestNode::start().await, tempfile::tempdir().expect("a folder"));
    node.apply(&jobs(folder.path())).await;
    let calm = format!("calm in {}", folder.path().join("panics").display());
    until("both fire", async || noted(&calm).len() > 3).await;
    std::fs::write(folder.path().join("stands"), "").expect("written");
    let begun = Instant::now();
    while !node.metrics().contains("\nzeugma_scheduler_restarts 1\n") {
        assert!(begun.elapsed() < Duration::from_secs(60), "nobody notices");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    std::fs::remove_file(folder.path().join("stands")).expect("removed");
    let before = noted(&calm).len();
    until("the jobs are fired again", async || noted(&calm).len() > before + 3).await;
    node.stop().await;
}
