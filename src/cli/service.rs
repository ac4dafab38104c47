//! `zeugma service`: what services there are, and what they take and answer.

use clap::{Args, Subcommand};
use schemars::Schema;

use super::admin::{Ask, Remote};
use super::exit::{Exit, Stop};
use super::output::{Form, Output, print};
use crate::http::admin::shapes::ServiceView;

/// See the module.
#[derive(Debug, Subcommand)]
pub(super) enum Services {
    /// Shows the services that run
    List(List),
    /// Shows a service with its documentation and schemas
    Show(Show),
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
    /// The service
    name: String,
    #[command(flatten)]
    remote: Remote,
    #[command(flatten)]
    output: Output,
}

impl Services {
    pub(super) async fn run(self) -> Result<Exit, Stop> {
        match self {
            Self::List(List { remote, output }) => {
                let services: Vec<ServiceView> = remote.ask(Ask::get(&["services"])).await?;
                output.show(&services, &["name", "type", "namespace", "summary"], || {
                    services.iter().map(|service| {
                        let namespace = service.namespace.clone().unwrap_or_default();
                        let r#type = service.kind.r#type.clone();
                        vec![service.name.clone(), r#type, namespace, service.summary.clone()]
                    })
                })
            }
            Self::Show(Show { name, remote, output }) => {
                let service: ServiceView = remote.ask(Ask::get(&["services", &name])).await?;
                match output.output {
                    Form::Table => print(&page(&service)?),
                    _ => output.value(&service),
                }
            }
        }
    }
}

fn page(service: &ServiceView) -> Result<String, Stop> {
    let schema = |what: &str, schema: &Option<Schema>| match schema {
        None => Ok(format!("{what}: any bytes\n")),
        Some(schema) => {
            let text = serde_json::to_string_pretty(schema).map_err(|e| Stop::failed(e.to_string()))?;
            Ok::<_, Stop>(format!("{what}:\n{text}\n"))
        }
    };
    let namespace = service.namespace.as_ref().map(|n| format!(", namespace {n}")).unwrap_or_default();
    let used_by: Vec<String> = service.used_by.iter().map(ToString::to_string).collect();
    let used_by = if used_by.is_empty() { "nothing".into() } else { used_by.join(", ") };
    Ok(format!(
        "{} ({}{namespace})\n\n{}\n\nused by: {used_by}\n{}{}",
        service.name,
        service.kind,
        service.description,
        schema("input", &service.input)?,
        schema("output", &service.output)?,
    ))
}
