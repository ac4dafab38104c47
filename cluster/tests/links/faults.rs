//! Nodes die, freeze and come back: calls fail at once, and the link is there again soon.

use std::time::Duration;

use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};

use crate::kit::{Node, SOON, introduce, linked, name, start};
use crate::node::{Order, Start};

#[tokio::test]
async fn a_killed_node_fails_calls_at_once_and_its_next_start_is_linked() {
    // Once as the one that is dialed, once as the one that dials.
    for (survivor, victim) in [("a", "b"), ("b", "a")] {
        let [one, mut other] = linked([start(survivor), start(victim)]).await;
        let held = one.tell(Order::Call(name(victim), "hold".into(), 0, 9_000));
        let (held, died) = tokio::join!(held, async {
            one.call(victim, "who").await; // the one that is held is there by now
            let died = Instant::now();
            other.kill().await;
            died
        });
        assert_eq!(held["kind"], "lost", "{held}");
        let after = died.elapsed();
        assert!(after < Duration::from_secs(1), "{after:?}");
        one.until(victim, |peer| peer["up"] == false).await;
        let refused = one.call(victim, "who").await;
        assert_eq!(refused["kind"], "unreachable", "{refused}");
        assert!(refused["ms"].as_u64() < Some(500), "{refused}");

        let again = Node::start(Start { incarnation: 2, ..start(victim) }).await;
        let begun = Instant::now();
        introduce(&[&one, &again]).await;
        one.until(victim, |peer| peer["up"] == true && peer["incarnation"] == 2).await;
        assert_eq!(one.call(victim, "who").await["ok"], format!("{survivor} 1"));
        let took = begun.elapsed();
        println!("{victim} killed: noticed after {after:?}, its next start linked after {took:?}");
        assert!(took < Duration::from_secs(2), "{took:?}");
    }
}

#[tokio::test]
async fn a_frozen_node_is_noticed_and_is_back_when_it_thaws() {
    let [a, b, c] = linked([start("a"), start("b"), start("c")]).await;
    b.signal("STOP").await;
    let (from_a, from_c) =
        tokio::join!(a.until("b", |peer| peer["up"] == false), c.until("b", |peer| peer["up"] == false));
    println!("frozen: noticed after {from_a:?} and {from_c:?}");
    assert!(from_a.max(from_c) < Duration::from_millis(4_900), "{from_a:?} {from_c:?}");
    let refused = a.call("b", "who").await;
    assert_eq!(refused["kind"], "unreachable", "{refused}");
    assert!(refused["ms"].as_u64() < Some(500), "{refused}");
    assert_eq!(a.call("c", "who").await["ok"], "a 1");
    b.signal("CONT").await;
    // b dials c and is dialed by a.
    let (from_a, from_c) = tokio::join!(a.until_up("b"), c.until_up("b"));
    println!("thawed: linked again after {from_a:?} and {from_c:?}");
    b.until_up("a").await;
    b.until_up("c").await;
    assert_eq!(a.call("b", "who").await["ok"], "a 1");
    assert_eq!(b.call("c", "who").await["ok"], "b 1");
}

#[tokio::test]
async fn silent_connections_do_not_keep_others_out() {
    let b = Node::start(start("b")).await;
    let mut silent = Vec::new();
    for _ in 0..100 {
        silent.push(TcpStream::connect(&b.address).await.expect("connects"));
    }
    let a = Node::start(start("a")).await;
    introduce(&[&a, &b]).await;
    let took = a.until_up("b").await;
    assert!(took < Duration::from_secs(2), "{took:?}");
    assert_eq!(a.call("b", "who").await["ok"], "a 1");
    assert_eq!(silent.len(), 100);
}

#[tokio::test]
async fn nobody_gets_in_by_the_port_of_the_node_server() {
    let b = Node::start(start("b")).await;
    let ports = b.listens();
    assert_eq!(ports.len(), 2, "ours and that of the node server: {ports:?}");
    let inner = ports.into_iter().find(|port| !b.address.ends_with(&format!(":{port}"))).expect("the other");
    let mut stream = TcpStream::connect(("127.0.0.1", inner)).await.expect("connects");
    let read = timeout(SOON, stream.read(&mut [0; 16])).await.expect("it is closed");
    assert!(matches!(read, Ok(0) | Err(_)), "{read:?}");
    b.until_logged("not greeted").await;
}

#[tokio::test]
async fn a_node_that_is_taken_out_is_not_reachable_any_more() {
    let [a, b] = linked([start("a"), start("b")]).await;
    a.tell(Order::Members(vec![a.member()])).await;
    // It may still be linked for a while, since the membership may be the older of the two.
    b.tell(Order::Members(vec![b.member()])).await;
    a.until("b", |peer| peer["up"] != true).await;
    assert_eq!(a.call("b", "who").await["kind"], "unreachable");
}
