//! The client of the older platform, as it is, manages jobs: by each of its ways to call a service.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use serde_json::{Value, json};

use crate::kit::node::{TestNode, until};
use crate::kit::process::installed;

/// A Python program that calls services with that client.
struct Client {
    child: Child,
    asks: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Client {
    fn of(node: &TestNode) -> Self {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/kit/zato_client.py");
        let mut child = Command::new(installed("zatoclient", "bin/python"))
            .arg(script)
            .args([&format!("http://{}", node.data()), "hush-hush"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("Python runs");
        let (asks, answers) = (child.stdin.take().expect("input"), child.stdout.take().expect("output"));
        Self { child, asks, answers: BufReader::new(answers) }
    }

    fn ask(&mut self, ask: &Value) -> Value {
        writeln!(self.asks, "{ask}").expect("it reads");
        let mut line = String::new();
        self.answers.read_line(&mut line).expect("it answers");
        serde_json::from_str(&line).unwrap_or_else(|_| panic!("{ask}: it has ended, and says why above"))
    }

    /// What a service of jobs answers, by one of the client's ways.
    fn job(&mut self, by: &str, verb: &str, payload: Value) -> Value {
        self.ask(&json!({"by": by, "service": format!("zato.scheduler.job.{verb}"), "payload": payload}))
    }

    /// The same; it must go well.
    fn good(&mut self, by: &str, verb: &str, payload: Value) -> Value {
        let answer = self.job(by, verb, payload);
        assert!(answer["ok"] == json!(true), "{by} {verb}: {answer}");
        assert_eq!(answer["cid"].as_str().map(str::len), Some(24), "{answer}");
        answer["data"].clone()
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        // It is only to be gone.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_client_of_the_older_platform_manages_jobs_by_each_of_its_ways() {
    let node = TestNode::start().await;
    node.apply(
        "security:\n\
         - {name: pubapi, type: basic, username: pubapi, password: hush-hush}\n\
         - {name: admin.invoke, type: basic, username: admin.invoke, password: hush-hush}\n",
    )
    .await;
    let mut client = Client::of(&node);
    for (by, name) in [("sio", "by element"), ("api", "by path"), ("invoker", "by invoker")] {
        let form = json!({"cluster_id": 1, "name": name, "is_active": true, "job_type": "interval_based",
            "service": "zato.ping", "start_date": "2030-01-01T00:00:00", "hours": 3, "extra": "anything"});
        let made = client.good(by, "create", form.clone());
        let id = made["id"].clone();
        assert!(id.is_u64() && made["name"] == name, "{by}: {made}");
        let twice = client.job(by, "create", form.clone());
        assert!(
            twice["ok"] == json!(false) && twice["details"].to_string().contains("already"),
            "{by}: {twice}"
        );

        let mut edited = form;
        (edited["id"], edited["hours"], edited["minutes"]) = (id.clone(), json!(""), json!(5));
        assert_eq!(client.good(by, "edit", edited)["id"], id, "{by}");
        let job = client.good(by, "get-by-name", json!({"cluster_id": 1, "name": name}));
        assert_eq!((&job["id"], &job["minutes"], &job["hours"]), (&id, &json!(5), &Value::Null), "{by}");
        assert_eq!(
            (&job["job_type"], &job["service_name"]),
            (&json!("interval_based"), &json!("zeugma.ping"))
        );
        let jobs = client.good(by, "get-list", json!({"cluster_id": 1, "query": name}));
        assert_eq!(
            (jobs.as_array().map(Vec::len), &jobs[0]["name"]),
            (Some(1), &json!(name)),
            "{by}: {jobs}"
        );

        client.good(by, "execute", json!({"id": id}));
        until("it was executed", async || {
            let name = name.parse().expect("a name");
            let history = node.app().jobs.clone().expect("jobs").history(&name, 10).await.expect("a history");
            history.len() == 1 && history[0].manual && history[0].outcome == config::slots::Outcome::Done
        })
        .await;
        client.good(by, "set-active-status", json!({"id": id, "is_active": false}));
        let job = client.good(by, "get-by-name", json!({"cluster_id": 1, "name": name}));
        assert_eq!(job["is_active"], json!(false), "{by}");
        client.good(by, "delete", json!({"id": id}));
        let jobs = client.good(by, "get-list", json!({"cluster_id": 1}));
        // One of its ways makes nothing of a list that is empty.
        assert!(jobs.as_array().map_or(by == "sio", Vec::is_empty), "{by}: {jobs}");
    }
    // What it sends if nothing is said: an empty text, and null.
    let jobs = client.ask(&json!({"by": "invoker", "service": "zato.scheduler.job.get-list"}));
    assert_eq!((&jobs["ok"], &jobs["data"]), (&json!(true), &json!([])), "{jobs}");
    let pong = client.ask(&json!({"by": "invoker", "service": "zato.ping"}));
    assert_eq!(pong["data"], json!({"pong": "zeugma"}), "{pong}");
    for verb in ["get", "delete", "post"] {
        let jobs = client.ask(&json!({"by": "api", "verb": verb, "service": "zato.scheduler.job.get-list"}));
        assert_eq!((&jobs["ok"], &jobs["data"]), (&json!(true), &json!([])), "{verb}: {jobs}");
    }
    let whole = client.good("json", "get-list", json!({"cluster_id": 1}));
    assert_eq!(whole["zato_env"]["result"], "ZATO_OK", "{whole}");
    assert!(whole["zato_scheduler_job_get_list_response"].is_array(), "{whole}");
    // One that nobody waits for.
    let form = json!({"name": "later", "job_type": "one_time", "service": "zato.ping"});
    let service = "zato.scheduler.job.create";
    let started = client.ask(&json!({"by": "invoker", "service": service, "async": true, "payload": form}));
    assert_eq!(started["ok"], json!(true), "{started}");
    until("it is made", async || {
        let jobs = node.app().jobs.clone().expect("jobs").list().await.expect("a list");
        jobs.iter().any(|job| job.name.as_str() == "later")
    })
    .await;
    // What cannot be.
    for by in ["invoker", "api"] {
        let missing = client.ask(&json!({"by": by, "service": "no.such", "payload": {}}));
        assert!(
            missing["ok"] == json!(false) && missing["details"].to_string().contains("no.such"),
            "{missing}"
        );
    }
    node.stop().await;
}
