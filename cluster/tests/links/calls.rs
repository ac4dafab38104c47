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
