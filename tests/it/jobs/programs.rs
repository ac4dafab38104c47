//! Programs that were written for the system that many users come from manage jobs over HTTP, in their own shapes.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::kit::node::{TestNode, until};

const WHO: &str = "security:\n\
    - {name: pubapi, type: basic, username: pubapi, password: hush-hush}\n\
    - {name: admin.invoke, type: basic, username: admin.invoke, password: hush-hush-too}\n";

async fn call(node: &TestNode, verb: &str, input: Value) -> (u16, Value) {
    let path = format!("/zato/json/zato.scheduler.job.{verb}");
    let answer =
        node.post(&path).basic_auth("pubapi", Some("hush-hush")).body(input.to_string()).send().await;
    let answer = answer.expect("an answer");
    assert!(answer.headers().contains_key("x-zato-cid"));
    let status = answer.status().as_u16();
    (status, answer.json().await.expect("JSON"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn programs_create_edit_fire_list_and_delete_jobs() {
    let node = TestNode::start().await;
    assert_eq!(node.get("/zato/ping").send().await.expect("an answer").status(), 200);
    let long = node.post("/zato/ping").body(" ".repeat(5_000)).send().await.expect("an answer");
    assert_eq!(long.status(), 413, "anybody may send it, and it needs no body");
    let stranger = node.post("/zato/json/zato.ping").body("{}").send().await.expect("an answer");
    assert_eq!(stranger.status(), 404, "without pubapi there is nothing");
    node.apply(WHO).await;
    let stranger = node.post("/zato/json/zato.ping").body("{}").send().await.expect("an answer");
    assert_eq!(stranger.status(), 401);

    let nightly = json!({"cluster_id": 1, "name": "Nightly", "is_active": true, "job_type": "cron_style",
        "service": "zato.ping", "start_date": "2026-02-21T23:10:11", "cron_definition": "@daily"});
    let (status, created) = call(&node, "create", nightly.clone()).await;
    let answer = &created["zato_scheduler_job_create_response"];
    assert_eq!((status, &created["zato_env"]["result"]), (200, &json!("ZATO_OK")), "{created}");
    assert_eq!(
        (&answer["cron_definition"], &answer["name"]),
        (&json!("0 0 * * *"), &json!("Nightly")),
        "{created}"
    );
    let id = answer["id"].clone();

    // Newer programs want no element around the answer.
    let newer = json!({"name": "Often", "job_type": "interval_based", "service": "zeugma.ping", "seconds": "1",
        "minutes": "", "repeats": "2", "skip_response_elem": true});
    let (_, created) = call(&node, "create", newer).await;
    assert_eq!(created["name"], "Often", "{created}");
    until("it ran out and is inactive", async || {
        let (_, job) = call(&node, "get-by-name", json!({"cluster_id": 1, "name": "Often"})).await;
        job["zato_scheduler_job_get_by_name_response"]["is_active"] == json!(false)
    })
    .await;
    let history = node.app().jobs.clone().expect("jobs").history(&"Often".parse().expect("a name"), 10).await;
    assert_eq!(history.expect("a history").len(), 2, "twice, without a start date");

    for (form, said) in [
        (nightly.clone(), "there is a job"),
        (json!({"name": "x", "job_type": "sometimes", "service": "zato.ping"}), "job_type"),
        (json!({"name": "x", "job_type": "interval_based", "service": "zato.ping"}), "how often"),
        (json!({"name": "x", "job_type": "interval_based", "service": "no.such", "days": 1}), "no.such"),
        (
            json!({"name": "x", "job_type": "cron_style", "service": "zato.ping", "cron_definition": "0 0 * *"}),
            "4 fields",
        ),
        (
            json!({"name": "x", "job_type": "one_time", "service": "zato.ping", "start_date": "2020-01-01T00:00:00"}),
            "has passed",
        ),
    ] {
        let (status, refused) = call(&node, "create", form).await;
        assert_eq!((status, &refused["zato_env"]["result"]), (500, &json!("ZATO_ERROR")), "{refused}");
        assert!(refused["zato_env"]["details"].to_string().contains(said), "{said}: {refused}");
    }

    // Another name, the same number.
    let edited = json!({"cluster_id": 1, "id": id, "name": "Hourly", "is_active": true, "job_type": "cron_style",
        "service": "zato.ping", "cron_definition": "@hourly", "extra": "anything"});
    let (status, answer) = call(&node, "edit", edited).await;
    assert_eq!((status, &answer["zato_scheduler_job_edit_response"]["id"]), (200, &id), "{answer}");
    let (_, listed) = call(&node, "get-list", json!({"cluster_id": 1})).await;
    let listed = listed["zato_scheduler_job_get_list_response"].as_array().cloned().expect("a list");
    assert_eq!(listed.iter().map(|job| job["name"].clone()).collect::<Vec<_>>(), ["Hourly", "Often"]);
    assert_eq!((&listed[0]["job_type"], &listed[0]["extra"]), (&json!("cron_style"), &json!("anything")));
    assert_eq!((&listed[1]["seconds"], &listed[1]["repeats"]), (&json!(1), &json!(2)));

    assert_eq!(call(&node, "set-active-status", json!({"id": id, "is_active": false})).await.0, 200);
    assert_eq!(call(&node, "execute", json!({"id": id})).await.0, 200, "one that is switched off, too");
    assert_eq!(call(&node, "delete", json!({"id": id})).await.0, 200);
    let (status, gone) = call(&node, "delete", json!({"id": id})).await;
    assert!(status == 500 && gone.to_string().contains("no job of the id"), "{gone}");
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn programs_call_services_by_name_in_the_form_of_their_generation() {
    let node = TestNode::start().await;
    node.apply(WHO).await;
    let api = async |path: &str, body: &'static str| {
        let request = node.post(&format!("/zato/api/invoke/{path}")).basic_auth("pubapi", Some("hush-hush"));
        let answer = request.body(body).send().await.expect("an answer");
        (answer.status().as_u16(), answer.text().await.expect("text"))
    };
    let (status, customer) = api("get-customer", r#"{"cust_id": 7}"#).await;
    assert_eq!((status, customer.as_str()), (200, r#"{"id":7,"name":"Customer 7","verbose":false}"#));
    assert_eq!(api("get-customer?cust_id=8", "").await.1, r#"{"id":8,"name":"Customer 8","verbose":false}"#);
    let (status, missing) = api("no.such", "").await;
    assert!(status == 400 && missing.contains("No such service `no.such`"), "{missing}");

    let admin = async |mut more: Value| {
        more["name"] = json!("get-customer");
        more["payload"] = json!(STANDARD.encode(r#"{"cust_id": 9}"#));
        let request = node.post("/zato/admin/invoke").basic_auth("admin.invoke", Some("hush-hush-too"));
        let answer = request.body(more.to_string()).send().await.expect("an answer");
        assert_eq!(answer.status(), 200);
        answer.json::<Value>().await.expect("JSON")
    };
    let inner = |response: &Value| {
        let bytes = STANDARD.decode(response.as_str().unwrap_or_default()).expect("base64");
        serde_json::from_slice::<Value>(&bytes).expect("JSON")["name"].clone()
    };
    let older = admin(json!({"is_async": false, "timeout": null})).await;
    assert_eq!(inner(&older["zato_service_invoke_response"]["response"]), "Customer 9", "{older}");
    let newer = admin(json!({"is_async": false, "skip_response_elem": true})).await;
    assert_eq!(inner(&newer["response"]), "Customer 9", "{newer}");
    let wrong =
        node.post("/zato/admin/invoke").basic_auth("pubapi", Some("hush-hush")).body("{}").send().await;
    assert_eq!(wrong.expect("an answer").status(), 401, "another's password does not open this");
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn programs_may_call_what_wants_no_role_and_their_calls_are_counted() {
    let node = TestNode::start().await;
    node.apply(
        "security:\n\
         - {name: planner, type: basic, username: planner, password: hush, roles: [jobs]}\n\
         - {name: reader, type: basic, username: reader, password: hush}\n\
         - {name: pubapi, type: any-of, members: [planner, reader]}\n\
         services:\n\
         - {name: zeugma.scheduler.job.create, type: native, require: [jobs]}\n",
    )
    .await;
    let create = json!({"name": "Daily", "job_type": "cron_style", "service": "zato.ping", "cron_definition": "@daily"});
    let ask = async |who: &str, path: &str| {
        let request = node.post(path).basic_auth(who, Some("hush")).body(create.to_string());
        let answer = request.send().await.expect("an answer");
        (answer.status().as_u16(), answer.text().await.expect("text"))
    };
    // By whichever name and at whichever path it is called.
    for path in [
        "json/zato.scheduler.job.create",
        "json/zeugma.scheduler.job.create",
        "api/invoke/zato.scheduler.job.create",
    ] {
        let (status, told) = ask("reader", &format!("/zato/{path}")).await;
        assert!(status == 403 && told.contains("this needs the role jobs"), "{path}: {status} {told}");
    }
    assert_eq!(ask("reader", "/zato/json/zato.scheduler.job.get-list").await.0, 200);
    assert_eq!(ask("planner", "/zato/json/zato.scheduler.job.create").await.0, 200);
    assert_eq!(ask("planner", "/zato/json/zato.scheduler.job.create").await.0, 500, "there is one already");
    assert_eq!(ask("planner", "/zato/api/invoke/no.such").await.0, 400);
    assert_eq!(node.get("/zato/ping").send().await.expect("an answer").status(), 200);
    let text = node.metrics();
    let counted = |path: &str, outcome: &str, many: u64| {
        let line = format!(
            "zeugma_calls_total{{family=\"channel\",name=\"{path}\",outcome=\"{outcome}\"}} {many}\n"
        );
        assert!(text.contains(&line), "{line}{text}");
    };
    counted("/zato/json", "ok", 2);
    counted("/zato/json", "refused", 3);
    counted("/zato/api/invoke", "refused", 2);
    counted("/zato/ping", "ok", 1);
    assert!(text.contains("zeugma_call_seconds_count{family=\"channel\",name=\"/zato/json\"} 5\n"), "{text}");
    node.stop().await;
}
