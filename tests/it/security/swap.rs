//! Channels get another security definition while requests come in: nobody with the right to call is refused, and
//! nobody without it is let in.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use config::settings::Proxies;
use reqwest::RequestBuilder;
use serde_json::Value;

use crate::kit::node::TestNode;

const SECURITY: &str = "security:
- {name: clerk, type: basic, username: clerk, password: hush}
- {name: partner, type: api-key, key: hush}
- {name: browsers, type: jwt, username: web, password: hush, ttl: 10}
- {name: everybody, type: any-of, members: [clerk, partner, browsers]}
";

fn channels(kinds: [&str; 3]) -> String {
    let channel = |(n, security): (usize, &str)| {
        format!("- {{name: c{n}, type: rest, path: /c{n}, service: who, security: {security}}}\n")
    };
    format!("channels:\n{}", kinds.into_iter().enumerate().map(channel).collect::<String>())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_channels_change_their_security_under_load_and_no_request_goes_wrong() {
    let node = TestNode::start_with(|settings| {
        settings.trusted_proxies = Proxies::try_from(vec!["127.0.0.1".to_owned()]).expect("an address");
    });
    let node = Arc::new(node.await);
    node.apply(&format!("{SECURITY}{}", channels(["clerk", "partner", "browsers"]))).await;
    let body = r#"{"username": "web", "password": "hush"}"#;
    let answer = node.post("/api/token").header("content-type", "application/json").body(body).send().await;
    let answer: Value = answer.expect("an answer").json().await.expect("JSON");
    let token = answer["token"].as_str().expect("a token").to_owned();

    let done = Arc::new(AtomicBool::new(false));
    let answered = Arc::new(AtomicUsize::new(0));
    let mut load = Vec::new();
    for n in 0..3 {
        for right in [true, false] {
            let (node, done, answered, token) = (node.clone(), done.clone(), answered.clone(), token.clone());
            load.push(tokio::spawn(async move {
                while !done.load(Ordering::SeqCst) {
                    // Each has all credentials, right or wrong: whichever definition is asked, it knows what to say.
                    let request: RequestBuilder = node.get(&format!("/c{n}"));
                    let request = match right {
                        true => request.header("x-api-key", "hush"),
                        false => request.header("x-api-key", "wrong"),
                    };
                    // One Authorization header only: the token where it is wanted or wrong everywhere.
                    let request = match (right, n) {
                        (true, 2) => request.bearer_auth(&token),
                        (true, _) => request.basic_auth("clerk", Some("hush")),
                        (false, 2) => request.bearer_auth(format!("{token}x")),
                        (false, _) => request.basic_auth("clerk", Some("wrong")),
                    };
                    // Who is wrong again and again is locked out with all that come from the same address.
                    let from =
                        if right { "192.0.2.1".to_owned() } else { format!("10.{n}.0.{}", fastrand::u8(..)) };
                    let request = request.header("x-forwarded-for", from);
                    let status = request.send().await.expect("an answer").status().as_u16();
                    assert_eq!(status, if right { 200 } else { 401 }, "channel {n}");
                    answered.fetch_add(1, Ordering::SeqCst);
                }
            }));
        }
    }
    // What the callers of a channel can show stays the same, what is asked for does not.
    let plans = [
        ["partner", "clerk", "everybody"],
        ["everybody", "everybody", "partner"],
        ["clerk", "partner", "browsers"],
        ["partner", "everybody", "browsers"],
    ];
    for n in 0..200 {
        node.apply(&channels(plans[n % plans.len()])).await;
        if n % 10 == 0 {
            // The definitions themselves change too.
            node.apply(&SECURITY.replace("ttl: 10", &format!("ttl: {}", 10 + n))).await;
        }
    }
    done.store(true, Ordering::SeqCst);
    for task in load {
        task.await.expect("no request went wrong");
    }
    assert!(answered.load(Ordering::SeqCst) > 500, "{answered:?}");
}
