//! Who is wrong too often is not believed for a while, and not told so.

use actors::admission::lockout::{FAILURES, FAILURES_OF_ALL};
use serde_json::json;

use super::{answer, behind_a_proxy, from, status};
use crate::kit::node::{TestNode, until};

const BUNDLE: &str = "
security:
- {name: clerk, type: basic, username: clerk, password: hush}
- {name: partner, type: api-key, key: key-1}
- {name: either, type: any-of, members: [clerk, partner]}
- {name: browsers, type: jwt, username: web, password: hush}
channels:
- {name: clerks, type: rest, path: /clerks, service: zeugma.ping, security: clerk}
- {name: partners, type: rest, path: /partners, service: zeugma.ping, security: partner}
- {name: all, type: rest, path: /all, service: zeugma.ping, security: either}
- {name: web, type: rest, path: /web, service: zeugma.ping, security: browsers}
";

#[tokio::test]
async fn after_ten_wrong_ones_the_right_one_is_answered_just_the_same() {
    let node = behind_a_proxy().await;
    node.apply(BUNDLE).await;
    let basic = |address: &str, password: &str| {
        from(address, node.get("/clerks")).basic_auth("clerk", Some(password))
    };
    let key = |address: &str, key: &str| from(address, node.get("/partners")).header("x-api-key", key);
    let group = |address: &str, key: &str| from(address, node.get("/all")).header("x-api-key", key);
    let wrong = answer(basic("10.0.0.1", "wrong")).await;
    let wrong_key = answer(key("10.0.0.1", "wrong")).await;
    let wrong_in_group = answer(group("10.0.0.1", "wrong")).await;
    assert_eq!([wrong.0, wrong_key.0, wrong_in_group.0], [401; 3]);
    for _ in 1..FAILURES {
        assert_eq!(answer(basic("10.0.0.1", "wrong")).await, wrong);
        assert_eq!(answer(key("10.0.0.1", "wrong")).await, wrong_key);
        assert_eq!(answer(group("10.0.0.1", "wrong")).await, wrong_in_group);
    }
    assert_eq!(answer(basic("10.0.0.1", "hush")).await, wrong, "the right password");
    assert_eq!(answer(key("10.0.0.1", "key-1")).await, wrong_key, "the right key");
    assert_eq!(answer(group("10.0.0.1", "key-1")).await, wrong_in_group, "the right key in a group");
    assert!(node.metrics().contains("zeugma_refused_total{reason=\"locked-out\"} 3"), "{}", node.metrics());
    assert_eq!(status(basic("10.0.0.2", "hush")).await, 200, "from another address");
    until("the first time is short", async || status(basic("10.0.0.1", "hush")).await == 200).await;
}

#[tokio::test]
async fn who_was_right_lately_goes_on_at_an_address_where_somebody_else_is_locked_out() {
    let node = behind_a_proxy().await;
    node.apply(BUNDLE).await;
    let basic = |password: &str| from("10.0.0.1", node.get("/clerks")).basic_auth("clerk", Some(password));
    let group = |key: &str| from("10.0.0.1", node.get("/all")).header("x-api-key", key);
    let log_in = |password: &str| {
        from("10.0.0.1", node.post("/api/token")).json(&json!({"username": "web", "password": password}))
    };
    let wrong = answer(basic("wrong")).await;
    assert_eq!(status(basic("hush")).await, 200);
    assert_eq!(status(group("key-1")).await, 200);
    assert_eq!(status(log_in("hush")).await, 200);
    for n in 0..FAILURES * 2 {
        // The right ones in between do not cover the wrong ones.
        assert_eq!(answer(basic(&format!("guess {n}"))).await, wrong);
        assert_eq!(status(basic("hush")).await, 200);
        assert_eq!(status(group(&format!("guess {n}"))).await, 401);
        assert_eq!(status(log_in(&format!("guess {n}"))).await, 401);
    }
    let locked_out = || node.metrics().contains("reason=\"locked-out\"");
    assert!(locked_out(), "{}", node.metrics());
    assert_eq!(status(basic("hush")).await, 200);
    assert_eq!(status(group("key-1")).await, 200);
    assert_eq!(status(log_in("hush")).await, 200);
    // One that is right covers no other that is tried beside it: the password was never shown here before.
    let beside = group("key-1").basic_auth("clerk", Some("hush"));
    assert_eq!(status(beside).await, 401);
}

#[tokio::test]
async fn who_shows_no_password_or_a_token_that_is_over_is_not_locked_out() {
    let node = TestNode::start().await;
    node.apply(BUNDLE).await;
    for _ in 0..FAILURES * 2 {
        assert_eq!(status(node.get("/clerks")).await, 401);
        assert_eq!(status(node.get("/partners")).await, 401);
        assert_eq!(status(node.get("/web").bearer_auth("over")).await, 401);
    }
    assert_eq!(status(node.get("/clerks").basic_auth("clerk", Some("hush"))).await, 200);
    assert_eq!(status(node.get("/partners").header("x-api-key", "key-1")).await, 200);
    let log_in = node.post("/api/token").json(&json!({"username": "web", "password": "hush"}));
    let token = log_in.send().await.expect("an answer").headers()["authorization"].clone();
    let token = token.to_str().expect("text");
    assert_eq!(status(node.get("/web").bearer_auth(token)).await, 200);
}

#[tokio::test]
async fn log_ins_for_a_token_are_counted_too() {
    let node = behind_a_proxy().await;
    node.apply(BUNDLE).await;
    let log_in = |address: &str, user: &str, password: &str| {
        from(address, node.post("/api/token")).json(&json!({"username": user, "password": password}))
    };
    let wrong = answer(log_in("10.0.0.1", "web", "wrong")).await;
    assert_eq!(wrong.0, 401);
    for _ in 0..FAILURES {
        assert_eq!(answer(log_in("10.0.0.1", "nobody", "hush")).await, wrong, "another user name");
    }
    assert_eq!(
        status(log_in("10.0.0.1", "web", "hush")).await,
        200,
        "those were not guesses of this password"
    );
    for _ in 0..FAILURES {
        assert_eq!(answer(log_in("10.0.0.3", "web", "wrong")).await, wrong);
    }
    assert_eq!(answer(log_in("10.0.0.3", "web", "hush")).await, wrong);
    assert_eq!(status(log_in("10.0.0.2", "web", "hush")).await, 200);
}

#[tokio::test]
async fn the_paths_of_older_clients_are_counted_too() {
    let node = behind_a_proxy().await;
    node.apply("security:\n- {name: pubapi, type: basic, username: pubapi, password: hush}\n").await;
    let ask = |address: &str, password: &str| {
        from(address, node.post("/zato/json/zato.ping")).basic_auth("pubapi", Some(password)).body("{}")
    };
    assert_eq!(status(ask("10.0.0.2", "hush")).await, 200);
    for _ in 0..FAILURES {
        assert_eq!(status(ask("10.0.0.1", "wrong")).await, 401);
    }
    assert_eq!(status(ask("10.0.0.1", "hush")).await, 401);
    assert_eq!(status(ask("10.0.0.2", "hush")).await, 200);
}

#[tokio::test]
async fn a_password_tried_from_many_addresses_is_closed_to_strangers_only() {
    let node = behind_a_proxy().await;
    node.apply(BUNDLE).await;
    let basic = |address: &str, password: &str| {
        from(address, node.get("/clerks")).basic_auth("clerk", Some(password))
    };
    assert_eq!(status(basic("192.0.2.7", "hush")).await, 200);
    for n in 0..FAILURES_OF_ALL {
        let address = format!("10.0.{}.{}", n / 250, n % 250);
        assert_eq!(status(basic(&address, &format!("guess-{n}"))).await, 401);
    }
    assert_eq!(status(basic("10.9.9.9", "hush")).await, 401, "a stranger, who is right at last");
    assert_eq!(status(basic("192.0.2.7", "hush")).await, 200, "who was right lately");
    let partner = from("10.9.9.9", node.get("/partners")).header("x-api-key", "key-1");
    assert_eq!(status(partner).await, 200, "another definition");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn guesses_that_come_all_at_once_are_not_all_looked_at() {
    let node = behind_a_proxy().await;
    let hash = actors::security::basic::hash_password("hush").expect("a hash");
    node.apply(&format!(
        "security: [{{name: slow, type: basic, username: clerk, password_hash: '{hash}'}}]
channels: [{{name: slow, type: rest, path: /slow, service: zeugma.ping, security: slow}}]"
    ))
    .await;
    let basic =
        |address: &str, password: &str| from(address, node.get("/slow")).basic_auth("clerk", Some(password));
    let mut guesses = tokio::task::JoinSet::new();
    for n in 0..FAILURES * 10 {
        guesses.spawn(answer(basic("10.0.0.1", &format!("guess {n}"))));
    }
    let answers = guesses.join_all().await;
    assert!(answers.iter().all(|answer| [401, 429].contains(&answer.0)), "{answers:?}");
    let waited = answers.iter().filter(|answer| answer.0 == 429).count();
    let metrics = node.metrics();
    let locked_out =
        metrics.lines().find_map(|line| line.strip_prefix("zeugma_refused_total{reason=\"locked-out\"} "));
    let locked_out: usize = locked_out.expect("some").parse().expect("a number");
    let all = usize::try_from(FAILURES).expect("few") * 10;
    assert!(waited + locked_out >= all * 9 / 10, "{waited} waited, {locked_out} locked out");
    // Many who begin with the right one at once are all let in, though none of them was right before.
    let mut right = tokio::task::JoinSet::new();
    for _ in 0..FAILURES * 5 {
        right.spawn(status(basic("10.0.0.2", "hush")));
    }
    assert!(right.join_all().await.iter().all(|status| *status == 200));
}

#[tokio::test]
async fn a_right_key_covers_no_password_that_is_tried_beside_it() {
    let node = behind_a_proxy().await;
    node.apply(BUNDLE).await;
    let group = |address: &str, key: &str| from(address, node.get("/all")).header("x-api-key", key);
    assert_eq!(status(group("10.0.0.1", "key-1")).await, 200);
    for n in 0..FAILURES {
        let beside = group("10.0.0.1", "key-1").basic_auth("clerk", Some(format!("guess {n}")));
        assert_eq!(status(beside).await, 200, "the key is right");
    }
    let beside = group("10.0.0.1", "key-1").basic_auth("clerk", Some("hush"));
    assert_eq!(status(beside).await, 401, "locked out, and not told that this is the one");
    assert_eq!(status(group("10.0.0.1", "key-1")).await, 200, "the key alone was right lately");
    let basic = from("10.0.0.2", node.get("/all")).basic_auth("clerk", Some("hush"));
    assert_eq!(status(basic).await, 200, "at another address");
}
