//! Who may do what, from where and how often; who is kept out; and what is known of it afterwards.

mod audit;
mod channels;
mod lockout;
mod off;
mod rates;
mod tokens;

use config::settings::Proxies;
use reqwest::RequestBuilder;
use serde_json::Value;

use crate::kit::node::TestNode;

/// A node that believes what this machine says about where requests come from.
async fn behind_a_proxy() -> TestNode {
    TestNode::start_with(|settings| {
        settings.trusted_proxies = Proxies::try_from(vec!["127.0.0.1".to_owned()]).expect("an address");
    })
    .await
}

/// The same request, from there.
fn from(address: &str, request: RequestBuilder) -> RequestBuilder {
    request.header("x-forwarded-for", address)
}

/// What is answered: status, all headers but those that differ from one answer to the next, and the body without its
/// cid.
async fn answer(request: RequestBuilder) -> (u16, Vec<(String, String)>, Value) {
    let answer = request.send().await.expect("an answer");
    let status = answer.status().as_u16();
    let same = |name: &&str| !["x-zeugma-cid", "date"].contains(name);
    let values = |name: &str| answer.headers().get_all(name).iter().map(|v| format!("{v:?}")).collect();
    let header = |name: &str| (name.to_owned(), values(name));
    let names = answer.headers().keys().map(reqwest::header::HeaderName::as_str);
    let headers = names.filter(same).map(header).collect();
    let mut body: Value = answer.json().await.unwrap_or_default();
    if let Some(error) = body.get_mut("error").and_then(Value::as_object_mut) {
        error.remove("cid");
    }
    (status, headers, body)
}

/// The status.
async fn status(request: RequestBuilder) -> u16 {
    request.send().await.expect("an answer").status().as_u16()
}
