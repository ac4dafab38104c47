//! Errands: what an operator, or another node, wants done on one node or on all, and what each of them answers.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use config::{DefId, Revision};
use futures_util::future::join_all;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::time::{Instant, timeout_at};

use crate::link::{Failure, Handler, Incoming, Links, NodeId, Request};

/// What is wanted of a node.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", tag = "errand")]
pub enum Errand {
    /// Are you there? Answered with the name of the node.
    Ping,
    /// A newer revision may exist. A hint: it may be late, doubled or lost.
    Nudge {
        /// The revision that its sender has seen.
        revision: Revision,
    },
    /// A verb for an actor.
    Verb {
        /// The definition that the actor runs.
        id: DefId,
        /// The verb, such as `ping` or `drain`; which there are, the actors know.
        verb: String,
        /// How long it may take, in milliseconds.
        limit_ms: u64,
    },
    /// A call of a service.
    Invoke {
        /// The service.
        service: String,
        /// Its input, in Base64: it may be any bytes.
        body: String,
        /// The correlation id.
        cid: String,
        /// How long it may run, in milliseconds.
        limit_ms: u64,
    },
}

/// What a service on another node answered.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Invoked {
    /// The status.
    pub status: u16,
    /// The headers.
    pub headers: Vec<(String, String)>,
    /// The body, in Base64.
    pub body: String,
}

/// Does errands on this node.
#[async_trait]
pub trait Errands: Send + Sync {
    /// Tells an actor a verb. The same `key` is the same errand, tried again.
    async fn verb(
        &self,
        id: &DefId,
        verb: &str,
        limit: Duration,
        key: Option<&str>,
    ) -> Result<Value, Failure>;

    /// Calls a service; an [`Invoked`], or an error with the kind and the words that the service gave it.
    async fn invoke(&self, service: &str, body: &str, cid: &str, limit: Duration) -> Result<Value, Failure>;

    /// A newer revision may exist. Must not wait.
    fn nudge(&self, revision: Revision);
}

/// What one node answers.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct NodeAnswer {
    /// The node.
    pub node: NodeId,
    /// How long it took, in milliseconds.
    pub ms: f64,
    /// What it says, or what went wrong.
    #[serde(flatten)]
    pub outcome: Outcome,
}

/// What became of an errand on one node.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// The answer.
    Ok(Value),
    /// What went wrong.
    Error(Failure),
}

impl From<Result<Value, Failure>> for Outcome {
    fn from(result: Result<Value, Failure>) -> Self {
        match result {
            Ok(value) => Self::Ok(value),
            Err(failure) => Self::Error(failure),
        }
    }
}

/// Sends errands out and does those that come in. A clone is the same.
#[derive(Clone)]
pub struct Dispatch {
    me: NodeId,
    links: Arc<dyn Links>,
    errands: Arc<dyn Errands>,
}

impl Dispatch {
    /// Does errands with `errands`, for this node and for all that are linked.
    pub fn open(me: NodeId, links: Arc<dyn Links>, errands: Arc<dyn Errands>) -> Self {
        links.serve(Arc::new(Here { me: me.clone(), errands: Arc::clone(&errands) }));
        Self { me, links, errands }
    }

    /// This node and all others of the cluster, reachable or not.
    pub fn everyone(&self) -> Vec<NodeId> {
        let mut all: Vec<NodeId> = self.links.peers().into_iter().map(|peer| peer.node).collect();
        all.push(self.me.clone());
        all.sort();
        all
    }

    /// Has an errand done on each of `nodes` at once. Every node has an answer when it comes back, which is at the
    /// deadline at the latest; one that does not answer says so, and holds up no other.
    pub async fn send(
        &self,
        nodes: &[NodeId],
        errand: &Errand,
        key: Option<String>,
        deadline: Instant,
    ) -> Vec<NodeAnswer> {
        let one = |node: &NodeId| {
            let (node, key) = (node.clone(), key.clone());
            async move {
                let begun = Instant::now();
                let outcome = self.one(&node, errand, key, deadline).await.into();
                NodeAnswer { node, ms: begun.elapsed().as_secs_f64() * 1000.0, outcome }
            }
        };
        join_all(nodes.iter().map(one)).await
    }

    /// Tells all other nodes that there may be a newer revision; waits for nothing.
    pub fn nudge(&self, revision: Revision) {
        match serde_json::to_vec(&Errand::Nudge { revision }) {
            Ok(payload) => drop(self.links.cast(payload.into())), // far smaller than a hint may be
            Err(error) => tracing::error!(%error, "a nudge cannot be written"),
        }
    }

    async fn one(
        &self,
        node: &NodeId,
        errand: &Errand,
        key: Option<String>,
        deadline: Instant,
    ) -> Result<Value, Failure> {
        if *node == self.me {
            let done = done(&self.me, &*self.errands, errand, key.as_deref());
            return timeout_at(deadline, done)
                .await
                .unwrap_or_else(|_| Err(Failure::new("timeout", format!("{node} did not answer in time"))));
        }
        let internal = |error: serde_json::Error| Failure::new("internal", error.to_string());
        let payload = serde_json::to_vec(errand).map_err(internal)?.into();
        let answer = self.links.call(node, Request { payload, key }, deadline).await;
        let answer = answer.map_err(|error| Failure::new(error.kind(), error.to_string()))?;
        serde_json::from_slice(&answer)
            .map_err(|error| Failure::new("garbled", format!("the answer of {node} is not JSON: {error}")))
    }
}

/// Does what comes in.
struct Here {
    me: NodeId,
    errands: Arc<dyn Errands>,
}

#[async_trait]
impl Handler for Here {
    async fn handle(&self, incoming: Incoming) -> Result<Bytes, Failure> {
        // An errand that only a newer node knows is answered too, so that its sender need not wait.
        let errand: Errand = serde_json::from_slice(&incoming.payload).map_err(|error| {
            Failure::new("invalid", format!("{} does not know this errand: {error}", self.me))
        })?;
        let answer = done(&self.me, &*self.errands, &errand, incoming.key.as_deref()).await?;
        let answer = serde_json::to_vec(&answer).map_err(|e| Failure::new("internal", e.to_string()))?;
        Ok(answer.into())
    }
}

async fn done(
    me: &NodeId,
    errands: &dyn Errands,
    errand: &Errand,
    key: Option<&str>,
) -> Result<Value, Failure> {
    match errand {
        Errand::Ping => Ok(Value::from(me.as_str())),
        Errand::Nudge { revision } => {
            errands.nudge(*revision);
            Ok(Value::Null)
        }
        Errand::Verb { id, verb, limit_ms } => {
            errands.verb(id, verb, Duration::from_millis(*limit_ms), key).await
        }
        Errand::Invoke { service, body, cid, limit_ms } => {
            errands.invoke(service, body, cid, Duration::from_millis(*limit_ms)).await
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use serde_json::json;

    use super::*;
    use crate::link::{Incarnation, LinkError, Member, PeerState};

    fn node(text: &str) -> NodeId {
        text.parse().expect("a name")
    }

    /// Links to nodes in the same process; `slow` never answers, `gone` is not there.
    #[derive(Default)]
    struct Near(Mutex<Option<Arc<dyn Handler>>>, Mutex<Vec<Bytes>>);

    #[async_trait]
    impl Links for Near {
        async fn call(&self, to: &NodeId, request: Request, deadline: Instant) -> Result<Bytes, LinkError> {
            match to.as_str() {
                "gone" => Err(LinkError::Unreachable { node: to.clone(), why: "it is gone".into() }),
                "slow" => {
                    tokio::time::sleep_until(deadline).await;
                    Err(LinkError::Late(to.clone()))
                }
                _ => {
                    let handler = self.0.lock().expect("a lock").clone().expect("a handler");
                    let Request { payload, key } = request;
                    let from = node("a");
                    let incoming = Incoming { from, incarnation: Incarnation(1), key, deadline, payload };
                    let answer = handler.handle(incoming).await;
                    answer.map_err(|failure| LinkError::Failed { node: to.clone(), failure })
                }
            }
        }
        fn cast(&self, payload: Bytes) -> Result<(), LinkError> {
            self.1.lock().expect("a lock").push(payload);
            Ok(())
        }
        fn peers(&self) -> Vec<PeerState> {
            Vec::new()
        }
        fn set_members(&self, _: Vec<Member>) {}
        fn serve(&self, handler: Arc<dyn Handler>) {
            *self.0.lock().expect("a lock") = Some(handler);
        }
        async fn stop(&self, _: Duration) {}
    }

    struct Actors;

    #[async_trait]
    impl Errands for Actors {
        async fn verb(
            &self,
            id: &DefId,
            verb: &str,
            limit: Duration,
            key: Option<&str>,
        ) -> Result<Value, Failure> {
            match verb {
                "stats" => Ok(json!({"id": id, "limit": limit.as_millis() as u64, "key": key})),
                _ => Err(Failure::new("not_found", format!("{id} does not run"))),
            }
        }
        async fn invoke(&self, _: &str, _: &str, _: &str, _: Duration) -> Result<Value, Failure> {
            Err(Failure::new("not-found", "no service runs"))
        }
        fn nudge(&self, _: Revision) {}
    }

    #[tokio::test(start_paused = true)]
    async fn every_node_has_an_answer_at_the_deadline() {
        let links = Arc::new(Near::default());
        let dispatch = Dispatch::open(node("a"), links.clone(), Arc::new(Actors));
        let id: DefId = "channel/x".parse().expect("an id");
        let verb = |verb: &str| Errand::Verb { id: id.clone(), verb: verb.into(), limit_ms: 50 };
        let nodes = ["a", "b", "gone", "slow"].map(node);
        let deadline = Instant::now() + Duration::from_secs(2);
        let answers = dispatch.send(&nodes, &verb("stats"), Some("k".into()), deadline).await;
        let seen: Vec<Value> = answers
            .iter()
            .map(|answer| serde_json::to_value(answer).expect("JSON"))
            .map(|answer| json!([answer["node"], answer["ok"]["key"], answer["error"]["kind"]]))
            .collect();
        assert_eq!(
            json!(seen),
            json!([
                ["a", "k", null],
                ["b", "k", null],
                ["gone", null, "unreachable"],
                ["slow", null, "timeout"]
            ])
        );
        assert_eq!(Instant::now(), deadline);
        let answers =
            dispatch.send(&nodes[..2], &verb("dance"), None, Instant::now() + Duration::from_secs(1)).await;
        let kinds: Vec<&Outcome> = answers.iter().map(|answer| &answer.outcome).collect();
        assert!(matches!(kinds[..], [Outcome::Error(_), ..]), "{kinds:?}");
    }

    #[tokio::test]
    async fn an_errand_of_a_newer_node_is_answered() {
        let here = Here { me: node("b"), errands: Arc::new(Actors) };
        let (from, incarnation) = (node("a"), Incarnation(1));
        let payload = Bytes::from_static(br#"{"errand":"sing"}"#);
        let incoming = Incoming { from, incarnation, key: None, deadline: Instant::now(), payload };
        let failure = here.handle(incoming).await.expect_err("unknown");
        assert_eq!(failure.kind, "invalid");
    }

    #[test]
    fn a_nudge_is_a_hint_for_all() {
        let links = Arc::new(Near::default());
        let dispatch = Dispatch::open(node("a"), links.clone(), Arc::new(Actors));
        dispatch.nudge(Revision(7));
        let sent = links.1.lock().expect("a lock");
        let errand: Errand = serde_json::from_slice(&sent[0]).expect("JSON");
        assert_eq!(errand, Errand::Nudge { revision: Revision(7) });
    }
}
