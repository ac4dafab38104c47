//! The shapes of packages and of what is known of the services in them.

use std::collections::{BTreeMap, BTreeSet};

use config::{DefId, Fault, KindTag, Name, Revision};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// The files of a package, as they are deployed.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Deployed {
    /// The files: path to content.
    pub files: BTreeMap<String, String>,
    /// Other parameters of its kind; those that are left out stay as they are.
    #[serde(flatten)]
    pub params: Map<String, Value>,
}

/// A package.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct PackageView {
    /// Its name.
    pub name: Name,
    /// The kind of its definition.
    pub kind: KindTag,
    /// Whether it runs.
    pub enabled: bool,
    /// The revision that changed it last.
    pub revision: Revision,
    /// A short text that is the same for the same files only.
    pub version: String,
    /// The names of its services.
    pub services: BTreeSet<String>,
    /// Its parameters; left out in a list.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub params: Map<String, Value>,
    /// Its files.
    pub files: Vec<FileView>,
    /// How each node serves it.
    pub nodes: Vec<PackageNode>,
}

/// A file of a package.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct FileView {
    /// Its path within the package.
    pub path: String,
    /// How long it is.
    pub bytes: usize,
    /// What is in it; left out in a list.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
}

/// How a node serves a package.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct PackageNode {
    /// The node.
    pub node: Name,
    /// Whether its requests see the newest revision of the package, or at least its fault.
    pub served: bool,
    /// Why the newest files do not run there; what ran before goes on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fault: Option<Fault>,
}

/// What is known of a service beyond its documentation and schemas, if it is in a package.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct ServiceDetails {
    /// The package that it is in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub package: Option<DefId>,
    /// The revision of the package that runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<Revision>,
    /// The file within the package.
    pub file: String,
    /// The line of the class.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<u64>,
    /// The class.
    pub class: String,
    /// The documentation of its namespace.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespace_docs: Option<String>,
    /// The HTTP verbs that it has methods for; none if it has one method for all.
    pub verbs: Vec<String>,
    /// The services that it calls, as far as its code shows.
    pub invokes: Vec<String>,
    /// Whether it also calls services whose names its code does not show.
    pub dynamic_invokes: bool,
    /// The connections that it uses, as far as its code shows.
    pub connections: Vec<ConnectionUse>,
    /// Its code.
    pub source: String,
}

/// A connection that a service uses.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct ConnectionUse {
    /// The type, such as `ftp` or `http`.
    pub kind: String,
    /// The name.
    pub name: String,
}
