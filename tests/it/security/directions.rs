//! A definition in a direction that it does not have is a fault, wherever the change is made.

use crate::kit::node::TestNode;

const SECURITY: &str = "security:
- {name: both, type: basic, username: clerk, password: hush}
- {name: out, type: bearer, token: abc}
- {name: in, type: jwt, username: web, password: hush}
";

async fn faults(node: &TestNode, bundle: &str) -> String {
    node.try_apply(bundle).await.expect_err("a fault").to_string()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_definition_in_the_wrong_direction_is_a_fault_at_its_place() {
    let node = TestNode::start().await;
    let channel = |security: &str| {
        format!("channels: [{{name: c, type: rest, path: /c, service: zeugma.ping, security: {security}}}]\n")
    };
    let connection = |security: &str| {
        format!("connections: [{{name: h, type: http, url: 'http://127.0.0.1:9/', security: {security}}}]\n")
    };
    // All in one bundle.
    let text = faults(&node, &format!("{SECURITY}{}{}", channel("out"), connection("in"))).await;
    assert!(
        text.contains("channel/c.security") && text.contains("security/out cannot check callers"),
        "{text}"
    );
    assert!(
        text.contains("connection/h.security") && text.contains("security/in cannot log in elsewhere"),
        "{text}"
    );

    // What it refers to is there already.
    node.apply(SECURITY).await;
    assert!(faults(&node, &channel("out")).await.contains("cannot check callers"));
    assert!(faults(&node, &connection("in")).await.contains("cannot log in elsewhere"));
    let group = "security: [{name: g, type: any-of, members: [both, out]}]";
    assert!(faults(&node, group).await.contains("security/out cannot check callers"));
    node.apply(&format!("{}{}", channel("in"), connection("both"))).await;

    // What refers to it is there already: the definition must not lose the direction.
    let hash = actors::security::basic::hash_password("hush").expect("a hash");
    let lost = format!("security: [{{name: both, type: basic, username: clerk, password_hash: '{hash}'}}]");
    let text = faults(&node, &lost).await;
    assert!(
        text.contains("connection/h") && text.contains("security/both cannot log in elsewhere"),
        "{text}"
    );
    let lost = "security: [{name: in, type: bearer, token: abc}]";
    assert!(faults(&node, lost).await.contains("security/in cannot check callers"));
    // Both at once is fine.
    node.apply(&format!("security: [{{name: in, type: bearer, token: abc}}]\n{}", channel("both"))).await;
}
