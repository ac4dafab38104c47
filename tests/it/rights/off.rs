//! A definition that is switched off lets nobody in, wherever it is used.

use super::status;
use crate::kit::node::TestNode;

fn bundle(clerk: bool) -> String {
    format!(
        "security:
- {{name: clerk, type: basic, username: clerk, password: hush, enabled: {clerk}}}
- {{name: partner, type: api-key, key: key-1}}
- {{name: either, type: any-of, members: [clerk, partner]}}
channels:
- {{name: clerks, type: rest, path: /clerks, service: zeugma.ping, security: clerk}}
- {{name: all, type: rest, path: /all, service: zeugma.ping, security: either}}
"
    )
}

#[tokio::test]
async fn who_is_switched_off_is_not_let_in_by_a_group_either_and_the_others_are() {
    let mut node = TestNode::start().await;
    let clerk = |node: &TestNode, path: &str| node.get(path).basic_auth("clerk", Some("hush"));
    node.apply(&bundle(true)).await;
    assert_eq!(status(clerk(&node, "/all")).await, 200);
    node.apply(&bundle(false)).await;
    for start in ["changed", "started with it"] {
        assert_eq!(status(clerk(&node, "/clerks")).await, 503, "{start}");
        assert_eq!(status(clerk(&node, "/all")).await, 401, "{start}");
        assert_eq!(status(node.get("/all").header("x-api-key", "key-1")).await, 200, "{start}");
        let folder = node.stop().await;
        node = TestNode::start_in(folder, |_| {}).await;
    }
    node.apply(&bundle(true)).await;
    assert_eq!(status(clerk(&node, "/all")).await, 200);
}

/// What is switched off, and what is built from it.
const OFF: [&str; 2] = ["connection/my.vault", "security/crm"];
const BUILT: [&str; 2] = ["security/vault", "connection/CRM"];

/// What was built from something that is switched off does not work on with it inside.
#[tokio::test]
async fn a_definition_whose_connection_is_switched_off_stops() {
    let node = TestNode::start().await;
    let bundle = |on: bool| {
        format!(
            "security:
- {{name: vault, type: vault, connection: my.vault, method: token}}
- {{name: crm, type: basic, username: zeugma, password: hush, enabled: {on}}}
connections:
- {{name: my.vault, type: vault, url: 'http://127.0.0.1:1', token: hush, enabled: {on}}}
- {{name: CRM, type: http, url: 'http://127.0.0.1:1', security: crm}}
channels: [{{name: c, type: rest, path: /c, service: zeugma.ping, security: vault}}]"
        )
    };
    node.apply(&bundle(true)).await;
    let runs = |name: &str| {
        let parts = &node.app().live.now().parts;
        parts.contains_key(&name.parse::<config::DefId>().expect("an id"))
    };
    assert!([OFF, BUILT].concat().iter().all(|id| runs(id)));
    node.apply(&bundle(false)).await;
    assert!(![OFF, BUILT].concat().iter().any(|id| runs(id)));
    assert_eq!(status(node.get("/c").header("x-zato-vault-token", "t")).await, 503);
    node.apply(&bundle(true)).await;
    assert!([OFF, BUILT].concat().iter().all(|id| runs(id)));
}
