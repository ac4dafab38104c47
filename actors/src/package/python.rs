//! Python packages: files of Python whose services are deployed while the node runs.

use std::num::NonZeroU16;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use config::sources::{Files, MAX_FILES, MAX_TOTAL};
use config::{Claim, DefId, Definition, Fault, Name, Size};
use schemars::JsonSchema;
use sdk::{Error, Result, Service};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};

use crate::kind::{Kind, Start};
use crate::part::{Package, Part};
use crate::python::{InspectError, LoadFault, Pool, PoolLimits, Source};
use crate::registry::Registry;
use crate::service;

/// The type of the kind, within its family.
pub const TYPE: &str = "python";

/// How long the import of all files may take.
const IMPORT_LIMIT: Duration = Duration::from_secs(10);

/// Files of Python with services in them. `zeugma deploy` makes one of a file or a folder.
///
/// In a bundle, `files` names files or folders beside it, such as `[billing.py, lib]`; what is sent to a node and stored
/// is what is in them.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Params {
    /// The files: path to content. Those that end in `.py` are imported; the others are there to be read.
    #[serde(deserialize_with = "files")]
    files: Files,
    /// The Python to run it with, such as that of a virtual environment, at the same path on every node; left out: that
    /// of the node.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    python: Option<PathBuf>,
    /// How many worker processes on each node; left out: as the node is set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    workers: Option<NonZeroU16>,
    /// How many requests one worker process works on at once; left out: as the node is set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    threads: Option<NonZeroU16>,
    /// How much memory one worker process may use; left out: as the node is set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    memory: Option<Size>,
    /// Roles, all of which callers of its services must have, through whichever channel or service they come; others are
    /// answered 403. Jobs and operators need none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    require: Vec<String>,
    /// Which types declared elements have by the form of their names, instead of the usual ones; a type that is left out has
    /// its usual names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    types_by_name: Option<TypesByName>,
}

/// Names of elements, by the type that they stand for.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct TypesByName {
    /// Those of whole numbers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    int: Option<Forms>,
    /// Those of booleans.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    bool: Option<Forms>,
    /// Those of secrets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    secret: Option<Forms>,
}

/// Forms of names.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Forms {
    /// Whole names.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    exact: Vec<String>,
    /// What they begin with.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    prefix: Vec<String>,
    /// What they end with.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    suffix: Vec<String>,
}

/// People write the paths of files in a bundle, and there is one who reads them; a node is sent what is in them.
fn files<'de, D: serde::Deserializer<'de>>(d: D) -> Result<Files, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Given {
        Read(Files),
        #[allow(dead_code, reason = "only to tell it apart")]
        Paths(Vec<String>),
        #[allow(dead_code, reason = "only to tell it apart")]
        Path(String),
    }
    match Given::deserialize(d) {
        Ok(Given::Read(files)) => Ok(files),
        Ok(Given::Paths(_) | Given::Path(_)) => Err(serde::de::Error::custom(
            "a node reads no files by their paths: send a map of each path to its content, as the command line does",
        )),
        Err(_) => Err(serde::de::Error::custom("it is no map of paths to texts")),
    }
}

/// See the module.
pub struct PythonPackage;

#[async_trait]
impl Kind for PythonPackage {
    const TAG: &'static str = "package.python";
    type Params = Params;

    fn example() -> Params {
        let text = "from zeugma import Service\n\nclass Hello(Service):\n    def handle(self):\n        \
                    self.response.payload = 'hello'\n";
        let files = Files::from([("hello.py".to_owned(), text.to_owned())]);
        Params {
            files,
            python: None,
            workers: NonZeroU16::new(2),
            threads: None,
            memory: None,
            require: Vec::new(),
            types_by_name: None,
        }
    }

    fn check(params: &Params) -> Vec<Fault> {
        let mut faults: Vec<Fault> = params.files.keys().filter_map(|path| wrong_path(path)).collect();
        if !params.files.keys().any(|path| path.ends_with(".py")) {
            faults.push(Fault::new("files", "there is no file of Python among them").hint("one ends in .py"));
        }
        if params.files.len() > MAX_FILES {
            let message =
                format!("there are {} files, and {MAX_FILES} at most can be deployed", params.files.len());
            faults.push(Fault::new("files", message).hint("deploy only the folder that the services are in"));
        }
        let total: usize = params.files.values().map(String::len).sum();
        if total > MAX_TOTAL {
            let message = format!("they are {total} bytes long, and {MAX_TOTAL} at most can be deployed");
            faults
                .push(Fault::new("files", message).hint(
                    "install libraries into a virtual environment on every node and name its `python`",
                ));
        }
        if params.python.as_ref().is_some_and(|path| !path.is_absolute()) {
            faults.push(
                Fault::new("python", "it is not absolute").hint("such as /opt/billing/venv/bin/python3"),
            );
        }
        faults
    }

    async fn inspect(id: &DefId, params: Params, registry: &Registry) -> Result<Vec<Claim>, Vec<Fault>> {
        // Without Python nobody knows, so nothing is said.
        let Some(runtime) = &registry.python else { return Err(Vec::new()) };
        let source = params.source(&id.name);
        let declared = match tokio::time::timeout(
            IMPORT_LIMIT,
            runtime.inspect(&source, params.python.as_deref()),
        )
        .await
        {
            Ok(declared) => declared.map_err(|error| vec![told(error)])?,
            Err(_) => {
                let fault =
                    Fault::new("files", format!("importing them has not ended within {IMPORT_LIMIT:?}"));
                return Err(vec![
                    fault.hint("a module is to define things, and services are to do the work"),
                ]);
            }
        };
        let mut faults = Vec::new();
        let mut claims = Vec::new();
        for service in declared {
            match service.name.parse::<Name>() {
                Ok(name) => claims.push(Claim { at: "files".into(), what: service::python::claim(&name) }),
                Err(fault) => faults.push(Fault { at: "files".into(), ..fault }),
            }
        }
        if faults.is_empty() { Ok(claims) } else { Err(faults) }
    }

    async fn start(params: Params, start: Start) -> Result<Part> {
        let Some(runtime) = &start.python else {
            return Err(Error::unavailable("this node runs no Python"));
        };
        let limits = PoolLimits {
            workers: params.workers.map(|n| n.get().into()),
            threads: params.threads.map(|n| n.get().into()),
            memory: params.memory.map(Size::get),
        };
        let source = params.source(&start.id.name);
        let pool = runtime.pool(source, limits, params.python).await;
        let pool = pool.map_err(|error| Error::unavailable(told(error).to_string()))?;
        Ok(Part::Package(Arc::new(Running { pool, require: params.require })))
    }
}

impl Params {
    fn source(&self, package: &Name) -> Source {
        let files = self.files.iter().map(|(path, text)| (path.clone(), Arc::from(text.as_str()))).collect();
        let types_by_name = serde_json::to_value(&self.types_by_name).unwrap_or_default();
        Source { package: package.clone(), version: digest(&self.files), files, types_by_name }
    }
}

/// A short text that is the same for the same files only.
pub fn digest(files: &Files) -> String {
    let mut hash = Sha256::new();
    for (path, text) in files {
        for part in [path, text] {
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part.as_bytes());
        }
    }
    hash.finalize().iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}

/// The files of a stored package, and its other parameters.
pub fn files_of(definition: &Definition) -> (Files, Map<String, Value>) {
    let mut params = definition.params.masked();
    let files = params.shift_remove("files").and_then(|files| serde_json::from_value(files).ok());
    (files.unwrap_or_default(), params)
}

/// A path that would lead out of the package, or that no file can have.
fn wrong_path(path: &str) -> Option<Fault> {
    let plain = Path::new(path).components().all(|part| matches!(part, Component::Normal(_)));
    let sound = plain
        && !path.is_empty()
        && !path.ends_with('/')
        && !path.contains("//")
        && path.len() <= 250
        && !path.chars().any(|c| c.is_control() || c == '\\');
    let fault = || {
        Fault::new(format!("files.{path}"), "this is no path of a file within the package")
            .hint("write it relative, with / between its parts, such as lib/rates.py")
    };
    (!sound).then(fault)
}

/// What keeps a package from running, with its place.
fn told(error: InspectError) -> Fault {
    match error {
        InspectError::Load(LoadFault { file, line, message, traceback }) => {
            let line = line.map(|line| format!(":{line}")).unwrap_or_default();
            let more = if traceback.trim().is_empty() {
                String::new()
            } else {
                format!("\n{}", traceback.trim_end())
            };
            Fault::new(format!("files.{file}{line}"), format!("{message}{more}"))
        }
        other => Fault::new("", other.to_string()),
    }
}

/// A package and its workers.
struct Running {
    pool: Arc<Pool>,
    require: Vec<String>,
}

#[async_trait]
impl Package for Running {
    fn services(&self) -> Vec<String> {
        self.pool.services().iter().map(|declared| declared.name.clone()).collect()
    }

    fn service(&self, name: &str) -> Option<Arc<dyn Service>> {
        self.pool.service(name)
    }

    fn requires(&self) -> &[String] {
        &self.require
    }

    fn details(&self, name: &str) -> Option<Value> {
        let declared = self.pool.services().iter().find(|declared| declared.name == name)?;
        serde_json::to_value(declared).ok()
    }

    fn stats(&self) -> Value {
        self.pool.stats()
    }

    async fn close(&self) {
        self.pool.close().await;
    }
}
