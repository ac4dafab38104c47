//! `--watch`: a folder whose bundles are applied, and whose files of Python are deployed, whenever they change.

mod folder;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use actors::package::python::TYPE;
use config::bundle::{self, Bundle};
use config::settings::env_var;
use config::{DefId, Family, Fault, Faults, KindTag, Name, Note, sources};
use notify::Watcher as _;
use sdk::{Error, Result};
use serde_json::{Map, Value};
use tokio::sync::Notify;

use self::folder::{Seen, Stamp};
use crate::app::App;
use crate::definitions::{Options, Refused};

/// How often the folder is looked at when nothing tells of a change. Looking is cheap: only what has changed is read.
const EVERY: Duration = Duration::from_secs(1);
/// How long everything has to stand still before it is read: editors write in several steps.
const QUIET: Duration = Duration::from_millis(100);
/// How long to wait before what could not be done is tried again.
const AGAIN: Duration = Duration::from_secs(5);
/// The file in the data folder that names what was deployed from the watched folder.
const FILE: &str = "watched.json";

/// Watches the folder of the settings, if there is one, until the node stops.
pub fn begin(app: &App) {
    let Some(folder) = app.settings.watch.clone() else { return };
    let (app, mut stopping) = (app.clone(), app.stopping.clone());
    app.tasks.clone().spawn("watch", async move {
        let watching = Watching::new(app, folder);
        tokio::select! {
            () = watching.run() => {}
            _ = stopping.wait_for(|stopping| *stopping) => {}
        }
    });
}

/// What can be done by itself.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Item {
    /// Deploying the package of this path.
    Package(PathBuf),
    /// Applying all bundles.
    Bundles,
    /// Undeploying a package whose files are gone.
    Gone(Name),
}

/// One thing to be done.
struct Job {
    item: Item,
    stamp: Stamp,
    bundle: Bundle,
    gone: BTreeSet<DefId>,
}

struct Watching {
    app: App,
    folder: PathBuf,
    /// What was done, and how the files looked then.
    done: BTreeMap<Item, Stamp>,
    /// The packages that were deployed from here.
    deployed: BTreeSet<Name>,
}

impl Watching {
    fn new(app: App, folder: PathBuf) -> Self {
        let text = std::fs::read(app.settings.data.join(FILE)).unwrap_or_default();
        let deployed = serde_json::from_slice(&text).unwrap_or_default();
        Self { app, folder, done: BTreeMap::new(), deployed }
    }

    async fn run(mut self) {
        tracing::info!(folder = %self.folder.display(), "watching a folder");
        let changed = Arc::new(Notify::new());
        let _watcher = match watcher(&self.folder, changed.clone()) {
            Ok(watcher) => Some(watcher),
            Err(error) => {
                tracing::warn!(%error, "nothing tells of changes in the watched folder: it is looked at every second");
                None
            }
        };
        let (mut acted_on, mut complaint) = (None, None);
        loop {
            match self.settled().await {
                Ok(seen) => {
                    complaint = None;
                    if acted_on.as_ref() != Some(&seen) {
                        if self.act(&seen).await {
                            acted_on = Some(seen);
                        } else {
                            tokio::time::sleep(AGAIN).await;
                        }
                    }
                }
                // What stays wrong is said once.
                Err(error) => {
                    let error = error.to_string();
                    if complaint.as_ref() != Some(&error) {
                        tracing::warn!(error, "the watched folder cannot be looked at");
                    }
                    complaint = Some(error);
                }
            }
            drop(tokio::time::timeout(EVERY, changed.notified()).await);
        }
    }

    /// What is in the folder, once it has stood still for a while.
    async fn settled(&self) -> Result<Seen> {
        let mut seen = self.look().await?;
        loop {
            tokio::time::sleep(QUIET).await;
            let again = self.look().await?;
            if again == seen {
                return Ok(seen);
            }
            seen = again;
        }
    }

    async fn look(&self) -> Result<Seen> {
        let folder = self.folder.clone();
        let looked = tokio::task::spawn_blocking(move || folder::look(&folder)).await?;
        looked.map_err(|fault| Error::unavailable(fault.to_string()))
    }

    /// Does what has changed: all of it as one revision or, if something is wrong, each thing that can be done. Answers
    /// false if it is to be tried again soon.
    async fn act(&mut self, seen: &Seen) -> bool {
        let (jobs, mut faults) = match self.jobs(seen).await {
            Ok(found) => found,
            Err(error) => {
                tracing::warn!(%error, "the watched folder is not applied");
                return false;
            }
        };
        let together = Bundle { drafts: Vec::new(), faults: Vec::new() };
        let together = jobs.iter().fold(together, |all, job| all.and(job.bundle.clone()));
        let gone = jobs.iter().flat_map(|job| job.gone.iter().cloned()).collect();
        let mut soon = true;
        match self.make(together, &gone).await {
            Ok(()) => jobs.into_iter().for_each(|job| self.is_done(job)),
            Err(Refused::Faults(Faults(more))) if jobs.len() < 2 => faults.extend(more),
            Err(Refused::Faults(_)) => {
                for job in jobs {
                    match self.make(job.bundle.clone(), &job.gone).await {
                        Ok(()) => self.is_done(job),
                        Err(Refused::Faults(Faults(more))) => faults.extend(more),
                        Err(refused) => soon = self.later(&refused),
                    }
                }
            }
            Err(refused) => soon = self.later(&refused),
        }
        for fault in &faults {
            tracing::warn!(%fault, "the watched folder is not applied");
        }
        self.app.definitions.board.aside(&self.app.settings.node, faults);
        if let Err(error) = self.remember() {
            tracing::warn!(%error, file = FILE, "what was deployed from the watched folder is not noted");
        }
        soon
    }

    fn later(&self, refused: &Refused) -> bool {
        tracing::warn!(%refused, "the watched folder is not applied");
        false
    }

    async fn make(&self, bundle: Bundle, gone: &BTreeSet<DefId>) -> Result<(), Refused> {
        if bundle == Bundle::default() && gone.is_empty() {
            return Ok(());
        }
        let note = Note { author: "zeugma start".into(), reason: Some("--watch".into()), ..Note::default() };
        let options = Options { wait: Duration::ZERO, ..Options::default() };
        let outcome = self.app.definitions.replace(bundle, gone, options, note).await?;
        if !outcome.changes.is_empty() {
            let (revision, changes) = (outcome.revision, outcome.changes.len());
            tracing::info!(%revision, changes, "applied the watched folder");
        }
        Ok(())
    }

    fn is_done(&mut self, job: Job) {
        match &job.item {
            Item::Package(path) => {
                self.deployed.extend(name_of(path).ok());
            }
            Item::Gone(name) => {
                self.deployed.remove(name);
                return;
            }
            Item::Bundles => {}
        }
        self.done.insert(job.item, job.stamp);
    }

    /// What is to be done, in the order in which one thing may need another.
    async fn jobs(&mut self, seen: &Seen) -> Result<(Vec<Job>, Vec<Fault>)> {
        let (paths, env) = (seen.bundles.keys().cloned().collect::<Vec<_>>(), |name: &str| env_var(name));
        let read = move || {
            let bundle = bundle::read_paths(&paths).filled(&env);
            let named = folder::named(&bundle.drafts);
            (bundle.with_sources(), named)
        };
        let (bundle, named) = tokio::task::spawn_blocking(read).await?;
        let own: BTreeSet<DefId> = bundle.drafts.iter().map(|draft| draft.id.clone()).collect();
        // A bundle is made anew when a file changes that one of its packages is made of.
        let mut stamp = seen.bundles.clone();
        let (mut jobs, mut faults, mut there) = (Vec::new(), Vec::new(), BTreeSet::new());
        for (path, files) in &seen.packages {
            if folder::is_named(path, &named) {
                stamp.extend(files.clone());
                continue;
            }
            let name = match name_of(path) {
                Ok(name) => name,
                Err(fault) => {
                    faults.push(fault);
                    continue;
                }
            };
            let id = DefId::new(Family::Package, name.clone());
            if own.contains(&id) || !there.insert(name.clone()) {
                let fault =
                    Fault::new(path.display().to_string(), format!("there is another {id} in this folder"));
                faults.push(fault.hint("give one of them another name"));
                continue;
            }
            let item = Item::Package(path.clone());
            if self.done.get(&item) != Some(files) {
                let bundle = self.package(id, path.clone()).await?;
                jobs.push(Job { item, stamp: files.clone(), bundle, gone: BTreeSet::new() });
            }
        }
        if self.done.get(&Item::Bundles).is_none_or(|done| *done != stamp) {
            jobs.push(Job { item: Item::Bundles, stamp, bundle, gone: BTreeSet::new() });
        }
        self.done.retain(|item, _| !matches!(item, Item::Package(path) if !seen.packages.contains_key(path)));
        let of_bundles = |name: &&Name| own.contains(&DefId::new(Family::Package, (*name).clone()));
        for name in self.deployed.iter().filter(|name| !there.contains(*name) && !of_bundles(name)) {
            let gone = BTreeSet::from([DefId::new(Family::Package, name.clone())]);
            let item = Item::Gone(name.clone());
            jobs.push(Job { item, stamp: Stamp::new(), bundle: Bundle::default(), gone });
        }
        Ok((jobs, faults))
    }

    /// The package of a path. Parameters that files do not say stay as they are.
    async fn package(&self, id: DefId, path: PathBuf) -> Result<Bundle> {
        let files = match tokio::task::spawn_blocking(move || sources::read(&path)).await? {
            Ok(files) => files,
            Err(faults) => return Ok(Bundle { drafts: Vec::new(), faults }),
        };
        let files = files.into_iter().map(|(path, text)| (path, Value::String(text))).collect();
        let given = Map::from_iter([("files".to_owned(), Value::Object(files))]);
        let kind = KindTag::new(Family::Package, TYPE);
        Ok(vec![self.app.definitions.over(id, kind, given).await?].into())
    }

    /// Notes what was deployed, so that a file that goes while the node is down is undeployed after its start.
    fn remember(&self) -> std::io::Result<()> {
        let path = self.app.settings.data.join(FILE);
        let text = serde_json::to_vec(&self.deployed)?;
        if std::fs::read(&path).is_ok_and(|there| there == text) {
            return Ok(());
        }
        let new = path.with_extension("json.new");
        std::fs::write(&new, text)?;
        std::fs::rename(&new, &path)
    }
}

/// The name of the package of a path.
fn name_of(path: &Path) -> Result<Name, Fault> {
    let name = sources::package_name(path).unwrap_or_default();
    name.parse().map_err(|fault: Fault| Fault { at: path.display().to_string(), ..fault })
}

/// Tells of changes in a folder and those in it.
fn watcher(folder: &Path, changed: Arc<Notify>) -> notify::Result<notify::RecommendedWatcher> {
    let told = move |event: notify::Result<notify::Event>| {
        // To look costs little, and a look is itself an event: only what may have changed something counts.
        if event.is_ok_and(|event| !event.kind.is_access()) {
            changed.notify_one();
        }
    };
    let mut watcher = notify::recommended_watcher(told)?;
    watcher.watch(folder, notify::RecursiveMode::Recursive)?;
    Ok(watcher)
}
