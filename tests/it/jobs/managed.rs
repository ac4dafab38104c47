//! Operators: the admin API, in the shapes that the command line reads.

use reqwest::Method;
use serde_json::{Value, json};

use crate::kit::node::{TestNode, until};

async fn ask(node: &TestNode, method: Method, path: &str) -> (u16, Value) {
    let token = node.app().admin_token.reveal().to_owned();
    let url = format!("http://{}/api/v1/jobs{path}", node.admin());
    let client = reqwest::Client::builder().no_proxy().build().expect("a client");
    let answer = client.request(method, url).bearer_auth(token).send().await.expect("an answer");
    (answer.status().as_u16(), answer.json().await.expect("JSON"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn operators_see_jobs_fire_them_and_switch_them() {
    let node = TestNode::start().await;
    node.apply(
        "jobs:\n\
         - {name: far, type: interval, service: zeugma.ping, every: 1h, start: 2030-01-01T00:00:00Z, repeats: 3}\n\
         - {name: My nightly, type: cron, service: zeugma.ping, cron: '30 2 * * *', timezone: Europe/Berlin, \
            start: 2030-03-30T00:00:00Z}\n\
         - {name: off, type: interval, service: zeugma.ping, every: 1h, enabled: false}\n\
         - {name: once, type: one-time, service: zeugma.ping}",
    )
    .await;
    let (_, listed) = ask(&node, Method::GET, "").await;
    let names: Vec<_> = listed.as_array().expect("a list").iter().map(|job| job["name"].clone()).collect();
    assert_eq!(names, ["My nightly", "far", "off", "once"]);
    let (_, far) = ask(&node, Method::GET, "/far").await;
    assert_eq!((&far["active"], &far["next"]), (&json!(true), &json!("2030-01-01T00:00:00Z")), "{far}");

    // A slot that clocks leave out is due when they are put forward.
    let (_, preview) = ask(&node, Method::GET, "/My%20nightly/preview?n=3").await;
    let slots: Vec<_> =
        preview["slots"].as_array().expect("slots").iter().map(|s| (&s["at"], &s["mark"])).collect();
    assert_eq!(
        json!(slots),
        json!([
            ["2030-03-30T01:30:00Z", "normal"],
            ["2030-03-31T01:00:00Z", "gap-shifted"],
            ["2030-04-01T00:30:00Z", "normal"]
        ])
    );
    let (_, preview) = ask(&node, Method::GET, "/far/preview").await;
    assert_eq!(preview["slots"].as_array().map(Vec::len), Some(3), "{preview}");
    assert_eq!(preview["slots"][2]["number"], json!(3));

    // One that has fired is inactive; made active again, it fires once more.
    let fired = async |count: usize| {
        until("it has fired", async || {
            let (_, history) = ask(&node, Method::GET, "/once/history").await;
            let done = |r: &&Value| r["outcome"] == "done" && r.get("manual").is_none();
            history.as_array().expect("records").iter().filter(done).count() == count
        })
        .await;
        until("it is inactive", async || ask(&node, Method::GET, "/once").await.1["active"] == json!(false))
            .await;
    };
    fired(1).await;
    let (status, switched) = ask(&node, Method::POST, "/once/activate").await;
    assert_eq!((status, &switched["changed"]), (200, &json!(true)), "{switched}");
    fired(2).await;

    let (status, started) = ask(&node, Method::POST, "/far/run").await;
    assert_eq!(status, 200, "{started}");
    until("the run is in the history", async || {
        let (_, history) = ask(&node, Method::GET, "/far/history").await;
        history[0]["outcome"] == "done"
            && history[0]["cid"] == started["cid"]
            && history[0]["manual"] == json!(true)
    })
    .await;

    let (_, switched) = ask(&node, Method::POST, "/far/deactivate").await;
    assert_eq!(switched["job"]["active"], json!(false), "{switched}");
    assert_eq!(ask(&node, Method::POST, "/far/deactivate").await.1["changed"], json!(false));
    assert_eq!(ask(&node, Method::POST, "/off/activate").await.1["job"]["enabled"], json!(true));
    assert_eq!(ask(&node, Method::GET, "/none").await.0, 404);
    assert_eq!(ask(&node, Method::POST, "/none/run").await.0, 404);
    assert_eq!(ask(&node, Method::GET, "/far/preview?n=x").await.0, 400);
    node.stop().await;
}
