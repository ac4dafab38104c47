//! What runs Python on a node: one warm process for each interpreter, started when it is first needed.

use std::collections::HashMap;
use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use config::Name;
use sdk::task::Tasks;
use tokio::sync::Mutex;

use super::declared::{Declared, InspectError, PoolLimits, Source};
use super::pool::Pool;
use super::spawn::{Load, spawn};
use super::unpack::Folders;
use super::zygote::Zygote;

/// What a node is told about Python at its start.
#[derive(Clone)]
pub struct RuntimeSettings {
    /// The interpreter, unless a package names one.
    pub python: PathBuf,
    /// The variables that it sees, and no others.
    pub environment: Vec<(OsString, OsString)>,
    /// The folder of the node's data.
    pub data: PathBuf,
    /// How many worker processes a package has, unless it says.
    pub workers: usize,
    /// How many requests one of them works on at once, unless the package says.
    pub threads: usize,
    /// How much memory one of them may use, in bytes, unless the package says.
    pub memory: u64,
    /// The name of the node, which services can ask for.
    pub node: Name,
    /// The name of its cluster.
    pub cluster: Name,
    /// For background work.
    pub tasks: Tasks,
}

/// See the module.
pub struct Runtime {
    pub(super) settings: RuntimeSettings,
    /// What reads the output of processes: it ends with them, and a node that stops does not wait for it.
    pub(super) output: Tasks,
    // Held while an interpreter starts: whoever needs it as well waits for the same one.
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    folders: Option<Folders>,
    script: Option<PathBuf>,
    stopped: bool,
    zygotes: HashMap<PathBuf, Arc<Zygote>>,
}

impl Runtime {
    /// Starts nothing yet.
    pub fn new(settings: RuntimeSettings) -> Arc<Self> {
        Arc::new(Self { settings, output: Tasks::default(), inner: Mutex::default() })
    }

    /// Loads a package in a worker that is thrown away, and says what is in it. The one who takes a change asks this.
    ///
    /// # Errors
    /// If there is no Python, or the package does not load.
    pub async fn inspect(
        &self,
        source: &Source,
        python: Option<&Path>,
    ) -> Result<Vec<Declared>, InspectError> {
        let limits = PoolLimits { workers: None, memory: None, threads: Some(1) };
        let load = self.load(source.clone(), &limits, python).await?;
        Ok(spawn(self, &load, 0).await?.services)
    }

    /// Starts the workers of a package.
    ///
    /// # Errors
    /// If there is no Python, or the package does not load.
    pub async fn pool(
        self: &Arc<Self>,
        source: Source,
        limits: PoolLimits,
        python: Option<PathBuf>,
    ) -> Result<Arc<Pool>, InspectError> {
        let workers = limits.workers.unwrap_or(self.settings.workers).max(1);
        let load = self.load(source, &limits, python.as_deref()).await?;
        Pool::start(self.clone(), load, workers).await
    }

    async fn load(
        &self,
        source: Source,
        limits: &PoolLimits,
        python: Option<&Path>,
    ) -> Result<Load, InspectError> {
        let failed = |error: io::Error| {
            InspectError::Failed(format!(
                "the files of package {} cannot be written: {error}",
                source.package
            ))
        };
        let folders = {
            let mut inner = self.inner.lock().await;
            self.unpacked(&mut inner)?.0
        };
        let folder = folders.package(&source).map_err(failed)?;
        Ok(Load {
            folder,
            python: python.unwrap_or(&self.settings.python).to_owned(),
            memory: limits.memory.unwrap_or(self.settings.memory),
            threads: limits.threads.unwrap_or(self.settings.threads).max(1),
            source,
        })
    }

    fn unpacked(&self, inner: &mut Inner) -> Result<(Folders, PathBuf), InspectError> {
        if let (Some(folders), Some(script)) = (&inner.folders, &inner.script) {
            return Ok((folders.clone(), script.clone()));
        }
        let unpack = || {
            let folders = Folders::below(&self.settings.data)?;
            let script = folders.runtime()?;
            io::Result::Ok((folders, script))
        };
        let found = unpack().map_err(|error| {
            let data = self.settings.data.display();
            InspectError::Failed(format!("what runs Python cannot be written into {data}: {error}"))
        })?;
        (inner.folders, inner.script) = (Some(found.0.clone()), Some(found.1.clone()));
        Ok(found)
    }

    /// The warm process of an interpreter; a new one, if there is none or it has ended.
    pub(super) async fn zygote(&self, python: &Path) -> Result<Arc<Zygote>, InspectError> {
        let mut inner = self.inner.lock().await;
        if inner.stopped {
            return Err(InspectError::Failed("the node stops".into()));
        }
        if let Some(zygote) = inner.zygotes.get(python).filter(|zygote| zygote.is_alive()) {
            return Ok(zygote.clone());
        }
        let (_, script) = self.unpacked(&mut inner)?;
        let zygote = Arc::new(Zygote::start(python, &script, &self.settings, &self.output).await?);
        tracing::debug!(python = %python.display(), version = zygote.python, "Python runs");
        inner.zygotes.insert(python.to_owned(), zygote.clone());
        Ok(zygote)
    }

    /// Ends all processes, for good.
    pub async fn stop(&self) {
        let mut inner = self.inner.lock().await;
        inner.stopped = true;
        for (_, zygote) in inner.zygotes.drain() {
            zygote.stop();
        }
    }

    /// From now on another one is used: this one does not answer.
    pub(super) async fn give_up(&self, python: &Path, zygote: &Arc<Zygote>) {
        let mut inner = self.inner.lock().await;
        if inner.zygotes.get(python).is_some_and(|found| Arc::ptr_eq(found, zygote)) {
            inner.zygotes.remove(python);
        }
    }
}
