//! What services may take: time, memory, threads, room; and what they print.

use super::{Load, SOON, deploy, eventually, pids, restarts, settled};
use crate::kit::program::Program;

const WORK: &str = "
import os
import threading
import time
from zeugma import Service

KEPT = []

class Quick(Service):
    name = 'quick'
    def handle(self):
        self.response.payload = 'quick'

class Spin(Service):
    name = 'spin'
    def handle(self):
        while True:
            pass

class Sleep(Service):
    name = 'sleep'
    def handle(self):
        time.sleep(60)

class Second(Service):
    name = 'second'
    def handle(self):
        time.sleep(0.5)
        self.response.payload = 'done'

class Grab(Service):
    name = 'grab'
    def handle(self):
        self.response.payload = str(len(b'x' * (4 << 30)))

class Leak(Service):
    name = 'leak'
    def handle(self):
        KEPT.append(b'x' * (60 << 20))
        self.response.payload = 'kept'

class Threads(Service):
    name = 'threads'
    def handle(self):
        go = threading.Event()
        begun = [threading.Thread(target=go.wait) for _ in range(1000)]
        try:
            for thread in begun:
                thread.start()
        finally:
            go.set()
        for thread in begun:
            thread.join()
        self.response.payload = str(len(begun))

class Echo(Service):
    name = 'echo'
    def handle(self):
        self.response.payload = self.request.raw_request

class Loud(Service):
    name = 'loud'
    def handle(self):
        print('said by print')
        os.write(1, b'said by write\\n')
        os.write(2, b'\\xff\\x00\\x07' * 10000 + b'said to the end\\n')
        self.response.payload = 'loud'

class Wrong(Service):
    name = 'json-wrong'
    output = 'a_count', 'b'
    def handle(self):
        self.response.payload.a_count = 'many'
        self.response.payload.b = 'b'
";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_endless_loop_is_ended_at_its_deadline_and_its_neighbours_answer_meanwhile() {
    let node = Program::start(&[]);
    deploy(&node, WORK, &["--workers", "1"]);
    let before = pids(&node);
    let spin = node.curl("/spin").begin();
    let load = Load::on(&node, "/quick", 2);
    load.goes_on(20).await;
    let spin = spin.end();
    assert_eq!((spin.status, spin.json()["error"]["kind"].as_str()), (504, Some("timeout")));
    settled(&node, 1).await; // it is not only that nobody waits for it: it has ended
    assert_eq!(load.end().await, []);
    assert_eq!(pids(&node), before, "the process has not been ended");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_interrupted_is_ended_with_its_process() {
    let node = Program::start(&[]);
    deploy(&node, WORK, &["--workers", "2"]);
    let sleep = node.curl("/sleep").begin();
    assert_eq!(sleep.end().status, 504);
    eventually(SOON, "it is replaced", async || restarts(&node) == 1 && pids(&node).len() == 2).await;
    assert_eq!(node.curl("/quick").send().ok().text(), "quick");
    assert!(node.log().contains("did not stop within"), "{}", node.log());
}

#[tokio::test]
async fn a_caller_who_goes_away_ends_the_service() {
    let node = Program::start(&[]);
    deploy(&node, WORK, &["--workers", "1"]);
    let before = pids(&node);
    let gone = node.curl("/spin").with(&["--max-time", "0.3"]).send();
    assert_eq!(gone.exit, 28);
    settled(&node, 1).await;
    assert_eq!(pids(&node), before);
}

#[tokio::test]
async fn memory_that_is_not_allowed_is_not_had_and_what_leaks_is_replaced() {
    let node = Program::start(&[]);
    deploy(&node, WORK, &["--workers", "1", "--memory", "200MB"]);
    let before = pids(&node);
    assert_eq!(node.curl("/grab").send().status, 500);
    assert!(node.log().contains("MemoryError"), "{}", node.log());
    assert_eq!(node.curl("/quick").send().ok().text(), "quick");
    assert_eq!(pids(&node), before);
    for _ in 0..5 {
        node.curl("/leak").send();
    }
    eventually(SOON, "it is replaced", async || restarts(&node) == 1 && pids(&node).len() == 1).await;
    assert_ne!(pids(&node), before);
    assert_eq!(node.curl("/quick").send().ok().text(), "quick");
}

#[tokio::test]
async fn a_thousand_threads_are_the_service_s_own_affair() {
    let node = Program::start(&[]);
    deploy(&node, WORK, &["--workers", "1", "--memory", "4GB"]);
    let before = pids(&node);
    assert_eq!(node.curl("/threads").send().ok().text(), "1000");
    assert_eq!(node.curl("/quick").send().ok().text(), "quick");
    assert_eq!(pids(&node), before);
    // With less room there is an error, and that is all.
    deploy(&node, WORK, &["--workers", "1", "--memory", "100MB"]);
    assert_eq!(node.curl("/threads").send().status, 500);
    assert_eq!(node.curl("/quick").send().ok().text(), "quick");
    assert_eq!(restarts(&node), 0);
}

#[tokio::test]
async fn sixteen_megabytes_go_in_and_come_out_as_they_were() {
    let node = Program::start(&[]);
    deploy(&node, WORK, &["--workers", "1"]);
    let bytes: Vec<u8> = (0..16 << 20).map(|n: u32| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let path = node.folder.path().join("large");
    std::fs::write(&path, &bytes).expect("written");
    let several: Vec<_> = (0..3).map(|_| node.curl("/echo").file(&path).begin()).collect();
    for answer in several {
        assert!(answer.end().ok().body == bytes);
    }
    assert_eq!(node.curl("/echo").send().ok().body, b"");
}

#[tokio::test]
async fn what_is_printed_goes_to_the_log_and_never_into_an_answer() {
    let node = Program::start(&["--log", "info"]);
    deploy(&node, WORK, &["--workers", "1"]);
    for _ in 0..3 {
        assert_eq!(node.curl("/loud").send().ok().text(), "loud");
    }
    eventually(SOON, "all of it is in the log", async || {
        let log = node.log();
        log.matches("said by print").count() == 3 && log.matches("said by write").count() == 3
    })
    .await;
    let log = node.log();
    let printed = log.lines().find(|line| line.contains("said by print")).expect("a line");
    assert!(printed.contains("cid="), "{printed}");
    assert!(log.lines().all(|line| line.len() < 64 * 1024), "lines that are too long are cut");
}

#[tokio::test]
async fn an_answer_that_is_not_as_declared_is_our_own_fault_and_the_log_says_where() {
    let node = Program::start(&[]);
    deploy(&node, WORK, &["--workers", "1"]);
    let answer = node.curl("/json-wrong").send();
    assert_eq!((answer.status, answer.json()["error"]["kind"].as_str()), (500, Some("internal")));
    assert!(!answer.text().contains("a_count") && !answer.text().contains("many"), "{}", answer.text());
    assert!(node.log().contains("/a_count"), "{}", node.log());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_finds_no_room_waits_a_little_and_is_then_told_when_to_come_again() {
    let node = Program::start(&[]);
    deploy(&node, WORK, &["--workers", "1", "--threads", "1"]);
    // One is worked on, 16 may wait: each takes half a second, and their deadline is three.
    let many: Vec<_> = (0..30).map(|_| node.curl("/second").begin()).collect();
    let answers: Vec<_> = many.into_iter().map(crate::kit::curl::UnderWay::end).collect();
    let with = |status| answers.iter().filter(move |answer| answer.status == status).count();
    assert!(with(200) >= 3, "some get through");
    assert!(with(503) >= 13, "those beyond the queue do not");
    assert_eq!(with(200) + with(503) + with(504), 30);
    for answer in answers.iter().filter(|answer| answer.status == 503) {
        assert_eq!(answer.header("retry-after"), Some("1"), "{}", answer.head);
    }
    settled(&node, 1).await;
    assert_eq!(node.curl("/quick").send().ok().text(), "quick");
    assert_eq!(restarts(&node), 0);
}
