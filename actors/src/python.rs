//! Stub until the real one is merged.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use config::Name;
use serde::{Deserialize, Serialize};

/// What a package is made of.
#[derive(Clone, Debug)]
pub struct Source {
    /// Its name.
    pub package: Name,
    /// The digest of the files.
    pub version: String,
    /// The files.
    pub files: BTreeMap<String, Arc<str>>,
}

/// A service in a package.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Declared {
    /// Its name.
    pub name: String,
    /// Its code.
    #[serde(default)]
    pub source: String,
}

/// Why a package does not load.
#[derive(Clone, Debug)]
pub struct LoadFault {
    /// The file.
    pub file: String,
    /// The line.
    pub line: Option<u32>,
    /// What.
    pub message: String,
    /// Where.
    pub traceback: String,
}

/// Why not.
#[derive(Debug)]
pub enum InspectError {
    /// It does not load.
    Load(LoadFault),
    /// There is no Python.
    NoPython(String),
}

/// Limits.
#[derive(Clone, Debug, Default)]
pub struct PoolLimits {
    /// How many.
    pub workers: Option<usize>,
    /// Bytes.
    pub memory: Option<u64>,
    /// Threads.
    pub threads: Option<usize>,
}

/// See the module.
pub struct Runtime {}

impl Runtime {
    /// Looks.
    pub async fn inspect(&self, _source: &Source) -> Result<Vec<Declared>, InspectError> {
        Err(InspectError::NoPython("stub".into()))
    }
    /// Runs.
    pub async fn pool(
        &self,
        _source: Source,
        _limits: PoolLimits,
        _python: Option<PathBuf>,
    ) -> Result<Arc<Pool>, InspectError> {
        Err(InspectError::NoPython("stub".into()))
    }
}

/// Workers.
pub struct Pool {}

impl Pool {
    /// Services.
    pub fn services(&self) -> &[Declared] {
        &[]
    }
    /// One.
    pub fn service(&self, _name: &str) -> Option<Arc<dyn sdk::Service>> {
        None
    }
    /// Stats.
    pub fn stats(&self) -> serde_json::Value {
        serde_json::Value::Null
    }
    /// End.
    pub async fn close(&self) {}
}

impl std::fmt::Display for InspectError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{self:?}")
    }
}
