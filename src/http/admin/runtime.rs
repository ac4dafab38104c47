//! Endpoints about what runs: the node, its actors, its metrics.

use std::time::Duration;

use actors::supervisor::ActorInfo;
use actors::worker::{Report, Verb};
use cluster::Receipt;
use http::{HeaderValue, StatusCode};
use sdk::Error;
use serde::Deserialize as _;
use serde::de::IntoDeserializer as _;
use tokio::time::Instant;
use warp::reply::Response;

use super::answer::{self, Failure};
use super::call::Call;
use super::shapes::{ActorTree, Actors, Alive, NodeInfo};

/// How long an actor may take to answer unless the caller says otherwise.
const VERB_TIMEOUT: Duration = Duration::from_secs(30);

/// Which node serves which revision.
pub(super) async fn revision(call: Call) -> Result<Receipt, Failure> {
    let asked = Instant::now();
    let settled = call.revision("settled")?;
    let wait = if settled.is_some() { Duration::from_secs(10) } else { Duration::ZERO };
    let wait = call.wait("timeout", wait)?;
    let revision = match settled {
        Some(revision) => revision,
        None => call.app.definitions.store.load().await.map_err(crate::definitions::Refused::from)?.revision,
    };
    Ok(call.app.definitions.board.settled(revision, asked, wait).await)
}

/// The nodes.
pub(super) async fn nodes(call: Call) -> Result<Vec<NodeInfo>, Failure> {
    let app = &call.app;
    let snapshot = app.live.now();
    Ok(vec![NodeInfo {
        node: app.settings.node.clone(),
        cluster: app.settings.cluster.clone(),
        version: env!("CARGO_PKG_VERSION").into(),
        revision: snapshot.revision,
        uptime: app.started.elapsed().as_secs(),
        store: app.definitions.store.describe(),
        newest: app.definitions.store.load().await.ok().map(|catalog| catalog.revision),
        stopping: *app.stopping.borrow(),
        faults: snapshot.faults.values().cloned().collect(),
    }])
}

/// The actors.
pub(super) async fn actors(call: Call) -> Result<Actors, Failure> {
    let workers = call.app.supervisor.list();
    if !call.flag("tree")? {
        return Ok(Actors::List(workers));
    }
    let branch = |name: &str, children| ActorTree { name: name.into(), worker: None, children };
    let leaf =
        |info: ActorInfo| ActorTree { name: info.id.to_string(), worker: Some(info), children: Vec::new() };
    let keeper = branch("keeper", workers.into_iter().map(leaf).collect());
    let node = call.app.settings.node.as_str();
    Ok(Actors::Tree(branch(node, vec![branch("reconciler", vec![keeper])])))
}

/// Tells an actor a verb.
pub(super) async fn tell(call: Call) -> Result<Report, Failure> {
    let verb: Result<Verb, serde::de::value::Error> =
        Verb::deserialize(call.segment("verb").into_deserializer());
    let verb = verb.map_err(|error| Error::not_found(format!("the verb: {error}")))?;
    let limit = call.wait("timeout", VERB_TIMEOUT)?;
    let id = call.id()?;
    tracing::info!(cid = %call.cid, %id, ?verb, author = call.note()?.author, "an operator's verb");
    Ok(call.app.supervisor.tell(&id, verb, limit).await?)
}

/// What Prometheus reads.
pub(super) async fn metrics(call: Call) -> Result<Response, Failure> {
    let app = &call.app;
    let text = app.metrics.render(&app.supervisor, &app.live, app.started.elapsed());
    Ok(answer::bytes(HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8"), text))
}

/// Whether the process is alive: always, if it can say so.
pub(super) async fn healthy(call: Call) -> Result<Alive, Failure> {
    Ok(Alive { status: "ok".into(), revision: call.app.live.now().revision })
}

/// Whether requests should be sent here.
pub(super) async fn ready(call: Call) -> Result<Response, Failure> {
    let stopping = *call.app.stopping.borrow();
    let status = if stopping { "stopping" } else { "ok" };
    let mut response =
        answer::json(&Alive { status: status.into(), revision: call.app.live.now().revision })?;
    if stopping {
        *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
    }
    Ok(response)
}
