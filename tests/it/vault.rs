//! Vault: people it knows on channels of ours, secrets of it in definitions of ours. The server is a real OpenBao; log-ins
//! by LDAP go to a real directory, GitHub is a stand-in.

mod faults;
mod leaks;
mod leases;
mod people;
mod secrets;
mod swap;
mod tokens;

use reqwest::StatusCode;

use crate::kit::node::TestNode;

/// What a caller shows.
type Shown<'a> = &'a [(&'a str, &'a str)];

const TOKEN: &str = "X-Zato-Vault-Token";
const USERNAME: &str = "X-Zato-Vault-Username";
const PASSWORD: &str = "X-Zato-Vault-Password";

/// A node with a connection `v`, a definition `people` with these parameters, and the channels `/who` and `/role` behind
/// it, beside `/open`, which has no security.
async fn node(url: &str, connection: &str, people: &str) -> TestNode {
    let node = TestNode::start().await;
    node.apply(&bundle(url, connection, people)).await;
    node
}

fn bundle(url: &str, connection: &str, people: &str) -> String {
    format!(
        "connections: [{{name: v, type: vault, url: '{url}', {connection}}}]
security: [{{name: people, type: vault, connection: v, {people}}}]
channels:
- {{name: who, type: rest, path: /who, service: who, security: people}}
- {{name: role, type: rest, path: /role, service: has-role, security: people}}
- {{name: open, type: rest, path: /open, service: who}}"
    )
}

/// Asks as somebody.
async fn ask(node: &TestNode, path: &str, shown: Shown<'_>, body: &str) -> reqwest::Response {
    let mut request = node.post(path).body(body.to_owned());
    for (name, value) in shown {
        request = request.header(*name, *value);
    }
    request.send().await.expect("an answer")
}

async fn status(node: &TestNode, shown: Shown<'_>) -> StatusCode {
    ask(node, "/who", shown, "").await.status()
}

/// Who the node takes somebody for; the status, if for nobody.
async fn who(node: &TestNode, shown: Shown<'_>) -> Result<String, u16> {
    let answer = ask(node, "/who", shown, "").await;
    match answer.status() {
        StatusCode::OK => Ok(answer.text().await.expect("text")),
        status => Err(status.as_u16()),
    }
}
