//! Everything about the main job is changed with `zeugma apply` while a load runs, and nothing fails.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::kit::curl::Curl;
use crate::kit::ftp::{Brand, FtpServer, Tls};
use crate::kit::process::eventually;
use crate::kit::program::{PASSWORD, Program};
use crate::kit::recorder::Recorder;

use super::{clerk, ftp_handler, my_ftp, server};

/// What was sent and acknowledged: the answer, and the body.
type Acknowledged = Vec<(Value, Vec<u8>)>;

/// What the clients share.
#[derive(Default)]
struct Load {
    enough: AtomicBool,
    answered: AtomicUsize,
}

/// A client on one connection that is kept alive: posts to this path until it is enough, and fails if anything but a
/// success is answered.
async fn client(url: String, number: usize, load: Arc<Load>) -> Acknowledged {
    let client = reqwest::Client::builder().no_proxy().pool_max_idle_per_host(1).build().expect("a client");
    let login = format!("Basic {}", STANDARD.encode(format!("clerk:{PASSWORD}")));
    let mut acknowledged = Vec::new();
    for turn in 0.. {
        if load.enough.load(Ordering::SeqCst) {
            break;
        }
        // A body of its own for each request, and a size of its own.
        let mut body = format!("{number}/{turn}\r\n\0").into_bytes();
        body.resize(body.len() + (turn * 997) % 20_000, 0x80 | u8::try_from(turn % 100).expect("small"));
        let request = client.post(&url).header("Authorization", &login).header("X-API-Key", PASSWORD);
        let answer = request.body(body.clone()).send().await.unwrap_or_else(|e| panic!("no answer: {e:?}"));
        let (status, bytes) = (answer.status(), answer.bytes().await.expect("the whole answer"));
        assert!(status.is_success(), "{url}, {turn}: {status} {}", String::from_utf8_lossy(&bytes));
        load.answered.fetch_add(1, Ordering::SeqCst);
        // The service is swapped for one that answers what it gets.
        let answer = if bytes == body { Value::Null } else { serde_json::from_slice(&bytes).expect("JSON") };
        acknowledged.push((answer, body));
    }
    acknowledged
}

/// The bundle, changed step by step.
struct Stage {
    bundle: Value,
}

impl Stage {
    fn channel(&mut self, name: &str) -> &mut Value {
        let channels = self.bundle["channels"].as_array_mut().expect("a list");
        channels.iter_mut().find(|channel| channel["name"] == name).expect("the channel")
    }
}

/// Waits until the load has gone on for a while.
async fn goes_on(load: &Load) {
    let before = load.answered.load(Ordering::SeqCst);
    eventually(Duration::from_secs(20), "the load goes on", async || {
        load.answered.load(Ordering::SeqCst) >= before + 15
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn server_path_security_and_service_are_swapped_while_a_load_runs_and_nothing_fails() {
    let first = server(Brand::Proftpd, Tls::No).await;
    let second = server(Brand::Pyftpdlib, Tls::Explicit).await;
    let erp = Recorder::start().await;
    for server in [&first, &second] {
        server.put("home/api/billing.csv", b"the same on both");
    }
    let node = Program::start(&[]);
    let partner =
        json!({"name": "partner", "type": "api-key", "header": "X-API-Key", "key": "${CLERK_PASSWORD}"});
    let mut stage = Stage {
        bundle: json!({
            "security": [clerk(), partner],
            "connections": [my_ftp(&first), {"name": "ERP", "type": "http", "url": format!("{}/erp", erp.url)}],
            "channels": [
                ftp_handler(),
                {"name": "billing", "type": "rest", "path": "/billing", "method": "POST", "service": "billing"},
                {"name": "echo", "type": "rest", "path": "/echo", "method": "POST", "service": "zeugma.helpers.echo",
                 "security": "clerk"},
            ],
        }),
    };
    node.apply(&stage.bundle);

    let load = Arc::new(Load::default());
    let start =
        |path: &str, number| tokio::spawn(client(format!("{}{path}", node.data), number, load.clone()));
    let mut clients: Vec<_> = (0..4).map(|number| start("/ftp", number)).collect();
    let echoing = start("/echo", 9);
    let billing = tokio::spawn(billing_by_curl(format!("{}/billing", node.data), load.clone()));
    goes_on(&load).await;

    // Another server.
    stage.bundle["connections"][0] = my_ftp(&second);
    node.apply(&stage.bundle);
    goes_on(&load).await;
    // Another path; the old one is served by a second channel, in the same change.
    *stage.channel("ftp-handler") = ftp_handler();
    stage.channel("ftp-handler")["path"] = "/ftp/v2".into();
    let mut old = ftp_handler();
    old["name"] = "ftp-handler at its old path".into();
    stage.bundle["channels"].as_array_mut().expect("a list").push(old);
    node.apply(&stage.bundle);
    clients.extend((4..6).map(|number| start("/ftp/v2", number)));
    goes_on(&load).await;
    // Another security.
    stage.channel("ftp-handler")["security"] = "partner".into();
    stage.channel("ftp-handler at its old path")["security"] = "partner".into();
    node.apply(&stage.bundle);
    goes_on(&load).await;
    // Another service, and back to the one before; and to the first server too.
    for service in ["zeugma.helpers.echo", "ftp-handler"] {
        stage.channel("ftp-handler")["service"] = service.into();
        stage.channel("ftp-handler at its old path")["service"] = service.into();
        if service == "ftp-handler" {
            stage.bundle["connections"][0] = my_ftp(&first);
        }
        node.apply(&stage.bundle);
        goes_on(&load).await;
    }

    load.enough.store(true, Ordering::SeqCst);
    let mut stored = [0, 0];
    let mut echoed = 0;
    for client in clients {
        for (answer, body) in client.await.expect("no request failed") {
            let Some(path) = answer["path"].as_str() else {
                echoed += 1;
                continue;
            };
            let file = |server: &FtpServer| std::fs::read(server.file(path.trim_start_matches('/'))).ok();
            let found = [file(&first), file(&second)];
            let at = found.iter().position(Option::is_some);
            let at = at.unwrap_or_else(|| panic!("acknowledged, and on no server: {path}"));
            assert!(found[at].as_ref() == Some(&body), "{path} is not what was sent");
            assert!(found[1 - at].is_none(), "{path} is on both servers");
            stored[at] += 1;
        }
    }
    assert!(stored[0] > 10 && stored[1] > 10 && echoed > 10, "stored {stored:?}, echoed {echoed}");
    for (server, acknowledged) in [(&first, stored[0]), (&second, stored[1])] {
        let files = std::fs::read_dir(server.file("home/api")).expect("the folder").count() - 1;
        assert_eq!(files, acknowledged, "a file for each acknowledged request, and no other");
    }
    assert!(echoing.await.expect("no request failed").iter().all(|(answer, _)| answer.is_null()));
    let posted = billing.await.expect("no request failed");
    let received = erp.received();
    assert_eq!(received.len(), posted.len());
    for (received, cid) in received.iter().zip(&posted) {
        assert_eq!(received.head["headers"]["x-zeugma-cid"], cid.as_str());
        assert_eq!(received.body, b"the same on both");
    }
    assert_eq!(node.json(&["nodes"])[0]["faults"], json!([]));
    assert_eq!(node.stop(), 0);
}

/// Posts to billing by curl until it is enough; gives the cids.
async fn billing_by_curl(url: String, load: Arc<Load>) -> Vec<String> {
    let mut cids = Vec::new();
    while !load.enough.load(Ordering::SeqCst) {
        let url = url.clone();
        let answer = tokio::task::spawn_blocking(move || Curl::new(&url).with(&["-X", "POST"]).send());
        let answer = answer.await.expect("curl runs");
        assert_eq!(answer.status, 200, "{}", answer.text());
        cids.push(answer.header("X-Zeugma-CID").expect("a cid").to_owned());
        tokio::time::sleep(Duration::from_millis(20)).await; // so that it is not all of the load
    }
    cids
}
