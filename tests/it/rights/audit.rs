//! The audit log: who did what, also after a restart, and without a secret.

use serde_json::{Value, json};

use crate::kit::cluster::{Cluster, SOON};
use crate::kit::process::eventually;
use crate::kit::program::{Program, said};

const SECRET: &str = "hush-hush-9f1c";

fn good(node: &Program, token: &str, arguments: &[&str]) {
    let mut command = node.command(arguments);
    let said = said(command.env("ZEUGMA_ADMIN_TOKEN", token).output().expect("the program runs"));
    assert_eq!(said.code, 0, "{arguments:?}: {said:?}");
}

fn audit(node: &Program, arguments: &[&str]) -> Vec<Value> {
    let found = node.json(&[&["audit"], arguments].concat());
    found.as_array().expect("a list").clone()
}

fn whats(entries: &[Value]) -> Vec<&str> {
    entries.iter().map(|entry| entry["what"].as_str().expect("text")).collect()
}

#[tokio::test]
async fn it_tells_who_did_what_and_who_was_refused() {
    let node = Program::start(&[]);
    let create = ["admin-token", "create", "robot", "--role", "deployer"];
    let token = node.good(&create).trim().to_owned();
    let bundle = |password: &str| {
        json!({"security": [{"name": "clerk", "type": "basic", "username": "clerk", "password": password}],
               "channels": [{"name": "c", "type": "rest", "path": "/c", "service": "zeugma.ping", "security": "clerk"}]})
    };
    node.write("one.json", &bundle(SECRET).to_string());
    node.write("two.json", &bundle(&format!("{SECRET}-2")).to_string());
    good(&node, &token, &["apply", "-f", "one.json"]);
    good(&node, &token, &["apply", "-f", "two.json", "--reason", "it leaked"]);
    good(&node, &token, &["actor", "pause", "channel", "c"]);
    good(&node, &token, &["actor", "resume", "channel", "c"]);
    good(&node, &token, &["invoke", "zeugma.helpers.echo", "--payload", SECRET]);
    node.good(&["export"]);
    node.good(&["export", "--reveal-secrets"]);
    let client = reqwest::Client::builder().no_proxy().build().expect("a client");
    let wrong = client.get(format!("{}/api/v1/nodes", node.admin)).bearer_auth("wrong-token-77");
    assert_eq!(wrong.send().await.expect("an answer").status(), 401);
    let low = client.get(format!("{}/api/v1/export?reveal", node.admin)).bearer_auth(&token);
    assert_eq!(low.send().await.expect("an answer").status(), 403);

    let done = audit(&node, &["--who", "robot"]);
    assert_eq!(whats(&done), ["export", "invoke", "tell", "tell", "change", "change"], "{done:#?}");
    for entry in &done {
        assert_eq!(entry["by"]["token"], "robot", "{entry:#}");
        assert_eq!(entry["by"]["role"], "deployer");
        assert_eq!(entry["address"], "127.0.0.1");
    }
    assert_eq!(done[0]["request"]["status"], 403);
    assert_eq!(done[1]["request"]["line"], "POST /api/v1/services/zeugma.helpers.echo/invoke");
    assert_eq!(done[1]["request"]["status"], 200);
    assert_eq!(done[3]["request"]["line"], "POST /api/v1/actors/channel/c/pause");
    assert_eq!((&done[4]["revision"], &done[4]["reason"]), (&json!(3), &json!("it leaked")));
    let changes = done[4]["changes"].as_array().expect("changes");
    assert_eq!(changes.len(), 1, "{changes:?}");
    assert_eq!(changes[0]["id"], "security/clerk");

    let revealed = audit(&node, &["--who", "admin.token", "--text", "/export"]);
    assert_eq!(whats(&revealed), ["export"], "only the one that showed secrets: {revealed:#?}");
    eventually(SOON, "the refusal is noted", async || {
        let refused = audit(&node, &["--text", "\"refused\":true"]);
        whats(&refused) == ["nodes"] && refused[0]["address"] == "127.0.0.1" && refused[0].get("by").is_none()
    })
    .await;

    // Pages.
    let all = audit(&node, &["-n", "500"]);
    let first = audit(&node, &["-n", "3"]);
    let before = first[2]["at"].as_str().expect("a time");
    let rest = audit(&node, &["-n", "500", "--before", before]);
    assert_eq!([first.clone(), rest].concat(), all);
    let table = node.good(&["audit"]);
    assert!(table.contains("it leaked") && table.contains("~security/clerk"), "{table}");

    // Nothing secret is in it, and a restart forgets nothing.
    let text = serde_json::to_string(&all).expect("JSON");
    for secret in [SECRET, &token, "wrong-token-77"] {
        assert!(!text.contains(secret), "{secret} in {text}");
    }
    let node = node.crash_and_restart(&[]);
    assert_eq!(audit(&node, &["-n", "500"]), all);
}

#[test]
fn it_tells_of_what_programs_do_through_services() {
    let node = Program::start(&[]);
    let services = [
        ("create", "zeugma.channel.create"),
        ("execute", "zeugma.scheduler.job.execute"),
        ("switch", "zeugma.scheduler.job.set-active-status"),
        ("token", "zeugma.jwt.create-token"),
    ];
    let channel = |(name, service): (&str, &str)| {
        json!({"name": name, "type": "rest", "path": format!("/{name}"), "method": "POST", "service": service,
               "data_format": "json", "security": "staff"})
    };
    node.apply(&json!({
        "security": [
            {"name": "staff", "type": "basic", "username": "clerk", "password": SECRET, "roles": ["create-tokens"]},
            {"name": "browsers", "type": "jwt", "username": "web", "password": SECRET}
        ],
        "channels": services.map(channel),
        "jobs": [{"name": "nightly", "type": "interval", "service": "zeugma.ping", "every": "1h"},
                 {"name": "off", "type": "interval", "service": "zeugma.ping", "every": "1h", "enabled": false}]
    }));
    let call = |path: &str, input: Value| {
        let file = node.write("input.json", &input.to_string());
        node.curl(path)
            .file(&file)
            .with(&["-H", "Content-Type: application/json", "--user", &format!("clerk:{SECRET}")])
            .send()
    };
    call("/create", json!({"name": "ping", "type": "rest", "path": "/ping", "service": "zeugma.ping"})).ok();
    call("/execute", json!({"name": "nightly"})).ok();
    call("/execute", json!({"name": "off"})).ok();
    call("/switch", json!({"name": "off", "is_active": true})).ok();
    let token = call("/token", json!({"username": "boss"})).ok().json()["token"].take();
    assert_eq!(call("/execute", json!({"name": "nobody's"})).status, 404);
    node.good(&["token", "create", "--security", "browsers", "--username", "partner"]);

    let all = audit(&node, &[]);
    let (execute, create_token) = ("zeugma.scheduler.job.execute", "zeugma.jwt.create-token");
    assert_eq!(
        whats(&all),
        ["invoke", create_token, "change", execute, execute, "change", "change"],
        "{all:#?}"
    );
    assert_eq!(all[0]["by"]["token"], "admin.token");
    for (entry, channel) in all[1..6].iter().zip(["token", "switch", "execute", "execute", "create"]) {
        let who = format!("clerk (security/staff), through channel {channel}");
        assert_eq!((&entry["author"], &entry["address"]), (&json!(who), &json!("127.0.0.1")), "{entry:#}");
        assert_eq!(entry.get("by"), None, "no admin token was shown");
    }
    let about = |n: usize| (&all[n]["request"]["line"], &all[n]["request"]["status"]);
    assert_eq!(about(1), (&json!("a token for \"boss\" of security/browsers"), &json!(200)));
    assert_eq!(about(3), (&json!("job/off"), &json!(200)));
    assert_eq!(about(4), (&json!("job/nightly"), &json!(200)));
    assert!(!json!(all).to_string().contains(token.as_str().expect("a token")));
    assert_eq!(audit(&node, &["--who", "clerk"]).len(), 5);
    // The history says it as well.
    let history = node.json(&["history"]);
    assert_eq!(history[1]["address"], "127.0.0.1", "{history:#}");
    let node = node.crash_and_restart(&[]);
    assert_eq!(audit(&node, &[]), all);
}

#[test]
fn a_job_that_is_switched_on_or_off_is_told_of_once() {
    let node = Program::start(&[]);
    node.apply(&json!({"jobs": [
        {"name": "j", "type": "interval", "service": "zeugma.ping", "every": "1h"},
        {"name": "over", "type": "interval", "service": "zeugma.ping", "every": "1s", "repeats": 1}
    ]}));
    node.good(&["job", "deactivate", "j"]);
    node.good(&["job", "activate", "j"]);
    assert_eq!(whats(&audit(&node, &[])), ["change", "change", "change"], "by the history alone");
    // One that has run out begins another turn without a change of its definition.
    let deadline = std::time::Instant::now() + SOON;
    while node.good(&["job", "activate", "over"]).contains("already") {
        assert!(std::time::Instant::now() < deadline, "it does not run out");
    }
    let all = audit(&node, &[]);
    assert!(whats(&all).contains(&"activateJob"), "{all:#?}");
    assert_eq!(whats(&audit(&node, &["--text", "jobs/j/"])), [""; 0], "{all:#?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_node_tells_of_all() {
    let mut cluster = Cluster::of(2).await;
    cluster.node(1).apply(&crate::kit::cluster::channel("c"));
    cluster.node(2).good(&["actor", "pause", "channel", "c"]);
    for n in [1, 2] {
        let entries = audit(cluster.node(n), &[]);
        assert_eq!(whats(&entries), ["tell", "change"], "{entries:#?}");
        assert_eq!(entries[0]["request"]["node"], "n2");
    }
    // What must be done with Redis away is done all the same.
    cluster.redis.kill();
    let said = cluster.node(1).run(&["actor", "resume", "channel", "c"]);
    assert_eq!(said.code, 0, "{said:?}");
    eventually(SOON, "the log of the node has it instead", async || {
        cluster.node(1).log().contains("the audit log could not be written")
    })
    .await;
}
