//! An FTP server goes away and comes back: callers hear in time, the connection recovers by itself, nothing is lost
//! silently.

use std::time::Duration;

use serde_json::Value;

use crate::kit::ftp::{Brand, FtpServer, Tls};
use crate::kit::process::eventually;
use crate::kit::program::Program;

use super::{bundle, send, server, stored};

/// How long the channel lets a request take, in seconds.
const DEADLINE: f64 = 3.0;
/// What a busy machine may add to it.
const SLACK: f64 = 4.0;

/// A node whose channel and connection do not wait for long.
fn node(server: &FtpServer) -> Program {
    let mut bundle = bundle(server);
    bundle["connections"][0]["timeout"] = "1s".into();
    bundle["connections"][0]["connect_timeout"] = "1s".into();
    bundle["channels"][0]["deadline"] = "3s".into();
    let node = Program::start(&[]);
    node.apply(&bundle);
    node
}

/// Sends requests at once; each must be answered in time, and by a status that is true. Gives the statuses.
fn try_it(node: &Program, server: &FtpServer, text: &str) -> Vec<u16> {
    let file = node.write("sent", text);
    let all: Vec<_> = (0..3).map(|_| send(node, &file).begin()).collect();
    let check = |request: crate::kit::curl::UnderWay| {
        let answer = request.end();
        assert_eq!(answer.exit, 0, "every request is answered");
        assert!(answer.seconds < DEADLINE + SLACK, "an answer after {} s", answer.seconds);
        match answer.status {
            200 => {
                let there = std::fs::read_to_string(stored(server, &answer.json()));
                assert_eq!(there.expect("what was acknowledged is there"), text);
            }
            502..=504 => assert!(!answer.text().contains("panic"), "{}", answer.text()),
            other => panic!("{other}: {}", answer.text()),
        }
        answer.status
    };
    all.into_iter().map(check).collect()
}

fn is_down(actor: &Value) -> bool {
    actor["state"] == "down" && actor["down_since"].is_string()
}

async fn comes_back(node: &Program, server: &FtpServer) {
    eventually(Duration::from_secs(15), "the connection recovers by itself", async || {
        node.actor("connection", "my.ftp")["state"] == "running"
    })
    .await;
    assert_eq!(try_it(node, server, "it is back"), [200; 3]);
}

#[tokio::test]
async fn a_server_that_is_killed_is_answered_502_until_it_is_back() {
    let mut server = server(Brand::Pyftpdlib, Tls::No).await;
    let node = node(&server);
    assert_eq!(try_it(&node, &server, "all is well"), [200; 3]);

    server.kill();
    let statuses = try_it(&node, &server, "nobody is there");
    assert!(statuses.iter().all(|status| matches!(status, 502 | 504)), "{statuses:?}");
    eventually(Duration::from_secs(5), "the actor sees it", async || {
        is_down(&node.actor("connection", "my.ftp"))
    })
    .await;
    let told = node.good(&["actors"]);
    let row = told.lines().find(|line| line.contains("my.ftp")).expect("its row");
    assert!(row.contains("down"), "{told}");
    let stats = node.json(&["actor", "stats", "connection", "my.ftp"]);
    assert!(stats["up"] == false && stats["error"].is_string(), "{stats}");
    let ping = node.run(&["actor", "ping", "connection", "my.ftp"]);
    assert_eq!(ping.code, 1, "{ping:?}");
    assert!(node.good(&["status"]).contains("ok"), "the node itself is well");
    // While it is known to be away, nobody tries and waits.
    let file = node.write("sent", "x");
    let refused = send(&node, &file).send();
    assert!(refused.status == 502 && refused.text().contains("connection/my.ftp is down"), "{refused:?}");
    assert!(refused.header("Retry-After").is_some(), "{}", refused.head);

    server.restart().await;
    comes_back(&node, &server).await;
}

#[tokio::test]
async fn a_server_that_hangs_is_answered_504_until_it_goes_on() {
    let server = server(Brand::Proftpd, Tls::No).await;
    let node = node(&server);
    assert_eq!(try_it(&node, &server, "all is well"), [200; 3]);

    server.pause();
    let statuses = try_it(&node, &server, "it hangs");
    assert!(statuses.iter().all(|status| matches!(status, 502 | 504)), "{statuses:?}");
    eventually(Duration::from_secs(10), "the actor sees it", async || {
        try_it(&node, &server, "it hangs");
        is_down(&node.actor("connection", "my.ftp"))
    })
    .await;

    server.resume();
    comes_back(&node, &server).await;
}
