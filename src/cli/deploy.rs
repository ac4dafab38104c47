//! `zeugma deploy` and `zeugma undeploy`: services in files, on every node.

use std::collections::BTreeMap;
use std::path::PathBuf;

use clap::Args;
use config::sources::{self, Files};
use config::{DefId, Draft, Family, Faults, KindTag, Name, Place, Size};
use reqwest::Method;
use serde_json::{Map, Value};

use super::admin::{Ask, Remote};
use super::bundle;
use super::change::{Changing, is_broken};
use super::exit::{Exit, Stop};
use super::output::{Form, Output, print};
use crate::definitions::Outcome;
use crate::http::admin::shapes::{PackageView, Single};

/// See the module.
#[derive(Debug, Args)]
pub(super) struct Deploy {
    /// A file of Python, or a folder of them; each is a package of its own, and all are one revision
    #[arg(value_name = "FILE|DIR", required = true)]
    paths: Vec<PathBuf>,
    /// The name of the package [default: that of the file or folder]; with it, several paths are one package
    #[arg(long)]
    name: Option<Name>,
    /// The Python to run it with, such as that of a virtual environment; the same path on every node
    #[arg(long, value_name = "PATH")]
    python: Option<PathBuf>,
    /// How many worker processes on each node
    #[arg(long, value_name = "N")]
    workers: Option<u16>,
    /// How many requests one worker process works on at once
    #[arg(long, value_name = "N")]
    threads: Option<u16>,
    /// How much memory one worker process may use, such as 512MB
    #[arg(long, value_name = "SIZE")]
    memory: Option<Size>,
    #[command(flatten)]
    changing: Changing,
    #[command(flatten)]
    remote: Remote,
    #[command(flatten)]
    output: Output,
}

/// See the module.
#[derive(Debug, Args)]
pub(super) struct Undeploy {
    /// The package, or the file that it was deployed from
    #[arg(value_name = "NAME|FILE")]
    package: String,
    #[command(flatten)]
    changing: Changing,
    #[command(flatten)]
    remote: Remote,
    #[command(flatten)]
    output: Output,
}

impl Deploy {
    pub(super) async fn run(self) -> Result<Exit, Stop> {
        let packages = self.packages()?;
        let mut drafts = Vec::new();
        for (name, files) in packages {
            drafts.push(self.draft(name, files).await?);
        }
        let ask = self.changing.put_into(Ask::new(Method::POST, &["apply"])).body(bundle::written(&drafts));
        let outcome: Outcome = self.remote.ask(ask).await.map_err(|stop| bundle::placed(stop, &drafts))?;
        if self.output.output != Form::Table || outcome.dry_run {
            return self.changing.tell(&outcome, &self.output);
        }
        let broken =
            drafts.iter().any(|draft| outcome.receipt.nodes.iter().any(|node| is_broken(node, &draft.id)));
        for draft in &drafts {
            let package: PackageView =
                self.remote.ask(Ask::get(&["packages", draft.id.name.as_str()])).await?;
            print(&self.line(&outcome, &package))?;
        }
        let settled = self.changing.exit(&outcome);
        Ok(if broken { Exit::NotSettled } else { settled })
    }

    /// What there is to deploy, by package.
    fn packages(&self) -> Result<Vec<(Name, Files)>, Stop> {
        let mut packages: BTreeMap<Name, Files> = BTreeMap::new();
        let mut faults = Vec::new();
        if let (Some(name), [_, _, ..]) = (&self.name, &self.paths[..]) {
            match sources::read_all(&self.paths) {
                Ok(files) => drop(packages.insert(name.clone(), files)),
                Err(more) => faults.extend(more),
            }
        } else {
            for path in &self.paths {
                let name = match &self.name {
                    Some(name) => name.clone(),
                    None => sources::package_name(path).unwrap_or_default().parse().map_err(Faults::from)?,
                };
                let files = match sources::read(path) {
                    Ok(files) => files,
                    Err(more) => {
                        faults.extend(more);
                        continue;
                    }
                };
                if packages.insert(name.clone(), files).is_some() {
                    return Err(Stop::new(Exit::Usage, format!("two of the paths would be package {name}"))
                        .hint("deploy them as one package: --name"));
                }
            }
        }
        Faults(faults).unless_any(packages.into_iter().collect()).map_err(Stop::from)
    }

    /// What is to be there. Parameters that nothing was said about stay as they are.
    async fn draft(&self, name: Name, files: Files) -> Result<Draft, Stop> {
        let id = DefId::new(Family::Package, name);
        let mut params = Map::new();
        let mut kind = KindTag::new(Family::Package, actors::package::python::TYPE);
        match self.remote.ask::<Single>(Ask::definition(Method::GET, &id)).await {
            Ok(there) => {
                params = there.view.definition;
                params.shift_remove("name");
                if let Some(Value::String(r#type)) = params.shift_remove("type") {
                    kind = KindTag::new(Family::Package, r#type);
                }
                params.shift_remove("enabled");
            }
            Err(stop) if stop.is_not_found() => {}
            Err(stop) => return Err(stop),
        }
        let files = files.into_iter().map(|(path, text)| (path, Value::String(text)));
        params.insert("files".into(), Value::Object(files.collect()));
        let mut say = |name: &str, value: Option<Value>| {
            value.map(|value| params.insert(name.into(), value));
        };
        say("python", self.python.as_ref().map(|path| path.display().to_string().into()));
        say("workers", self.workers.map(Value::from));
        say("threads", self.threads.map(Value::from));
        say("memory", self.memory.map(|size| size.to_string().into()));
        let (params, place) = (config::Clear(params), Place::default());
        Ok(Draft { id, kind, enabled: true, params, place })
    }

    fn line(&self, outcome: &Outcome, package: &PackageView) -> String {
        let count = package.services.len();
        let services = format!("{count} service{}", if count == 1 { "" } else { "s" });
        let id = DefId::new(Family::Package, package.name.clone());
        let mut line = if outcome.changes.iter().any(|changed| changed.id == id) {
            let reach = self.changing.reach(outcome, Some(&id));
            format!("deployed {} ({services}) as revision {}{reach}", package.name, outcome.revision)
        } else {
            format!(
                "{} ({services}) is there already, just so, since revision {}",
                package.name, package.revision
            )
        };
        if count == 0 {
            line.push_str("\nhint: no class in it derives from Service");
        }
        line
    }
}

impl Undeploy {
    pub(super) async fn run(self) -> Result<Exit, Stop> {
        // A name may hold a dot, so only what looks like a file is taken for one.
        let path = PathBuf::from(&self.package);
        let stem = sources::package_name(&path).filter(|_| self.package.ends_with(".py") || path.is_dir());
        let name = stem.unwrap_or(self.package);
        let ask = self.changing.put_into(Ask::new(Method::DELETE, &["packages", &name]));
        let outcome: Outcome = self.remote.ask(ask).await?;
        if self.output.output != Form::Table || outcome.dry_run {
            return self.changing.tell(&outcome, &self.output);
        }
        print(&format!(
            "undeployed {name} as revision {}{}",
            outcome.revision,
            self.changing.reach(&outcome, None)
        ))?;
        Ok(self.changing.exit(&outcome))
    }
}
