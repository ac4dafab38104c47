//! Endpoints about services: what they are, and calling them.

use std::time::Duration;

use actors::{Part, Running, Snapshot};
use config::Family;
use http::StatusCode;
use http::header::{CONTENT_TYPE, HeaderValue};
use sdk::cid::CID_HEADER;
use sdk::engine::Engine as _;
use sdk::{ChannelInfo, Context, Error, Origin, Request, ServiceInfo};
use tokio::time::Instant;
use warp::reply::Response;

use super::answer::{self, Failure};
use super::call::Call;
use super::shapes::{ServiceDetails, ServiceView, Started};

/// How long a service may run unless the caller says otherwise.
const DEADLINE: Duration = Duration::from_secs(30);

/// Lists the services that run.
pub(super) async fn list(call: Call) -> Result<Vec<ServiceView>, Failure> {
    let snapshot = call.app.live.now();
    let mut views: Vec<ServiceView> =
        snapshot.parts.values().filter_map(|running| Some(brief(running, info(running)?))).collect();
    views.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(views)
}

/// Shows one, with its documentation and its schemas.
pub(super) async fn show(call: Call) -> Result<ServiceView, Failure> {
    let snapshot = call.app.live.now();
    let running = snapshot.service(call.segment("name"))?.running;
    let Some(info) = info(&running) else { return Err(Error::internal("a service is no service").into()) };
    let id = running.id();
    let channels = snapshot.parts.values().map(|other| &other.definition);
    let mut used_by: Vec<_> = channels.filter(|d| d.needs.contains(id)).map(|d| d.id.clone()).collect();
    used_by.sort();
    let (description, input, output) = (info.description.clone(), info.input.clone(), info.output.clone());
    let details = details(&snapshot, &running);
    Ok(ServiceView { description, input, output, used_by, details, ..brief(&running, info) })
}

/// What the package of a service knows of it.
fn details(snapshot: &Snapshot, running: &Running) -> Option<Box<ServiceDetails>> {
    let package = running.definition.needs.iter().find_map(|id| snapshot.parts.get(id))?;
    let Part::Package(part) = &package.part else { return None };
    let told = part.details(running.id().name.as_str())?;
    let details: ServiceDetails = serde_json::from_value(told).ok()?;
    let (id, version) = (package.id().clone(), package.version);
    Some(Box::new(ServiceDetails { package: Some(id), version: Some(version), ..details }))
}

fn info(running: &Running) -> Option<ServiceInfo> {
    match &running.part {
        Part::Service(service) => Some(service.info()),
        _ => None,
    }
}

fn brief(running: &Running, info: ServiceInfo) -> ServiceView {
    debug_assert_eq!(running.id().family, Family::Service);
    ServiceView {
        name: info.name,
        namespace: info.namespace,
        summary: info.summary,
        kind: running.definition.kind.clone(),
        description: String::new(),
        input: None,
        output: None,
        used_by: Vec::new(),
        details: None,
    }
}

/// Calls one: the body goes in as it came, and what it answers goes out as it is.
pub(super) async fn invoke(call: Call) -> Result<Response, Failure> {
    let name = call.segment("name");
    let snapshot = call.app.live.now();
    let bound = snapshot.service(name)?;
    let deadline = Instant::now() + call.wait("timeout", DEADLINE)?;
    let channel = ChannelInfo::new("admin", "invoke");
    let request = Request::new(call.body.clone());
    if call.flag("async")? {
        let caller = Context::new(call.cid, None, channel, deadline, "admin".into(), snapshot.clone());
        let caller = caller.with_origin(Origin::Within);
        let cid = snapshot.invoke_async(&caller, name, request)?;
        let mut response = answer::json(&Started { cid: cid.to_string() })?;
        *response.status_mut() = StatusCode::ACCEPTED;
        if let Ok(value) = HeaderValue::from_str(cid.as_str()) {
            response.headers_mut().insert(CID_HEADER, value);
        }
        return Ok(response);
    }
    let ctx = Context::new(call.cid, None, channel, deadline, bound.name.clone(), snapshot.clone());
    let ctx = ctx.with_origin(Origin::Within);
    let sdk::Response { body, status, headers } = bound.call(&ctx, request).await?;
    let mut response = Response::new(body.into());
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    if !response.headers().contains_key(CONTENT_TYPE) {
        let unknown = HeaderValue::from_static("application/octet-stream");
        response.headers_mut().insert(CONTENT_TYPE, unknown);
    }
    Ok(response)
}
