//! `zeugma get` and `zeugma delete`: definitions, one by one.

use clap::Args;
use config::{DefId, Family, Name, bundle};
use reqwest::Method;

use super::admin::{Ask, Remote};
use super::change::Changing;
use super::exit::{Exit, Stop};
use super::output::{Form, Output, print};
use crate::definitions::View;
use crate::http::admin::shapes::{Listing, Single};

/// See the module.
#[derive(Debug, Args)]
pub(super) struct Get {
    /// Only this family: security, connections, packages, services, channels, jobs or specs
    family: Option<Family>,
    /// Only this definition, written as a bundle lists it
    name: Option<Name>,
    #[command(flatten)]
    remote: Remote,
    #[command(flatten)]
    output: Output,
}

impl Get {
    pub(super) async fn run(self) -> Result<Exit, Stop> {
        let (Some(family), Some(name)) = (self.family, self.name) else {
            return list(self.family, &self.remote, &self.output).await;
        };
        let single: Single = self.remote.ask(Ask::definition(Method::GET, &DefId::new(family, name))).await?;
        match self.output.output {
            Form::Table => print(&bundle::write_yaml([(family, single.view.definition)].into_iter())),
            _ => self.output.value(&single),
        }
    }
}

async fn list(family: Option<Family>, remote: &Remote, output: &Output) -> Result<Exit, Stop> {
    let listing: Listing = remote.ask(Ask::get(&["definitions"]).query("family", family)).await?;
    output.show(&listing, &["family", "name", "type", "enabled", "changed at", "needed by"], || {
        listing.definitions.iter().map(row)
    })
}

fn row(view: &View) -> Vec<String> {
    let text = |key: &str| view.definition.get(key).and_then(|v| v.as_str()).unwrap_or_default().to_owned();
    let enabled = view.definition.get("enabled").is_none_or(|enabled| enabled == true);
    let needed_by = view.needed_by.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    vec![
        view.id.family.to_string(),
        view.id.name.to_string(),
        text("type"),
        if enabled { "yes" } else { "no" }.into(),
        view.changed_at.to_string(),
        needed_by,
    ]
}

/// See the module.
#[derive(Debug, Args)]
pub(super) struct Delete {
    /// The family
    family: Family,
    /// The name
    name: Name,
    #[command(flatten)]
    changing: Changing,
    #[command(flatten)]
    remote: Remote,
    #[command(flatten)]
    output: Output,
}

impl Delete {
    pub(super) async fn run(self) -> Result<Exit, Stop> {
        let ask = Ask::definition(Method::DELETE, &DefId::new(self.family, self.name));
        self.changing.make(&self.remote, ask, &self.output).await
    }
}
