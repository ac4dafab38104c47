//! `zeugma service`: what services there are, and what they take and answer.

use clap::{Args, Subcommand};
use schemars::Schema;

use super::admin::{Ask, Remote};
use super::exit::{Exit, Stop};
use super::output::{Form, Output, print, table};
use crate::http::admin::shapes::{ServiceDetails, ServiceView};
use crate::reference::{parameters, plain};

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

/// What a person wants to know of a service, from top to bottom.
fn page(service: &ServiceView) -> Result<String, Stop> {
    let namespace = service.namespace.as_ref().map(|n| format!(", namespace {n}")).unwrap_or_default();
    let mut text = format!("{} ({}{namespace})\n", service.name, service.kind);
    let details = service.details.as_deref();
    if let Some(ServiceDetails { namespace_docs: Some(docs), .. }) = details
        && !docs.trim().is_empty()
    {
        text.push_str(&format!("{}\n", docs.trim()));
    }
    if !service.description.trim().is_empty() {
        text.push_str(&format!("\n{}\n", service.description.trim()));
    }
    text.push('\n');
    text.push_str(&shape("input", service.input.as_ref())?);
    text.push_str(&shape("output", service.output.as_ref())?);
    if let Some(details) = details {
        if !details.verbs.is_empty() {
            text.push_str(&format!("verbs: {}\n", details.verbs.join(", ")));
        }
        let mut invokes = details.invokes.clone();
        invokes
            .extend(details.dynamic_invokes.then(|| "others, by names that its code does not show".into()));
        text.push_str(&format!("calls: {}\n", listed(&invokes)));
        let used: Vec<String> =
            details.connections.iter().map(|c| format!("{} {}", c.kind, c.name)).collect();
        text.push_str(&format!("uses: {}\n", listed(&used)));
    }
    let used_by: Vec<String> = service.used_by.iter().map(ToString::to_string).collect();
    text.push_str(&format!("used by: {}\n", listed(&used_by)));
    if let Some(details) = details {
        let package = details.package.as_ref().map(ToString::to_string).unwrap_or_default();
        let version = details.version.map(|version| format!(", revision {version}")).unwrap_or_default();
        let line = details.line.map(|line| format!(":{line}")).unwrap_or_default();
        text.push_str(&format!(
            "\n{package}{version}, {}{line}\n\n{}\n",
            details.file,
            details.source.trim_end()
        ));
    }
    Ok(text)
}

fn listed(names: &[String]) -> String {
    if names.is_empty() { "nothing".into() } else { names.join(", ") }
}

/// What goes in or comes out: its elements if it has any, else its schema.
fn shape(what: &str, schema: Option<&Schema>) -> Result<String, Stop> {
    let Some(schema) = schema else { return Ok(format!("{what}: any bytes\n\n")) };
    let elements = parameters(schema);
    if elements.is_empty() {
        let text = serde_json::to_string_pretty(schema).map_err(|e| Stop::failed(e.to_string()))?;
        return Ok(format!("{what}:\n{text}\n\n"));
    }
    let rows = elements.into_iter().map(|element| {
        let need = match (element.required, element.default) {
            (true, _) => "required".into(),
            (false, Some(default)) => format!("default {}", plain(&default)),
            (false, None) => "optional".into(),
        };
        vec![element.name, element.r#type, need, element.description]
    });
    Ok(format!("{}\n\n", table(&[what, "type", "", "what it is"], rows)))
}
