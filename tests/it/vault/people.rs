//! Who is let in, by what, and as whom.

use actors::admission::lockout::FAILURES;
use serde_json::json;

use super::{PASSWORD, TOKEN, USERNAME, ask, node, who};
use crate::kit::node::TestNode;
use crate::kit::vault::{Bao, Facade, Slapd};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_or_a_password_is_known_and_its_policies_are_roles() {
    let bao = Bao::start().await;
    bao.user("clerk", "pässwort", "clerks", "60s").await;
    let token = bao.token(json!({"policies": ["builders"], "ttl": "1h", "meta": {"username": "bob"}})).await;
    let node = node(&bao.url(), "token: root", "recheck: 1s").await;

    let by_token = ask(&node, "/who", &[(TOKEN, &token)], "").await;
    assert_eq!(by_token.headers()["x-zato-vault-token"], token.as_str());
    assert_eq!(by_token.headers()["x-zato-vault-token-lease-duration"], "None");
    assert_eq!(by_token.text().await.expect("text"), "bob");

    let clerk = [(USERNAME, "clerk"), (PASSWORD, "pässwort")];
    let by_password = ask(&node, "/who", &clerk, "").await;
    let (made, lease) = (
        &by_password.headers()["x-zato-vault-token"],
        &by_password.headers()["x-zato-vault-token-lease-duration"],
    );
    let lease: u64 = lease.to_str().expect("text").parse().expect("seconds");
    assert!((50..=60).contains(&lease), "{lease}");
    let made = made.to_str().expect("text").to_owned();
    assert_eq!(by_password.text().await.expect("text"), "clerk");
    assert_eq!(who(&node, &[(TOKEN, &made)]).await, Ok("clerk".into()), "the token of the log-in is one");

    for (shown, role, has) in [
        (&clerk[..], "clerks", "true"),
        (&clerk[..], "builders", "false"),
        (&[(TOKEN, &*token)][..], "builders", "true"),
        (&[(TOKEN, &*token)][..], "default", "true"),
        (&[(TOKEN, &*token)][..], "clerks", "false"),
    ] {
        let answer = ask(&node, "/role", shown, role).await.text().await.expect("text");
        assert_eq!(answer, has, "{role}");
    }
    // Elsewhere mounted, as the caller says.
    bao.root(reqwest::Method::POST, "sys/auth/staff", json!({"type": "userpass"})).await;
    bao.root(reqwest::Method::POST, "auth/staff/users/anna", json!({"password": "pw"})).await;
    let anna = [(USERNAME, "anna"), (PASSWORD, "pw"), ("X-Zato-Vault-Mount-Point", "staff")];
    assert_eq!(who(&node, &anna).await, Ok("anna".into()));
    assert_eq!(who(&node, &anna[..2]).await, Err(401));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_is_not_known_is_told_what_is_needed_and_nothing_else() {
    let bao = Bao::start().await;
    bao.user("clerk", "pw", "clerks", "60s").await;
    let node = node(&bao.url(), "token: root", "recheck: 1s").await;
    let long = "x".repeat(20_000);
    let strangers: [&[(&str, &str)]; 16] = [
        &[],
        &[(TOKEN, "")],
        &[(TOKEN, "nobody")],
        &[(TOKEN, "root"), (TOKEN, "root")],
        &[(TOKEN, &long)],
        &[(USERNAME, "clerk")],
        &[(PASSWORD, "pw")],
        &[(USERNAME, "clerk"), (PASSWORD, "other")],
        &[(USERNAME, "nobody"), (PASSWORD, "pw")],
        &[(USERNAME, "../../userpass/login/clerk"), (PASSWORD, "pw")],
        &[(USERNAME, "clerk/"), (PASSWORD, "pw")],
        &[(USERNAME, "%2e%2e"), (PASSWORD, "pw")],
        &[(USERNAME, "clerk"), (PASSWORD, "pw"), ("X-Zato-Vault-Mount-Point", "../auth/userpass")],
        &[(USERNAME, "clerk"), (PASSWORD, "pw"), ("X-Zato-Vault-Mount-Point", "nowhere")],
        &[("X-Zato-Vault-Token-GitHub", "ghp_octo")],
        &[("Authorization", "Bearer root")],
    ];
    let mut texts = std::collections::BTreeSet::new();
    for shown in strangers {
        let answer = ask(&node, "/who", shown, "").await;
        // A head that long is refused before anybody looks at it.
        if shown == [(TOKEN, &*long)] {
            assert!([401, 431].contains(&answer.status().as_u16()), "{}", answer.status());
            continue;
        }
        assert_eq!(answer.status(), 401, "{shown:?}");
        assert_eq!(answer.headers()["www-authenticate"], "zato-vault", "{shown:?}");
        assert!(!answer.headers().contains_key("x-zato-vault-token"), "{shown:?}");
        let text: serde_json::Value = answer.json().await.expect("JSON");
        if shown.len() == 2 && shown[0].0 == USERNAME {
            texts.insert(text["error"]["message"].to_string());
        }
    }
    assert_eq!(texts.len(), 1, "which part was wrong is not said: {texts:?}");
    // The lengths of an unknown and a known user's refusal are the same, and the right one still gets in.
    assert_eq!(who(&node, &[(USERNAME, "clerk"), (PASSWORD, "pw")]).await, Ok("clerk".into()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_definition_or_a_service_says_by_what_callers_are_known() {
    let bao = Bao::start().await;
    bao.user("clerk", "pw", "clerks", "60s").await;
    let token = bao.token(json!({"policies": ["clerks"], "meta": {"username": "bob"}})).await;
    let both = [(TOKEN, &*token), (USERNAME, "clerk"), (PASSWORD, "pw")];
    let node = TestNode::start().await;
    let bundle = |connection: &str, people: &str| super::bundle(&bao.url(), connection, people);
    for (connection, people, expected) in [
        ("token: root", "method: token", Ok("bob")),
        ("token: root", "method: username-password", Ok("clerk")),
        ("token: root, default_method: username-password", "recheck: 1s", Ok("clerk")),
        ("token: root, default_method: username-password", "method: token", Ok("bob")),
        ("token: root", "recheck: 1s", Ok("bob")),
        ("token: root", "method: github", Err(401)),
        // Without a token of our own, a token is looked up as itself.
        ("timeout: 5s", "method: token", Ok("bob")),
    ] {
        node.apply(&bundle(connection, people)).await;
        assert_eq!(who(&node, &both).await, expected.map(String::from), "{connection}, {people}");
    }
    node.apply(&bundle("token: root", "service: picks-a-method, method: github")).await;
    let by = |method: &'static str| [both[0], both[1], both[2], ("X-Method", method)];
    assert_eq!(who(&node, &by("token")).await, Ok("bob".into()));
    assert_eq!(who(&node, &by("username-password")).await, Ok("clerk".into()));
    assert_eq!(who(&node, &by("github")).await, Err(401));
    assert_eq!(who(&node, &by("nonsense")).await, Err(500), "the service is at fault");
    assert_eq!(who(&node, &[("X-Method", "token"), ("X-Key", &token)]).await, Ok("bob".into()));
    assert_eq!(who(&node, &[("X-Method", "token"), ("X-Key", "nobody")]).await, Err(401));
    // As one of a group, too.
    node.apply(
        "security:
- {name: clerk, type: basic, username: clerk, password: s3cret}
- {name: any, type: any-of, members: [clerk, people]}
channels: [{name: who, type: rest, path: /who, service: who, security: any}]",
    )
    .await;
    let by_service = ask(&node, "/who", &[("X-Method", "token"), ("X-Key", &token)], "").await;
    assert_eq!(by_service.headers()["x-zato-vault-token"], token.as_str());
    assert_eq!(by_service.text().await.expect("text"), "bob");
    assert_eq!(who(&node, &[("X-Method", "token"), ("X-Key", "nobody")]).await, Err(401));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn log_ins_by_ldap_with_a_real_directory_and_by_github_with_a_stand_in() {
    let (bao, slapd) = tokio::join!(Bao::start(), Slapd::start());
    let facade = Facade::before(&bao, &slapd).await;
    let node = node(&facade.url(), "token: root", "method: ldap").await;
    let (right, wrong) =
        ([(USERNAME, "clerk"), (PASSWORD, "d1rectory")], [(USERNAME, "clerk"), (PASSWORD, "other")]);
    assert_eq!(who(&node, &right).await, Ok("clerk".into()));
    assert_eq!(ask(&node, "/role", &right, "clerks").await.text().await.expect("text"), "true");
    assert_eq!(who(&node, &wrong).await, Err(401));
    assert_eq!(who(&node, &[(USERNAME, "nobody"), (PASSWORD, "d1rectory")]).await, Err(401));

    node.apply(&super::bundle(&facade.url(), "token: root", "recheck: 1s")).await;
    let octocat = [("X-Zato-Vault-Token-GitHub", "ghp_octo")];
    let answer = ask(&node, "/who", &octocat, "").await;
    assert!(answer.headers().contains_key("x-zato-vault-token"));
    assert_eq!(answer.text().await.expect("text"), "octocat");
    assert_eq!(ask(&node, "/role", &octocat, "builders").await.text().await.expect("text"), "true");
    assert_eq!(who(&node, &[("X-Zato-Vault-Token-GitHub", "ghp_other")]).await, Err(401));
    assert_eq!(who(&node, &right).await, Err(401), "without its method, LDAP does not count");
}

/// How often Vault was asked something by the connection.
fn asked(node: &TestNode) -> u64 {
    let ours = |line: &&str| line.starts_with(r#"zeugma_calls_total{family="connection",name="v""#);
    let metrics = node.metrics();
    let count = |line: &str| line.rsplit(' ').next().and_then(|count| count.parse::<u64>().ok());
    metrics.lines().filter(ours).filter_map(count).sum()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unknown_user_costs_as_many_questions_as_a_wrong_password() {
    let bao = Bao::start().await;
    bao.user("clerk", "pw", "clerks", "60s").await;
    let node = node(&bao.url(), "token: root, ping_every: 1h", "method: username-password").await;
    let mut questions = std::collections::BTreeSet::new();
    for (user, password) in
        [("clerk", "other"), ("nobody", "pw"), ("nobody", "other"), ("clerk", "x"), ("x", "x")]
    {
        let before = asked(&node);
        assert_eq!(who(&node, &[(USERNAME, user), (PASSWORD, password)]).await, Err(401));
        questions.insert(asked(&node) - before);
    }
    assert_eq!(questions, [1].into(), "one question for each of them");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_the_definition_says_the_mount_or_the_method_callers_do_not() {
    let bao = Bao::start().await;
    bao.user("clerk", "pw", "clerks", "60s").await;
    bao.root(reqwest::Method::POST, "sys/auth/staff", json!({"type": "userpass"})).await;
    bao.root(reqwest::Method::POST, "auth/staff/users/anna", json!({"password": "pw"})).await;
    let at = |name: &'static str, mount: &'static str| {
        [(USERNAME, name), (PASSWORD, "pw"), ("X-Zato-Vault-Mount-Point", mount)]
    };
    let node = TestNode::start().await;
    for (people, anna, clerk) in [
        ("recheck: 1s", true, true),
        ("mount: staff", true, false),
        ("method: username-password", false, true),
        ("method: username-password, mount: staff", true, false),
        ("method: ldap", false, false),
    ] {
        node.apply(&super::bundle(&bao.url(), "token: root", people)).await;
        assert_eq!(who(&node, &at("anna", "staff")).await.is_ok(), anna, "{people}");
        assert_eq!(who(&node, &at("clerk", "userpass")).await.is_ok(), clerk, "{people}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_a_service_that_picks_requests_that_show_nothing_lock_out_nobody() {
    let bao = Bao::start().await;
    bao.user("clerk", "pw", "clerks", "60s").await;
    let node = node(&bao.url(), "token: root", "service: picks-a-method").await;
    let by_password = ("X-Method", "username-password");
    for _ in 0..FAILURES * 2 {
        assert_eq!(who(&node, &[by_password]).await, Err(401));
    }
    let clerk = |n: &'static str| [by_password, (USERNAME, "clerk"), (PASSWORD, "pw"), ("X-Other", n)];
    assert_eq!(who(&node, &clerk("a")).await, Ok("clerk".into()));
    for n in 0..FAILURES {
        let guess = format!("guess {n}");
        assert_eq!(who(&node, &[by_password, (USERNAME, "clerk"), (PASSWORD, &guess)]).await, Err(401));
    }
    assert_eq!(who(&node, &[by_password, (USERNAME, "clerk"), (PASSWORD, "guess")]).await, Err(401));
    assert!(node.metrics().contains("reason=\"locked-out\"} 1"), "{}", node.metrics());
    assert_eq!(
        who(&node, &clerk("b")).await,
        Ok("clerk".into()),
        "who was right lately, whatever else they send"
    );
}
