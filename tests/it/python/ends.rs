//! Workers that end: killed, by themselves, stopped, with the engine, with the process they come from.

use super::{Load, deploy, eventually, pids, restarts, runs, settled, signal, workers, zygote};
use super::{SOON, json};
use crate::kit::program::Program;

const WORK: &str = "
import os
import signal
import time
from zeugma import Service

class Quick(Service):
    name = 'quick'
    def handle(self):
        self.response.payload = 'quick'

class Slow(Service):
    name = 'slow'
    def handle(self):
        time.sleep(0.05)
        self.response.payload = 'slow'

class Leave(Service):
    name = 'leave'
    def handle(self):
        os._exit(3)

class Fault(Service):
    name = 'fault'
    def handle(self):
        os.kill(os.getpid(), signal.SIGSEGV)
        time.sleep(60)
";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_that_is_killed_under_load_takes_only_what_was_in_it_and_is_replaced() {
    let node = Program::start(&[]);
    deploy(&node, WORK, &["--workers", "2"]);
    let load = Load::on(&node, "/slow", 8);
    for killed in 1..=3 {
        load.goes_on(40).await;
        signal(pids(&node)[0], "KILL");
        eventually(SOON, "it is replaced", async || restarts(&node) == killed && pids(&node).len() == 2)
            .await;
    }
    load.goes_on(40).await;
    let wrong = load.end().await;
    // At most the eight that were under way, each time.
    assert!(wrong.len() <= 3 * 8, "{wrong:?}");
    for (status, text) in &wrong {
        assert!(*status == 500 && text.contains("cid"), "{status} {text}");
    }
    assert!(node.log().contains("ended by signal 9"), "{}", node.log());
    settled(&node, 2).await;
}

#[tokio::test]
async fn a_service_that_ends_its_process_gets_an_error_with_its_cid_and_the_next_request_an_answer() {
    let node = Program::start(&[]);
    deploy(&node, WORK, &["--workers", "1"]);
    for (path, how) in [("/leave", "ended with status 3"), ("/fault", "ended by signal 11")] {
        let answer = node.curl(path).send();
        assert_eq!((answer.status, answer.json()["error"]["kind"].as_str()), (500, Some("internal")));
        let cid = answer.json()["error"]["cid"].as_str().expect("a cid").to_owned();
        // It waits for the worker that follows.
        assert_eq!(node.curl("/quick").send().ok().text(), "quick");
        let log = node.log();
        assert!(log.contains(how) && log.contains(&cid), "{log}");
    }
    assert_eq!(restarts(&node), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stopped_worker_costs_its_requests_their_deadline_and_is_replaced() {
    let node = Program::start(&[]);
    deploy(&node, WORK, &["--workers", "2"]);
    let stopped = pids(&node)[0];
    signal(stopped, "STOP");
    let load = Load::on(&node, "/quick", 4);
    eventually(SOON, "it is replaced", async || restarts(&node) == 1 && pids(&node).len() == 2).await;
    load.goes_on(40).await;
    let wrong = load.end().await;
    assert!(wrong.iter().all(|(status, _)| [500, 504].contains(status)), "{wrong:?}");
    assert!(wrong.len() <= 8, "{wrong:?}");
    assert!(!runs(stopped));
    settled(&node, 2).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_the_process_that_they_come_from_workers_serve_on_and_a_new_one_is_started() {
    let node = Program::start(&[]);
    deploy(&node, WORK, &["--workers", "2"]);
    let load = Load::on(&node, "/quick", 2);
    load.goes_on(20).await;
    let first = zygote(&node);
    signal(first, "KILL");
    eventually(SOON, "it is gone", async || !runs(first)).await;
    load.goes_on(20).await;
    assert_eq!(load.end().await, [], "no request notices");
    for pid in pids(&node) {
        signal(pid, "KILL");
    }
    eventually(SOON, "both are replaced", async || restarts(&node) == 2 && pids(&node).len() == 2).await;
    assert_eq!(node.curl("/quick").send().ok().text(), "quick");
    assert_ne!(zygote(&node), first);
}

#[tokio::test]
async fn no_worker_outlives_the_engine() {
    let node = Program::start(&[]);
    deploy(&node, WORK, &["--workers", "2"]);
    let mut all = pids(&node);
    all.push(zygote(&node));
    assert_eq!(all.len(), 3);
    // One has no chance to see that its socket is closed.
    signal(all[0], "STOP");
    let folder = node.crash();
    eventually(SOON, "all have ended", async || !all.iter().any(|pid| runs(*pid))).await;

    let node = Program::start_in(folder, &[]);
    let mut all = pids(&node);
    all.push(zygote(&node));
    assert_eq!(node.curl("/quick").send().ok().text(), "quick");
    assert_eq!(node.stop(), 0);
    eventually(SOON, "all have ended", async || !all.iter().any(|pid| runs(*pid))).await;
}

#[tokio::test]
async fn workers_end_with_their_package_and_leave_no_files() {
    let node = Program::start(&[]);
    deploy(&node, WORK, &["--workers", "2"]);
    let all = pids(&node);
    let folder = node.folder.path().join("zeugma-data/python/packages");
    let files = || std::fs::read_dir(&folder).expect("a folder").count();
    assert_eq!(files(), 1);
    for name in ["quick", "slow", "leave", "fault"] {
        node.good(&["delete", "channel", name]);
    }
    node.good(&["undeploy", "work"]);
    eventually(SOON, "all have ended", async || !all.iter().any(|pid| runs(*pid)) && files() == 0).await;
}

#[tokio::test]
async fn workers_are_shown_with_what_they_do() {
    let node = Program::start(&[]);
    deploy(&node, WORK, &["--workers", "2", "--threads", "3"]);
    for _ in 0..4 {
        node.curl("/quick").send().ok();
    }
    let shown = workers(&node);
    let served: u64 = shown.iter().filter_map(|worker| worker["served"].as_u64()).sum();
    assert_eq!(served, 4, "{shown:?}");
    eventually(SOON, "their memory is known", async || {
        workers(&node).iter().all(|worker| worker["memory"].as_u64() > Some(1_000_000))
    })
    .await;
    let stats = node.json(&["actor", "stats", "package", "work"]);
    assert_eq!(stats["more"]["threads"], json!(3));
}
