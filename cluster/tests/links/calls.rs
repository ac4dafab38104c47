//! Calls get through: small ones, large ones, and small ones beside large ones.

use serde_json::json;

use crate::kit::{linked, name, start};
use crate::node::{Order, payload, sum};

#[tokio::test]
async fn three_nodes_call_each_other_and_give_hints() {
    let nodes = linked([start("a"), start("b"), start("c")]).await;
    for from in &nodes {
        for to in ["a", "b", "c"].into_iter().filter(|to| *to != from.start.node.as_str()) {
            assert_eq!(from.call(to, "who").await["ok"], format!("{} 1", from.start.node), "{to}");
        }
    }
    let [a, b, c] = &nodes;
    assert_eq!(a.call("b", "nonsense").await["kind"], "not_found");
    assert_eq!(a.call("b", "panic").await["kind"], "internal");
    assert_eq!(a.call("d", "who").await["kind"], "unreachable");
    a.tell(Order::Cast("hint".into())).await;
    for node in [b, c] {
        while node.tell(Order::Hints).await != json!(1) {
            tokio::task::yield_now().await;
        }
    }
    assert_eq!(a.tell(Order::Hints).await, json!(0));
    let micros = a.tell(Order::Measure(name("b"), 500)).await;
    println!("a call takes {micros} us (middle one of 500)");
}

#[tokio::test]
async fn a_large_message_arrives_whole_both_ways() {
    let [a, b] = linked([start("a"), start("b")]).await;
    for (from, to) in [(&a, "b"), (&b, "a")] {
        let size = 5_000_000;
        let answer = from.tell(Order::Call(name(to), "sum ".into(), size, 20_000)).await;
        let sent = payload("sum ", size);
        assert_eq!(answer["ok"], format!("{} {}", sent.len(), sum(&sent)), "{answer}");
        let answer = from.call(to, &format!("give {size}")).await;
        assert_eq!((answer["len"].clone(), answer["sum"].clone()), (json!(size), json!(sum(&vec![7; size]))));
        println!("5 MB take {} ms", answer["ms"]);
    }
}

#[tokio::test]
async fn small_calls_get_through_while_large_ones_are_under_way() {
    let [a, _b] = linked([start("a"), start("b")]).await;
    let large = || a.tell(Order::Call(name("b"), "sum ".into(), 8_000_000, 25_000));
    let mut small = Vec::new();
    let mut all = std::pin::pin!(async { tokio::join!(large(), large(), large(), large()) });
    let answers = loop {
        tokio::select! {
            biased;
            answers = &mut all => break answers,
            answer = a.call("b", "who") => {
                assert_eq!(answer["ok"], "a 1", "{answer}");
                small.push(answer["ms"].as_u64().expect("a number"));
            }
        }
    };
    for large in [answers.0, answers.1, answers.2, answers.3] {
        assert!(large["ok"].as_str().is_some_and(|said| said.starts_with("8000004 ")), "{large}");
    }
    println!("beside 4 x 8 MB: {} small calls, the slowest took {:?} ms", small.len(), small.iter().max());
    assert!(!small.is_empty(), "none came in between");
}
