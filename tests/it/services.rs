//! Services that call services.

use reqwest::StatusCode;

use crate::kit::node::{TestNode, until};
use crate::kit::services::{Customer, count};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn services_invoke_each_other_but_not_themselves() {
    let node = TestNode::start().await;
    node.apply(
        "channels:
        - {name: f, type: rest, path: /f, service: forwards}
        - {name: i, type: rest, path: /i, service: invokes-itself}
        - {name: n, type: rest, path: /n, service: nests}
        - {name: b, type: rest, path: /b, service: starts-background}",
    )
    .await;
    let send =
        async |path: &str, body: &'static str| node.post(path).body(body).send().await.expect("an answer");
    let customer: Customer = send("/f", "get-customer").await.json().await.expect("JSON");
    assert_eq!(customer.id, 7);
    assert_eq!(send("/f", "zato.ping").await.text().await.expect("text"), r#"{"pong":"zeugma"}"#);
    assert_eq!(send("/f", "no-such-service").await.status(), StatusCode::NOT_FOUND);
    assert_eq!(send("/i", "").await.status(), StatusCode::INTERNAL_SERVER_ERROR);
    assert_eq!(send("/n", "").await.status(), StatusCode::INTERNAL_SERVER_ERROR);

    let before = count();
    let cid = send("/b", "").await.text().await.expect("text");
    assert_eq!(cid.len(), 24);
    until("the background service has run", async || count() > before).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_service_that_is_switched_off_is_not_found_and_comes_back() {
    let node = TestNode::start().await;
    node.apply(
        "services: [{name: get-customer, type: native, enabled: false}]
channels: [{name: f, type: rest, path: /f, service: forwards}]",
    )
    .await;
    let send = async || node.post("/f").body("get-customer").send().await.expect("an answer").status();
    assert_eq!(send().await, StatusCode::NOT_FOUND);
    node.apply("services: [{name: get-customer, type: native}]").await;
    assert_eq!(send().await, StatusCode::OK);
    let unknown =
        node.try_apply("services: [{name: get-custmer, type: native}]").await.expect_err("no such service");
    assert!(unknown.to_string().contains("did you mean \"get-customer\"?"), "{unknown}");
}
