//! Endpoints about what runs: the node, its actors, its metrics.

use std::time::Duration;

use actors::supervisor::ActorInfo;
use actors::worker::Verb;
use cluster::{Dispatch, Errand, Receipt};
use config::Name;
use http::{HeaderValue, StatusCode};
use sdk::Error;
use serde::Deserialize as _;
use serde::de::IntoDeserializer as _;
use tokio::time::Instant;
use warp::reply::Response;

use super::answer::{self, Failure};
use super::call::Call;
use super::shapes::{ActorTree, Actors, Alive, NodeInfo, VerbAnswer};

/// How long an actor may take to answer unless the caller says otherwise.
const VERB_TIMEOUT: Duration = Duration::from_secs(30);

/// What is added to a verb's own limit before the other nodes are given up on.
const GRACE: Duration = Duration::from_secs(2);
/// The word for every node.
const ALL: &str = "all";

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
    Ok(crate::nodes::list(&call.app).await)
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

/// Tells an actor a verb: here, or on other nodes.
pub(super) async fn tell(call: Call) -> Result<VerbAnswer, Failure> {
    let word = call.segment("verb").to_owned();
    let verb: Result<Verb, serde::de::value::Error> = Verb::deserialize(word.as_str().into_deserializer());
    let verb = verb.map_err(|error| Error::not_found(format!("the verb: {error}")))?;
    let limit = call.wait("timeout", VERB_TIMEOUT)?;
    let (id, node) = (call.id()?, call.query::<Name>("node")?);
    tracing::info!(cid = %call.cid, %id, ?verb, ?node, author = call.note()?.author, "an operator's verb");
    let Some(node) = node else {
        return Ok(VerbAnswer::Here(Box::new(call.app.supervisor.tell(&id, verb, limit).await?)));
    };
    let (dispatch, to) = nodes_meant(&call, &node)?;
    let limit_ms = u64::try_from(limit.as_millis()).unwrap_or(u64::MAX);
    let errand = Errand::Verb { id, verb: word, limit_ms };
    let answers =
        dispatch.send(&to, &errand, Some(call.cid.to_string()), Instant::now() + limit + GRACE).await;
    Ok(VerbAnswer::There(answers))
}

/// The nodes that a name means, and the way to them.
///
/// # Errors
/// Not found if there is none; unavailable while this one has no links.
pub(super) fn nodes_meant(call: &Call, node: &Name) -> Result<(Dispatch, Vec<Name>), Failure> {
    let me = &call.app.settings.node;
    let Some(cluster) = &call.app.cluster else {
        let why =
            format!("there is no node {node:?}: this one, {me}, is no part of a cluster; leave `node` out");
        return Err(Error::not_found(why).into());
    };
    let Some(dispatch) = cluster.dispatch() else {
        return Err(Error::unavailable("this node has not joined its cluster yet: leave `node` out").into());
    };
    let everyone = dispatch.everyone();
    let to = match node.as_str() {
        ALL => everyone,
        _ if everyone.contains(node) => vec![node.clone()],
        _ => {
            let known = everyone.iter().map(Name::as_str).chain([ALL]);
            let hint = config::fault::suggest(node.as_str(), known).unwrap_or_default();
            return Err(Error::not_found(format!("there is no node {node:?}; {hint}")).into());
        }
    };
    Ok((dispatch.clone(), to))
}

/// What Prometheus reads.
pub(super) async fn metrics(call: Call) -> Result<Response, Failure> {
    let app = &call.app;
    let text = app.metrics.render(app);
    Ok(answer::bytes(HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8"), text))
}

/// Whether the process is alive: always, if it can say so.
pub(super) async fn healthy(call: Call) -> Result<Alive, Failure> {
    Ok(alive(&call, "ok"))
}

/// Whether requests should be sent here. A node whose store is away serves what it has seen last, so they should.
pub(super) async fn ready(call: Call) -> Result<Response, Failure> {
    let replaced = call.app.cluster.as_ref().is_some_and(|cluster| cluster.beat.borrow().replaced);
    let status = match (*call.app.stopping.borrow(), replaced) {
        (true, _) => "stopping",
        (_, true) => "another process has taken this node's name",
        _ => "ok",
    };
    let mut response = answer::json(&alive(&call, status))?;
    if status != "ok" {
        *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
    }
    Ok(response)
}

fn alive(call: &Call, status: &str) -> Alive {
    let store = crate::nodes::store_trouble(&call.app.definitions.store.health());
    Alive { status: status.into(), revision: call.app.live.now().revision, store }
}
