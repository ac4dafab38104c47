//! `zeugma package`: what is deployed, since when, and back to what was.

use clap::{Args, Subcommand};
use config::{DefId, Family, Name, Revision};
use reqwest::Method;

use super::admin::{Ask, Remote, json};
use super::change::Changing;
use super::exit::{Exit, Stop};
use super::history;
use super::output::{Form, Output, print, table};
use crate::definitions::{Event, What};
use crate::http::admin::shapes::{self, PackageView};

/// See the module.
#[derive(Debug, Subcommand)]
pub(super) enum Packages {
    /// Shows the packages
    List(List),
    /// Shows a package: its services, its files, and how each node serves it
    Show(Show),
    /// Shows who deployed a package, and when
    History(History),
    /// Deploys a package as it was at an earlier revision
    Rollback(Rollback),
}

/// See the module.
#[derive(Debug, Args)]
pub(super) struct List {
    #[command(flatten)]
    remote: Remote,
    #[command(flatten)]
    output: Output,
}

/// See the module.
#[derive(Debug, Args)]
pub(super) struct Show {
    /// The package
    name: Name,
    /// Show what is in this file
    #[arg(long, value_name = "PATH")]
    file: Option<String>,
    #[command(flatten)]
    remote: Remote,
    #[command(flatten)]
    output: Output,
}

/// See the module.
#[derive(Debug, Args)]
pub(super) struct History {
    /// The package
    name: Name,
    /// How many revisions
    #[arg(short = 'n', long, default_value_t = 20)]
    limit: usize,
    #[command(flatten)]
    remote: Remote,
    #[command(flatten)]
    output: Output,
}

/// See the module.
#[derive(Debug, Args)]
pub(super) struct Rollback {
    /// The package
    name: Name,
    /// The revision whose files are wanted again [default: those before the last change]
    revision: Option<u64>,
    #[command(flatten)]
    changing: Changing,
    #[command(flatten)]
    remote: Remote,
    #[command(flatten)]
    output: Output,
}

impl Packages {
    pub(super) async fn run(self) -> Result<Exit, Stop> {
        match self {
            Self::List(List { remote, output }) => {
                let packages: Vec<PackageView> = remote.ask(Ask::get(&["packages"])).await?;
                output.show(
                    &packages,
                    &["name", "version", "revision", "files", "services", "runs on"],
                    || packages.iter().map(row),
                )
            }
            Self::Show(show) => show.run().await,
            Self::History(History { name, limit, remote, output }) => {
                let events = events(&remote, &id(name), limit).await?;
                history::show(&events, &output)
            }
            Self::Rollback(rollback) => rollback.run().await,
        }
    }
}

impl Show {
    async fn run(self) -> Result<Exit, Stop> {
        let package: PackageView = self.remote.ask(Ask::get(&["packages", self.name.as_str()])).await?;
        if let Some(path) = &self.file {
            let file = package.files.iter().find(|file| file.path == *path);
            let known = package.files.iter().map(|file| file.path.as_str());
            let none = || {
                let stop = Stop::failed(format!("there is no file {path:?} in package {}", package.name));
                config::fault::suggest(path, known).into_iter().fold(stop, Stop::hint)
            };
            return print(file.and_then(|file| file.text.as_deref()).ok_or_else(none)?);
        }
        match self.output.output {
            Form::Table => print(&page(&package)),
            _ => self.output.value(&package),
        }
    }
}

impl Rollback {
    async fn run(self) -> Result<Exit, Stop> {
        let id = id(self.name);
        let revision = match self.revision {
            Some(revision) => Revision(revision),
            None => {
                let events = events(&self.remote, &id, 2).await?;
                let deleted = |event: &Event| event.changes.iter().any(|c| c.change == What::Deleted);
                match &events[..] {
                    // What it was just before the last change: at its revision, if that did not delete it too.
                    [_, before] if !deleted(before) => before.revision,
                    _ => {
                        return Err(Stop::failed(format!("there is nothing before the last change of {id}")));
                    }
                }
            }
        };
        let body = json(&shapes::Rollback { revision, only: Some(id) })?;
        let ask = Ask::new(Method::POST, &["rollback"]).body(body);
        self.changing.make(&self.remote, ask, &self.output).await
    }
}

fn id(name: Name) -> DefId {
    DefId::new(Family::Package, name)
}

async fn events(remote: &Remote, id: &DefId, limit: usize) -> Result<Vec<Event>, Stop> {
    remote.ask(Ask::get(&["history"]).query("limit", Some(limit)).query("only", Some(id))).await
}

fn row(package: &PackageView) -> Vec<String> {
    vec![
        package.name.to_string(),
        package.version.clone(),
        package.revision.to_string(),
        package.files.len().to_string(),
        package.services.len().to_string(),
        runs_on(package),
    ]
}

fn runs_on(package: &PackageView) -> String {
    if !package.enabled {
        return "none: it is not enabled".into();
    }
    let good = package.nodes.iter().filter(|node| node.served && node.fault.is_none()).count();
    format!("{good}/{} nodes", package.nodes.len())
}

fn page(package: &PackageView) -> String {
    let mut text = format!(
        "{} ({}), version {}, since revision {}, runs on {}\n",
        package.name,
        package.kind,
        package.version,
        package.revision,
        runs_on(package)
    );
    for (name, value) in &package.params {
        text.push_str(&format!("{name}: {}\n", crate::reference::plain(value)));
    }
    text.push('\n');
    text.push_str(&table(&["service"], package.services.iter().map(|name| vec![name.clone()])));
    text.push_str("\n\n");
    let files = package.files.iter().map(|file| vec![file.path.clone(), file.bytes.to_string()]);
    text.push_str(&table(&["file", "bytes"], files));
    for node in &package.nodes {
        if let Some(fault) = &node.fault {
            text.push_str(&format!("\n\n{}: the version before goes on; {fault}", node.node));
        } else if !node.served {
            text.push_str(&format!("\n\n{}: it does not serve this revision yet", node.node));
        }
    }
    text
}
