//! What a package is made of, what it declares, and why it may not load.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use config::Name;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// What a package is made of.
#[derive(Clone, Debug)]
pub struct Source {
    /// Its name.
    pub package: Name,
    /// The digest of the files.
    pub version: String,
    /// The files: path to text.
    pub files: BTreeMap<String, Arc<str>>,
    /// Which types elements have by their names, if not the usual ones: see the parameter of packages.
    pub types_by_name: Value,
}

/// A connection that a service uses, as its code says.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Used {
    /// Its kind, such as `ftp`.
    pub kind: String,
    /// Its name.
    pub name: String,
}

/// What is known of a service of a package without running it.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Declared {
    /// Its name.
    pub name: String,
    /// The class it is written as.
    pub class: String,
    /// The module that is in.
    pub module: String,
    /// The file that is in, from the root of the package.
    pub file: String,
    /// The line its class begins at.
    pub line: Option<u32>,
    /// The group it belongs to in specifications.
    pub namespace: String,
    /// What is said of that group.
    pub namespace_docs: String,
    /// The first line of its documentation.
    pub summary: String,
    /// The rest of it.
    pub description: String,
    /// All of it.
    pub docs: String,
    /// The JSON schema of its input; none: it reads the request itself.
    pub input: Option<Value>,
    /// The JSON schema of its output; none: it writes the response itself.
    pub output: Option<Value>,
    /// How input and output are declared: `simpleio`, `model`, or not at all.
    pub input_form: Option<String>,
    /// What the answer is wrapped into where a channel is to do that.
    pub response_elem: Option<String>,
    /// The verbs it has methods of its own for.
    pub verbs: Vec<String>,
    /// Whether its handler is a coroutine.
    pub r#async: bool,
    /// The services it calls, as far as the code shows.
    pub invokes: Vec<String>,
    /// The connections it uses, as far as the code shows.
    pub connections: Vec<Used>,
    /// Whether it also calls services whose names only a run shows.
    pub dynamic_invokes: bool,
    /// Its code.
    pub source: String,
}

/// Why a package does not load, as Python says it.
#[derive(Clone, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(default)]
pub struct LoadFault {
    /// The file, from the root of the package; empty if it is none of them.
    #[serde(deserialize_with = "or_empty")]
    pub file: String,
    /// The line in it, from 1.
    pub line: Option<u32>,
    /// What is wrong.
    pub message: String,
    /// How it came to that.
    pub traceback: String,
}

fn or_empty<'de, D: serde::Deserializer<'de>>(d: D) -> Result<String, D::Error> {
    Ok(Option::deserialize(d)?.unwrap_or_default())
}

/// Why it is not known what is in a package, or why it does not run.
#[derive(Clone, Debug)]
pub enum InspectError {
    /// The package is wrong.
    Load(LoadFault),
    /// There is no Python, or none that can be used: what to do about it.
    NoPython(String),
    /// This node could not start what runs it.
    Failed(String),
}

impl fmt::Display for InspectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Load(LoadFault { file, line: Some(line), message, .. }) => {
                write!(f, "{file}:{line}: {message}")
            }
            Self::Load(fault) if fault.file.is_empty() => f.write_str(&fault.message),
            Self::Load(fault) => write!(f, "{}: {}", fault.file, fault.message),
            Self::NoPython(text) | Self::Failed(text) => f.write_str(text),
        }
    }
}

impl std::error::Error for InspectError {}

/// What a package says about its workers; what it does not say, the node's settings do.
#[derive(Clone, Debug, Default)]
pub struct PoolLimits {
    /// How many worker processes.
    pub workers: Option<usize>,
    /// How much memory one of them may use, in bytes.
    pub memory: Option<u64>,
    /// How many requests one of them works on at once.
    pub threads: Option<usize>,
}
