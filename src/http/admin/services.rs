//! Endpoints about services: what they are, and calling them.

use std::time::Duration;

use actors::{Part, Running, Snapshot};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use cluster::{Errand, Invoked, Outcome};
use config::{Family, Name};
use http::StatusCode;
use http::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use sdk::cid::CID_HEADER;
use sdk::{ChannelInfo, Context, Error, ErrorKind, Origin, Request, ServiceInfo};
use serde::Deserialize as _;
use serde::de::IntoDeserializer as _;
use tokio::time::Instant;
use warp::reply::Response;

use super::answer::{self, Failure};
use super::call::Call;
use super::runtime;
use super::shapes::{ServiceDetails, ServiceView, Started};

/// What is added to a service's own limit before another node is given up on.
const GRACE: Duration = Duration::from_secs(2);
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
    if let Some(node) = call.query::<Name>("node")? {
        return elsewhere(&call, name, node).await;
    }
    let snapshot = call.app.live.now();
    let bound = snapshot.service(name)?;
    let deadline = Instant::now() + call.wait("timeout", DEADLINE)?;
    let channel = ChannelInfo::new("admin", "invoke");
    let request = Request::new(call.body.clone());
    if call.flag("async")? {
        let caller = Context::new(call.cid, None, channel, deadline, "admin".into(), snapshot.clone());
        let caller = caller.with_origin(Origin::Within);
        let cid = caller.invoke_async(name, request)?;
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
    Ok(named(response))
}

/// The same on another node of the cluster.
async fn elsewhere(call: &Call, service: &str, node: Name) -> Result<Response, Failure> {
    if call.flag("async")? {
        let message = "a call on another node is waited for: leave out `async` or `node`";
        return Err(Error::invalid(message).into());
    }
    let (dispatch, to) = runtime::nodes_meant(call, &node)?;
    let [_] = to.as_slice() else {
        return Err(Error::invalid("a service is called on one node: name it").into());
    };
    let limit = call.wait("timeout", DEADLINE)?;
    let errand = Errand::Invoke {
        service: service.to_owned(),
        body: STANDARD.encode(&call.body),
        cid: call.cid.to_string(),
        limit_ms: u64::try_from(limit.as_millis()).unwrap_or(u64::MAX),
    };
    // Without a key: a call that may have begun is not tried again.
    let answers = dispatch.send(&to, &errand, None, Instant::now() + limit + GRACE).await;
    let value = match answers.into_iter().next().map(|answer| answer.outcome) {
        Some(Outcome::Ok(value)) => value,
        Some(Outcome::Error(failure)) => {
            let kind = ErrorKind::deserialize(failure.kind.as_str().into_deserializer());
            let kind: Result<_, serde::de::value::Error> = kind;
            let kind = kind.unwrap_or(ErrorKind::Upstream);
            return Err(Error::new(kind, failure.message).into());
        }
        None => return Err(Error::unavailable(format!("{node} did not answer")).into()),
    };
    let garbled = |error: &dyn std::fmt::Display| {
        Error::new(ErrorKind::Upstream, format!("the answer of {node} is not understood: {error}"))
    };
    let Invoked { status, headers, body } = serde_json::from_value(value).map_err(|e| garbled(&e))?;
    let mut response = Response::new(STANDARD.decode(body).map_err(|e| garbled(&e))?.into());
    *response.status_mut() = StatusCode::from_u16(status).map_err(|e| garbled(&e))?;
    for (name, value) in headers {
        let name = HeaderName::try_from(name).map_err(|e| garbled(&e))?;
        response.headers_mut().append(name, HeaderValue::try_from(value).map_err(|e| garbled(&e))?);
    }
    Ok(named(response))
}

/// What has no media type of its own is bytes.
fn named(mut response: Response) -> Response {
    if !response.headers().contains_key(CONTENT_TYPE) {
        let unknown = HeaderValue::from_static("application/octet-stream");
        response.headers_mut().insert(CONTENT_TYPE, unknown);
    }
    response
}
