//! The first page, and the description of the API.

use http::HeaderValue;
use warp::reply::Response;

use super::answer::{self, Failure};
use super::call::Call;
use super::{openapi, table};

/// What somebody sees who opens the address in a browser.
const PAGE: &str = "<!doctype html>
<html lang=\"en\"><head><meta charset=\"utf-8\"><title>Zeugma</title></head>
<body><h1>Zeugma</h1>
<p>This is the admin listener of a node. Its API is under <code>/api/v1/</code>, described by
<code>/api/v1/openapi.json</code>; it wants the bearer token of the node, which the first start wrote to
<code>admin.token</code>. <a href=\"/healthz\">/healthz</a> and <a href=\"/readyz\">/readyz</a> are open.</p>
</body></html>
";

/// The first page.
pub(super) async fn root(_: Call) -> Result<Response, Failure> {
    Ok(answer::bytes(HeaderValue::from_static("text/html; charset=utf-8"), PAGE))
}

/// The description of the API.
pub(super) async fn description(_: Call) -> Result<Response, Failure> {
    answer::json(&openapi::document(&table::endpoints()))
}
