//! The caller and the desk without a network: parts, limits, versions and refusals.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use tokio::time::{Instant, timeout_at};

use crate::envelope::{Envelope, MAX_PART, Versions};
use crate::link::caller::{Caller, Lane, Line};
use crate::link::desk::{Answer, Desk};
use crate::link::settings::Limits;
use crate::link::{Broken, Failure, Handler, Incarnation, Incoming, LinkError, Me, NodeId, Request, Wire};

/// Answers with the payload, or does what its first word says.
struct Echo;

#[async_trait]
impl Handler for Echo {
    async fn handle(&self, incoming: Incoming) -> Result<Bytes, Failure> {
        match &incoming.payload[..] {
            b"hold" => std::future::pending().await,
            b"panic" => panic!("asked to"),
            b"fail" => Err(Failure::new("o".repeat(10_000), "ä".repeat(10_000))),
            b"key" => Ok(incoming.key.unwrap_or_default().into()),
            _ => Ok(incoming.payload),
        }
    }
}

/// Straight to a desk, counting what is under way and how large it gets.
struct Straight {
    desk: Arc<Desk>,
    under_way: AtomicUsize,
    most: AtomicUsize,
    largest: AtomicUsize,
}

#[async_trait]
impl Wire for Straight {
    async fn exchange(&self, frame: Vec<u8>, deadline: Instant) -> Result<Vec<u8>, Broken> {
        self.largest.fetch_max(frame.len(), Ordering::Relaxed);
        self.most.fetch_max(self.under_way.fetch_add(1, Ordering::Relaxed) + 1, Ordering::Relaxed);
        tokio::task::yield_now().await;
        let answer = match self.desk.take(frame) {
            Answer::Now(answer) => Ok(answer),
            Answer::Later(answer) => timeout_at(deadline, answer).await.map_err(|_| Broken::Late),
        };
        self.under_way.fetch_sub(1, Ordering::Relaxed);
        self.largest.fetch_max(answer.as_ref().map_or(0, Vec::len), Ordering::Relaxed);
        answer
    }
}

struct Pair {
    caller: Caller,
    lane: Lane,
    wire: Straight,
    to: NodeId,
}

fn me(node: &str, incarnation: u64) -> Me {
    Me { node: node.parse().expect("a name"), incarnation: Incarnation(incarnation) }
}

/// `a` in its third start calls `b`.
fn pair(here: Limits, there: Limits, known: u64, spoken: Versions) -> Pair {
    let known = Box::new(move |node: &NodeId, start| node.as_str() == "a" && start == Incarnation(known));
    let desk = Arc::new(Desk::new(me("b", 1), spoken, there, known));
    desk.serve(Arc::new(Echo));
    let count = AtomicUsize::default;
    let wire = Straight { desk, under_way: count(), most: count(), largest: count() };
    Pair { caller: Caller::new(me("a", 3), here), lane: Lane::new(here), wire, to: me("b", 1).node }
}

fn usual() -> Pair {
    pair(Limits::default(), Limits::default(), 3, Versions::OURS)
}

impl Pair {
    fn line(&self) -> Line<'_> {
        let deadline = Instant::now() + Duration::from_secs(5);
        Line { to: &self.to, wire: &self.wire, version: 1, lane: &self.lane, deadline }
    }

    async fn call(&self, payload: impl Into<Bytes>) -> Result<Bytes, LinkError> {
        self.caller.call(self.line(), Request { payload: payload.into(), key: Some("k".into()) }).await
    }
}

#[tokio::test]
async fn a_large_message_travels_in_parts_both_ways_and_few_at_a_time() {
    let pair = usual();
    for size in [0, 1, MAX_PART, MAX_PART + 1, 5_000_000] {
        let sent: Bytes = (0..size).map(|at| (at / 251) as u8).collect::<Vec<_>>().into();
        assert_eq!(pair.call(sent.clone()).await.expect("an answer"), sent);
    }
    assert!(pair.wire.largest.load(Ordering::Relaxed) < MAX_PART + 500);
    let large = (0..8).map(|_| pair.call(vec![0; 1_000_000]));
    for answer in futures_util::future::join_all(large).await {
        assert_eq!(answer.expect("an answer").len(), 1_000_000);
    }
    assert!(pair.wire.most.load(Ordering::Relaxed) <= 12, "4 parts, and the last words of 8 calls");
    assert_eq!(pair.call("key").await.expect("an answer"), "k");
}

#[tokio::test]
async fn what_is_too_large_is_refused_here_and_there() {
    let (small, large) =
        (Limits { message: 100_000, ..Limits::default() }, Limits { message: 200_000, ..Limits::default() });
    let over = LinkError::TooLarge { size: 150_000, limit: 100_000 };
    let here = pair(small, large, 3, Versions::OURS);
    assert_eq!(here.call(vec![0; 150_000]).await, Err(over.clone()));
    assert_eq!(here.wire.largest.load(Ordering::Relaxed), 0, "nothing was sent");
    let there = pair(large, small, 3, Versions::OURS);
    assert_eq!(there.call(vec![0; 150_000]).await, Err(over));
    assert_eq!(there.call("more").await.expect("the next one gets through"), "more");
}

#[tokio::test]
async fn another_version_and_a_former_start_are_told_so() {
    let newer = Versions { oldest: 2, newest: 4 };
    let upgraded = pair(Limits::default(), Limits::default(), 3, newer);
    let told = LinkError::Version { node: upgraded.to.clone(), theirs: newer, sent: 1 };
    assert_eq!(upgraded.call("x").await, Err(told));
    let stale = pair(Limits::default(), Limits::default(), 4, Versions::OURS);
    assert_eq!(stale.call("x").await.expect_err("a stranger").kind(), "unreachable");
}

#[tokio::test(start_paused = true)]
async fn a_call_that_finds_no_room_waits_a_little_and_is_refused() {
    let limits = Limits { calls: 2, wait: Duration::from_millis(300), ..Limits::default() };
    let here = pair(limits, Limits::default(), 3, Versions::OURS);
    let begun = Instant::now();
    let refused = async {
        tokio::task::yield_now().await;
        (here.call("x").await.expect_err("no room").kind().to_owned(), begun.elapsed())
    };
    let (one, two, (kind, after)) =
        futures_util::future::join3(here.call("hold"), here.call("hold"), refused).await;
    assert_eq!((kind.as_str(), after), ("busy", Duration::from_millis(300)));
    assert!(matches!((one, two), (Err(LinkError::Late(_)), Err(LinkError::Late(_)))));
    assert_eq!(here.call("x").await.expect("there is room again"), "x");
    let there = pair(Limits::default(), Limits { handled: 1, ..Limits::default() }, 3, Versions::OURS);
    let (_, busy) = futures_util::future::join(there.call("hold"), there.call("x")).await;
    assert_eq!(busy.expect_err("no room there").kind(), "busy");
}

#[tokio::test]
async fn a_handler_that_fails_or_panics_is_an_answer() {
    let pair = usual();
    assert_eq!(pair.call("panic").await.expect_err("a failure").kind(), "internal");
    let failed = pair.call("fail").await.expect_err("a failure");
    assert!(
        failed.kind().starts_with("ooo") && failed.to_string().len() < 3_000,
        "{failed} is cut to what fits"
    );
}

#[tokio::test]
async fn any_frame_has_an_answer() {
    let pair = usual();
    for frame in [vec![], vec![1], vec![0, 1, 0, 9, 9], vec![0, 1, 255, 255], vec![0; 6], vec![0; 100_000]] {
        let Answer::Now(answer) = pair.wire.desk.take(frame) else { panic!("nothing to wait for") };
        assert!(answer.len() >= 6);
        drop(Envelope::decode(answer.into(), Versions::OURS));
    }
}
