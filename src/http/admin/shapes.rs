//! The shapes of what the admin API takes and answers, for the API itself, its description and the command line.

mod packages;

use actors::supervisor::ActorInfo;
use actors::worker::Report;
use cluster::NodeAnswer;
use config::{DefId, Family, Fault, KindTag, Name, Revision};
use schemars::{JsonSchema, Schema};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::definitions::View;

pub use self::packages::{ConnectionUse, Deployed, FileView, PackageNode, PackageView, ServiceDetails};

/// What every failure is answered with.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct ErrorBody {
    /// What went wrong.
    pub error: Told,
}

/// What went wrong.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Told {
    /// A word for it, such as `not-found` or `conflict`; `faults` if definitions are wrong.
    pub kind: String,
    /// What went wrong, for people.
    pub message: String,
    /// Each thing that is wrong, with its place and what to do.
    pub faults: Vec<Fault>,
    /// The correlation id; the log says more under it.
    pub cid: String,
}

/// The definitions there are.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Listing {
    /// At this revision.
    pub revision: Revision,
    /// By family and name.
    pub definitions: Vec<View>,
}

/// One definition.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Single {
    /// At this revision of everything: to be given as `expect` with a change.
    pub revision: Revision,
    /// The definition.
    #[serde(flatten)]
    pub view: View,
}

/// A definition as a bundle lists it: `type`, `enabled` and the parameters of its kind.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Written {
    /// Its type.
    #[schemars(length(min = 1))]
    pub r#type: String,
    /// Whether it runs.
    #[serde(default = "yes")]
    pub enabled: bool,
    /// The parameters: `GET /api/v1/kinds` has their schema.
    #[serde(flatten)]
    pub params: Map<String, Value>,
}

fn yes() -> bool {
    true
}

/// Definitions by family. YAML is understood as well.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Bundle {
    /// Who may call, and how to log in elsewhere.
    pub security: Vec<Map<String, Value>>,
    /// Named ways to the outside.
    pub connections: Vec<Map<String, Value>>,
    /// Files that services are in.
    pub packages: Vec<Map<String, Value>>,
    /// What does the work.
    pub services: Vec<Map<String, Value>>,
    /// Where requests come in.
    pub channels: Vec<Map<String, Value>>,
    /// What runs at a time.
    pub jobs: Vec<Map<String, Value>>,
    /// Published API specifications.
    pub specs: Vec<Map<String, Value>>,
}

/// How an export is written.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// As people write bundles.
    Yaml,
    /// For programs.
    Json,
}

impl std::str::FromStr for Format {
    type Err = &'static str;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "yaml" => Ok(Self::Yaml),
            "json" => Ok(Self::Json),
            _ => Err("neither yaml nor json"),
        }
    }
}

/// Where to go back to.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Rollback {
    /// The revision whose definitions are wanted again.
    pub revision: Revision,
    /// Only this definition: the others stay as they are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub only: Option<DefId>,
}

/// One node.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct NodeInfo {
    /// Its name.
    pub node: Name,
    /// The cluster it belongs to.
    pub cluster: Name,
    /// Whether it is the one that was asked.
    pub asked: bool,
    /// Whether it is taken to be there.
    pub alive: bool,
    /// The version of the program.
    pub version: String,
    /// The revision that its requests see.
    pub revision: Revision,
    /// What does not run there as wanted.
    pub faults: Vec<Fault>,
    /// The number of this start of its process; none outside a cluster.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub incarnation: Option<u64>,
    /// Where other nodes reach it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// How long ago it said that it is there, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seen_ms: Option<u64>,
    /// How long a message from the asked node to it and back takes, in milliseconds; none without a link.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub link_ms: Option<f64>,
    /// What is wrong with it as a whole: it is not heard by the others, or there is no link to it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trouble: Option<String>,
    /// What only the asked node knows of itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub own: Option<OwnInfo>,
}

/// What a node knows of itself only.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct OwnInfo {
    /// How long it has been running, in seconds.
    pub uptime: u64,
    /// Where the truth is.
    pub store: String,
    /// Why the store does not answer, if it does not: the node serves what it has seen last, and takes no changes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub store_trouble: Option<String>,
    /// The newest revision of the store that the node knows of.
    pub newest: Revision,
    /// How often something was found in the store that should never happen, and the last of it.
    pub alarms: u64,
    /// See `alarms`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_alarm: Option<String>,
    /// What about the store's own set-up puts confirmed changes at risk, if that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub store_risk: Option<String>,
    /// Definitions in the store that cannot be read.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unreadable: Vec<String>,
    /// Whether it is stopping.
    pub stopping: bool,
}

/// What an operator decides about a Redis that lost its data, or holds that of others.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Decision {
    /// Write back what this node holds.
    Restore,
    /// Take what is there.
    Accept,
}

/// What became of an operator's verb.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum VerbAnswer {
    /// On the node that was asked.
    Here(Box<Report>),
    /// On each of the nodes that were named.
    There(Vec<NodeAnswer>),
}

/// Actors, as a list or as a tree.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Actors {
    /// Those that run definitions.
    List(Vec<ActorInfo>),
    /// All of them, each under the one that supervises it.
    Tree(ActorTree),
}

/// An actor and those that it supervises.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct ActorTree {
    /// What it is.
    pub name: String,
    /// Of a worker: the definition that it runs, and how.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub worker: Option<ActorInfo>,
    /// Those that it supervises.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub children: Vec<Self>,
}

/// A service.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct ServiceView {
    /// Its name.
    pub name: String,
    /// The group it belongs to in specifications.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// The beginning of its documentation.
    pub summary: String,
    /// The kind of the definition that runs it.
    pub kind: KindTag,
    /// All of its documentation; left out in a list.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub description: String,
    /// The schema of its input; left out in a list, and if it takes the raw request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input: Option<Schema>,
    /// The schema of its output; left out in a list, and if it writes the response itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output: Option<Schema>,
    /// The channels that refer to it; left out in a list.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub used_by: Vec<DefId>,
    /// Where it is written and what it uses, if it is in a package; left out in a list.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub details: Option<Box<ServiceDetails>>,
}

/// An invocation that goes on by itself.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Started {
    /// Its correlation id.
    pub cid: String,
}

/// A kind of definition.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct KindView {
    /// Family and type.
    pub kind: KindTag,
    /// The family.
    pub family: Family,
    /// The type, as `type:` in a bundle names it.
    pub r#type: String,
    /// What it is.
    pub summary: String,
    /// A typical definition, as a bundle lists it.
    pub example: Map<String, Value>,
    /// The JSON schema of the parameters.
    pub schema: Schema,
}

/// Whether a node is alive, and whether it takes requests.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Alive {
    /// `ok`, or why it takes no requests.
    pub status: String,
    /// The revision that its requests see.
    pub revision: Revision,
    /// Why the store does not answer, if it does not: the node serves what it has seen last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub store: Option<String>,
}
