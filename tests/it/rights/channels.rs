//! Roles and addresses that channels and services want.

use serde_json::json;

use super::{answer, behind_a_proxy, from, status};
use crate::kit::node::TestNode;
use crate::kit::program::Program;

const CALLERS: &str = "
security:
- {name: clerk, type: basic, username: clerk, password: hush, roles: [clerk, day]}
- {name: partner, type: api-key, key: key-1, roles: [day]}
- {name: either, type: any-of, members: [clerk, partner]}
";

#[tokio::test]
async fn a_channel_wants_roles() {
    let node = TestNode::start().await;
    node.apply(&format!(
        "{CALLERS}
channels:
- {{name: both, type: rest, path: /both, service: zeugma.ping, security: either, require: [clerk, day]}}
- {{name: day, type: rest, path: /day, service: zeugma.ping, security: either, require: [day]}}
"
    ))
    .await;
    let clerk = |path: &str| node.get(path).basic_auth("clerk", Some("hush"));
    let partner = |path: &str| node.get(path).header("x-api-key", "key-1");
    assert_eq!(status(clerk("/both")).await, 200);
    assert_eq!(status(clerk("/day")).await, 200);
    assert_eq!(status(partner("/day")).await, 200);
    let (code, _, body) = answer(partner("/both")).await;
    assert_eq!((code, &body["error"]["kind"]), (403, &json!("forbidden")));
    assert_eq!(body["error"]["message"], "this needs the role clerk");
    assert_eq!(status(node.get("/day")).await, 401);

    // Another role from now on.
    node.apply(
        "channels:\n- {name: day, type: rest, path: /day, service: zeugma.ping, security: either, require: [clerk]}\n"
    )
    .await;
    assert_eq!(status(partner("/day")).await, 403);
    assert_eq!(status(clerk("/day")).await, 200);
    assert!(node.metrics().contains("zeugma_refused_total{reason=\"forbidden\"} 2"), "{}", node.metrics());
}

#[tokio::test]
async fn a_service_wants_roles_by_whichever_way_its_caller_comes() {
    let node = TestNode::start().await;
    node.apply(&format!(
        "{CALLERS}
services:
- {{name: get-customer, type: native, require: [clerk]}}
- {{name: counts, type: native, require: [clerk]}}
channels:
- {{name: own, type: rest, path: /own, method: POST, service: get-customer, security: either}}
- {{name: open, type: rest, path: /open, method: POST, service: get-customer}}
- {{name: by, type: rest, path: /by, method: POST, service: forwards, security: either}}
- {{name: open-by, type: rest, path: /open-by, method: POST, service: forwards}}
- {{name: later, type: rest, path: /later, method: POST, service: starts-background, security: either}}
"
    ))
    .await;
    let input = r#"{"cust_id": 7}"#;
    for (path, body, open) in [("/own", input, "/open"), ("/by", "get-customer", "/open-by")] {
        let clerk = node.post(path).basic_auth("clerk", Some("hush")).body(body);
        assert_eq!(status(clerk).await, 200, "{path}");
        let (code, _, told) = answer(node.post(path).header("x-api-key", "key-1").body(body)).await;
        assert_eq!((code, &told["error"]["message"]), (403, &json!("this needs the role clerk")), "{path}");
        assert_eq!(status(node.post(open).body(body)).await, 403, "{open}");
    }
    // What nobody waits for is refused as well.
    let before = crate::kit::services::count();
    assert_eq!(status(node.post("/later").header("x-api-key", "key-1")).await, 200);
    assert_eq!(status(node.post("/later").basic_auth("clerk", Some("hush"))).await, 200);
    crate::kit::node::until("it runs for the clerk", async || crate::kit::services::count() == before + 1)
        .await;
    assert!(node.app().tasks.is_empty() || crate::kit::services::count() == before + 1);
    // An operator needs no role.
    let url = format!("http://{}/api/v1/services/get-customer/invoke", node.admin());
    let client = reqwest::Client::builder().no_proxy().build().expect("a client");
    let token = node.app().admin_token.reveal().to_owned();
    assert_eq!(status(client.post(url).bearer_auth(token).body(input)).await, 200);
}

#[test]
fn a_package_wants_roles_for_all_its_services() {
    let node = Program::start(&[]);
    let text = "from zeugma import Service\n\n\nclass Inner(Service):\n    name = 'inner'\n\n    def handle(self):\n        \
                self.response.payload = 'in'\n";
    let outer = "from zeugma import Service\n\n\nclass Outer(Service):\n    name = 'outer'\n\n    def handle(self):\n        \
                 self.response.payload = self.invoke('inner')\n";
    node.apply(&json!({
        "security": [{"name": "clerk", "type": "basic", "username": "clerk", "password": "hush", "roles": ["clerk"]},
                     {"name": "guest", "type": "basic", "username": "guest", "password": "hush"}],
        "packages": [{"name": "inner", "type": "python", "files": {"inner.py": text}, "require": ["clerk"]},
                     {"name": "outer", "type": "python", "files": {"outer.py": outer}}],
    }));
    node.apply(&json!({"channels": [
        {"name": "clerks", "type": "rest", "path": "/clerks", "service": "outer", "security": "clerk"},
        {"name": "guests", "type": "rest", "path": "/guests", "service": "outer", "security": "guest"},
        {"name": "direct", "type": "rest", "path": "/direct", "service": "inner", "security": "guest"},
    ]}));
    let ask = |path: &str, user: &str| node.curl(path).with(&["-u", &format!("{user}:hush")]).send();
    assert_eq!(ask("/clerks", "clerk").ok().text(), "in");
    let direct = ask("/direct", "guest");
    assert!(direct.status == 403 && direct.text().contains("this needs the role clerk"), "{}", direct.text());
    assert_ne!(ask("/guests", "guest").status, 200, "by way of another service");
    assert_eq!(node.good(&["invoke", "outer"]), "in", "an operator needs no role");
}

#[tokio::test]
async fn a_channel_answers_only_these_networks_and_believes_only_trusted_proxies() {
    let bundle = "
channels:
- {name: inside, type: rest, path: /inside, service: zeugma.ping, allow_from: [10.0.0.0/8, '2001:db8::/32']}
";
    let node = behind_a_proxy().await;
    node.apply(bundle).await;
    for (address, code) in [
        ("10.1.2.3", 200),
        ("2001:db8::1", 200),
        ("11.1.2.3", 403),
        ("2001:db9::1", 403),
        ("10.1.2.3, 11.1.2.3", 403), // what a client writes itself stands before what the proxy adds
        ("11.1.2.3, 10.1.2.3", 200),
        ("nonsense", 403),
    ] {
        assert_eq!(status(from(address, node.get("/inside"))).await, code, "{address}");
    }
    assert_eq!(status(node.get("/inside")).await, 403, "the proxy itself");
    // Bytes that are no text hide nothing of what the proxy adds behind them, and nothing in front of them counts.
    for (lines, code) in [
        (&[&b"\xff, 10.1.2.3"[..]][..], 200),
        (&[b"\xff, 11.1.2.3"], 403),
        (&[b"10.1.2.3", b"\xff, 11.1.2.3"], 403),
        (&[b"10.1.2.3", b"\xff"], 403),
    ] {
        let add = |request: reqwest::RequestBuilder, line: &&[u8]| {
            let value = reqwest::header::HeaderValue::from_bytes(line).expect("a value");
            request.header("x-forwarded-for", value)
        };
        assert_eq!(status(lines.iter().fold(node.get("/inside"), add)).await, code, "{lines:?}");
    }

    let direct = TestNode::start().await;
    direct.apply(bundle).await;
    assert_eq!(status(from("10.1.2.3", direct.get("/inside"))).await, 403, "nobody vouches for the header");
}
