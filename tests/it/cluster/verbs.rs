//! The operator's verbs reach actors on any node, from any node.

use std::time::Duration;

use serde_json::Value;
use tokio::time::Instant;

use crate::kit::cluster::{Cluster, channel};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn verbs_reach_one_node_or_all_and_each_answers_for_itself() {
    let cluster = Cluster::of(3).await;
    cluster.node(1).apply(&channel("x"));
    let told =
        |verb: &str, node: &str| cluster.node(1).json(&["actor", verb, "channel", "x", "--node", node]);

    let paused = told("pause", "n2");
    assert_eq!((nodes(&paused), outcomes(&paused)), (vec!["n2"], vec!["paused"]), "{paused}");
    assert_eq!(statuses(&cluster).await, [200, 503, 200]);
    let paused = told("pause", "all");
    assert_eq!(nodes(&paused), ["n1", "n2", "n3"], "{paused}");
    assert_eq!(statuses(&cluster).await, [503, 503, 503]);
    let resumed = cluster.node(3).json(&["actor", "resume", "channel", "x", "--node", "all"]);
    assert_eq!(outcomes(&resumed), ["running"; 3], "{resumed}");
    assert_eq!(statuses(&cluster).await, [200, 200, 200]);

    let wrong = cluster.node(1).run(&["actor", "ping", "channel", "x", "--node", "n22"]);
    assert!(wrong.code == 1 && wrong.err.contains("there is no node \"n22\""), "{wrong:?}");
    let wrong = cluster.node(1).run(&["actor", "ping", "channel", "y", "--node", "all", "--output", "json"]);
    assert_eq!(wrong.code, 1, "{wrong:?}");
    assert_eq!(wrong.out.matches("not-found").count(), 3, "{wrong:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_service_is_called_on_the_node_that_is_named() {
    let cluster = Cluster::of(2).await;
    let bytes: Vec<u8> = (0..=255).cycle().take(3_000_000).collect();
    let echo = "/api/v1/services/zeugma.helpers.echo/invoke?node=n2";
    let file = cluster.node(1).folder.path().join("bytes");
    std::fs::write(&file, &bytes).expect("written");
    let answer = cluster.node(1).admin(echo).file(&file).send().ok();
    assert_eq!(answer.body, bytes, "whatever the bytes, and however many");
    // It ran there, not here.
    let calls = |n: usize| {
        let metrics = cluster.node(n).admin("/metrics").send().ok().text();
        let own = "zeugma_calls_total{family=\"service\",name=\"zeugma.helpers.echo\",outcome=\"ok\"} ";
        metrics.lines().find_map(|line| line.strip_prefix(own)?.parse::<u64>().ok())
    };
    assert_eq!((calls(1), calls(2)), (Some(0), Some(1)));
    assert_eq!(
        cluster.node(1).good(&["invoke", "zeugma.helpers.echo", "--payload", "x", "--node", "n2"]),
        "x"
    );
    let wrong = cluster.node(1).run(&["invoke", "zeugma.ping", "--node", "n3"]);
    assert!(wrong.code == 1 && wrong.err.contains("there is no node \"n3\""), "{wrong:?}");
    let wrong = cluster.node(1).run(&["invoke", "nonsense", "--node", "n2"]);
    assert!(wrong.code == 1 && wrong.err.contains("there is no service \"nonsense\""), "{wrong:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_hangs_costs_only_its_own_answer() {
    let cluster = Cluster::of(3).await;
    cluster.node(1).apply(&channel("x"));
    cluster.node(3).signal("STOP");
    let begun = Instant::now();
    let arguments =
        ["actor", "pause", "channel", "x", "--node", "all", "--timeout", "1s", "--output", "json"];
    let said = cluster.node(1).run(&arguments);
    let took = begun.elapsed();
    cluster.node(3).signal("CONT");
    assert!(took < Duration::from_secs(6), "{took:?}");
    assert_eq!(said.code, 1, "{said:?}");
    let answers: Value = serde_json::from_str(&said.out).expect("JSON");
    assert_eq!(nodes(&answers), ["n1", "n2", "n3"]);
    assert!(answers[0]["ok"].is_object() && answers[1]["ok"].is_object(), "{answers}");
    assert!(answers[2]["error"]["message"].as_str().is_some_and(|why| why.contains("n3")), "{answers}");
    let quick = answers[1]["ms"].as_f64().expect("a number");
    assert!(quick < 1000.0, "another node is held up: {answers}");
    // It goes on as if nothing had been, and is reached again.
    cluster.complete().await;
    let resumed = cluster.node(1).json(&["actor", "resume", "channel", "x", "--node", "all"]);
    assert_eq!(outcomes(&resumed), ["running"; 3], "{resumed}");
}

fn nodes(answers: &Value) -> Vec<&str> {
    answers.as_array().expect("a list").iter().filter_map(|answer| answer["node"].as_str()).collect()
}

fn outcomes(answers: &Value) -> Vec<&str> {
    let answers = answers.as_array().expect("a list").iter();
    answers.filter_map(|answer| answer["ok"]["phase"].as_str()).collect()
}

async fn statuses(cluster: &Cluster) -> Vec<u16> {
    let mut statuses = Vec::new();
    for node in cluster.running() {
        statuses.push(cluster.get(node, "/x").await.0);
    }
    statuses
}
