//! The metrics: Prometheus can read them, and they move as what happens says they should.

use std::collections::HashMap;
use std::io::Write as _;
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::json;

use crate::kit::node::{TestNode, until};
use crate::kit::process::{eventually, installed};
use crate::kit::program::Program;

/// The value of each series, by its text.
fn series(text: &str) -> HashMap<&str, f64> {
    let values = text.lines().filter(|line| !line.starts_with('#'));
    values
        .map(|line| {
            let (series, value) = line.rsplit_once(' ').expect("a series and a value");
            (series, value.parse().expect("a number"))
        })
        .collect()
}

/// The calls of a part: those that went well, those refused, those failed.
fn calls(text: &str, family: &str, name: &str) -> [f64; 3] {
    ["ok", "refused", "failed"].map(|outcome| counted(text, family, name, outcome))
}

/// The calls of a part that came to this.
fn counted(text: &str, family: &str, name: &str, outcome: &str) -> f64 {
    let series = format!("zeugma_calls_total{{family=\"{family}\",name=\"{name}\",outcome=\"{outcome}\"}}");
    self::series(text).get(series.as_str()).copied().unwrap_or_else(|| panic!("no {series} in\n{text}"))
}

#[test]
fn prometheus_finds_nothing_wrong_with_them() {
    let node = Program::start(&[]);
    // Names that have to be escaped, and a connection that is down.
    node.apply(&json!({
        "connections": [{"name": "a \"name\"\\with {all} of it, ü", "type": "http", "url": "http://127.0.0.1:1/"}],
        "channels": [{"name": "my/ping \"one\"", "type": "rest", "path": "/ping", "service": "zeugma.ping"}],
    }));
    node.curl("/ping").send().ok();
    assert_eq!(node.curl("/nowhere").send().status, 404);
    let answer = node.admin("/metrics").send().ok();
    assert!(
        answer.header("content-type").is_some_and(|value| value.starts_with("text/plain; version=0.0.4"))
    );
    let text = answer.text();
    assert_eq!(series(&text)["zeugma_unrouted_total{status=\"404\"}"], 1.0);
    assert_eq!(calls(&text, "channel", "my/ping \\\"one\\\""), [1.0, 0.0, 0.0]);

    let mut check = Command::new(installed("promtool", "usr/bin/promtool"));
    let check =
        check.args(["check", "metrics"]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut check = check.spawn().expect("promtool runs");
    check.stdin.take().expect("its input").write_all(&answer.body).expect("written");
    let said = check.wait_with_output().expect("it ends");
    let told = [said.stdout, said.stderr].concat();
    assert!(said.status.success() && told.is_empty(), "{}\n{text}", String::from_utf8_lossy(&told));
}

const BUNDLE: &str = "
security:
- {name: clerk, type: basic, username: clerk, password: hush-hush}
connections:
- {name: ERP, type: http, url: 'http://127.0.0.1:1/', retries: {attempts: 0}}
channels:
- {name: customer, type: rest, path: '/customer/{cust_id}', service: get-customer, data_format: json, security: clerk}
- {name: sleepy, type: rest, path: /sleepy, method: POST, service: sleepy, deadline: 5s, concurrency: 2}
- {name: late, type: rest, path: /late, method: POST, service: sleepy, deadline: 10ms}
- {name: panics, type: rest, path: /panics, service: panics}
";

#[tokio::test]
async fn each_outcome_is_counted_where_it_belongs() {
    let node = TestNode::start().await;
    node.apply(BUNDLE).await;
    assert_eq!(calls(&node.metrics(), "channel", "customer"), [0.0; 3], "it is there before the first call");
    let get = |path: &'static str, password| {
        let request = node.get(path).basic_auth("clerk", Some(password));
        async move { request.send().await.expect("an answer").status().as_u16() }
    };
    for _ in 0..3 {
        assert_eq!(get("/customer/7", "hush-hush").await, 200);
    }
    assert_eq!(get("/customer/404", "hush-hush").await, 404);
    assert_eq!(get("/customer/x", "hush-hush").await, 400);
    assert_eq!(get("/customer/7", "wrong").await, 401);
    assert_eq!(get("/panics", "").await, 500);
    assert_eq!(node.post("/late").body("400").send().await.expect("an answer").status(), 504);

    let text = node.metrics();
    assert_eq!(calls(&text, "channel", "customer"), [3.0, 3.0, 0.0]);
    assert_eq!(calls(&text, "service", "get-customer"), [3.0, 2.0, 0.0], "a stranger does not get that far");
    assert_eq!(calls(&text, "channel", "panics"), [0.0, 0.0, 1.0]);
    assert_eq!(calls(&text, "service", "panics"), [0.0, 0.0, 1.0]);
    assert_eq!(calls(&text, "channel", "late"), [0.0, 0.0, 1.0]);
    let all = series(&text);
    assert_eq!(all["zeugma_panics_total{family=\"service\",name=\"panics\"}"], 1.0);
    let count = "zeugma_call_seconds_count{family=\"channel\",name=\"customer\"}";
    let most = "zeugma_call_seconds_bucket{family=\"channel\",name=\"customer\",le=\"+Inf\"}";
    assert_eq!((all[count], all[most]), (6.0, 6.0));
    assert_eq!(all["zeugma_revision"], 1.0);
    assert_eq!(all["zeugma_faults"], 0.0);

    // What is deleted is forgotten.
    let delete = node.app().definitions.delete(
        "channel/panics".parse().expect("an id"),
        zeugma::definitions::Options::default(),
        config::Note::default(),
    );
    delete.await.expect("deleted");
    assert!(!node.metrics().contains("family=\"channel\",name=\"panics\""));
    node.stop().await;
}

#[tokio::test]
async fn what_is_under_way_is_shown_and_goes_back_to_nothing() {
    let node = TestNode::start().await;
    node.apply(BUNDLE).await;
    let inside = |text: &str, family: &str| {
        series(text)[format!("zeugma_in_flight{{family=\"{family}\",name=\"sleepy\"}}").as_str()]
    };
    assert_eq!([inside(&node.metrics(), "channel"), inside(&node.metrics(), "service")], [0.0, 0.0]);
    let sleeping = [0, 1].map(|_| tokio::spawn(node.post("/sleepy").body("3000").send()));
    until("both are inside", async || {
        inside(&node.metrics(), "channel") == 2.0 && inside(&node.metrics(), "service") == 2.0
    })
    .await;
    // One more than there may be is refused, and so are those whose caller goes away: none of them stays inside.
    assert_eq!(node.post("/sleepy").body("1").send().await.expect("an answer").status(), 503);
    for request in sleeping {
        assert_eq!(request.await.expect("it runs").expect("an answer").status(), 200);
    }
    let gone = node.post("/sleepy").body("4000").timeout(Duration::from_millis(100)).send().await;
    assert!(gone.is_err_and(|error| error.is_timeout()));
    until("nobody is inside", async || {
        inside(&node.metrics(), "channel") == 0.0 && inside(&node.metrics(), "service") == 0.0
    })
    .await;
    until("both count it", async || {
        let text = node.metrics();
        ["channel", "service"].map(|family| counted(&text, family, "sleepy", "cancelled")) == [1.0; 2]
    })
    .await;
    let text = node.metrics();
    assert_eq!(calls(&text, "channel", "sleepy"), [2.0, 0.0, 1.0]);
    assert_eq!(series(&text)["zeugma_call_seconds_count{family=\"channel\",name=\"sleepy\"}"], 4.0);
    node.stop().await;
}

#[tokio::test]
async fn a_request_whose_caller_hangs_up_is_counted_all_the_way_down_and_logged() {
    // A server that accepts and never says a word.
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = silent.local_addr().expect("an address").port();
    let node = Program::start(&["--log", "info"]);
    node.apply(&json!({
        "connections": [{"name": "my.ftp", "type": "ftp", "host": "127.0.0.1", "port": port},
                        {"name": "ERP", "type": "http", "url": format!("http://127.0.0.1:{port}/")}],
        "channels": [{"name": "bill", "type": "rest", "path": "/bill", "method": "POST", "service": "billing"}],
    }));
    let hung_up = node.curl("/bill").with(&["--max-time", "0.3", "--json", "{}"]).send();
    assert_eq!(hung_up.status, 0, "no answer in time");
    eventually(Duration::from_secs(10), "all of them count it", async || {
        let text = node.admin("/metrics").send().ok().text();
        let passed = [("channel", "bill"), ("service", "billing"), ("connection", "my.ftp")];
        passed.map(|(family, name)| counted(&text, family, name, "cancelled")) == [1.0; 3]
    })
    .await;
    let log = node.log();
    let line = log.lines().find(|line| line.contains("given up by its caller"));
    assert!(line.is_some_and(|line| line.contains("cid=") && line.contains("channel=channel/bill")), "{log}");
}

#[tokio::test]
async fn connections_and_their_other_sides_are_counted() {
    let node = Program::start(&[]);
    node.apply(&json!({"connections": [
        {"name": "ERP", "type": "http", "url": "http://127.0.0.1:1/", "ping": {"every": "1s"}},
        {"name": "my.ftp", "type": "ftp", "host": "127.0.0.1", "port": 1},
    ]}));
    let metrics = || node.admin("/metrics").send().ok().text();
    eventually(Duration::from_secs(10), "both are seen to be down", async || {
        let text = metrics();
        let all = series(&text);
        ["ERP", "my.ftp"]
            .iter()
            .all(|name| all[format!("zeugma_connection_up{{name=\"{name}\"}}").as_str()] == 0.0)
    })
    .await;
    let text = metrics();
    assert_eq!(series(&text)["zeugma_actors{family=\"connection\",state=\"down\"}"], 2.0);
    assert!(series(&text)["zeugma_http_connections{listener=\"admin\"}"] >= 1.0);
}
