//! `zeugma kinds`: what kinds of definitions there are, and their parameters. Needs no node.

use clap::Args;
use config::fault::suggest;
use sdk::Service;

use super::exit::{Exit, Stop};
use super::output::{Form, Output, print};
use crate::http::admin::shapes::KindView;
use crate::management::Management;
use crate::reference::{self, Parameter};

/// See the module.
#[derive(Debug, Args)]
pub(super) struct Kinds {
    /// Only this kind, with its parameters and an example: channel.rest, or just rest
    name: Option<String>,
    /// The page of the docs, about all kinds
    #[arg(long, conflicts_with_all = ["name", "output"])]
    markdown: bool,
    #[command(flatten)]
    output: Output,
}

impl Kinds {
    pub(super) fn run(self, services: &'static [&'static dyn Service]) -> Result<Exit, Stop> {
        let registry = Management::default().registry(&[], services);
        let registry = registry.map_err(|fault| Stop::failed(fault.to_string()))?;
        if self.markdown {
            return print(&reference::markdown(&registry));
        }
        let mut kinds = reference::kinds(&registry);
        let Some(name) = self.name else {
            return self.output.show(&kinds, &["kind", "what it is"], || {
                kinds.iter().map(|kind| vec![kind.kind.to_string(), kind.summary.clone()])
            });
        };
        let tags = kinds.iter().map(|kind| kind.kind.to_string());
        let names: Vec<String> = tags.chain(kinds.iter().map(|kind| kind.r#type.clone())).collect();
        kinds.retain(|kind| kind.kind.to_string() == name || kind.r#type == name);
        if kinds.is_empty() {
            let hint = suggest(&name, names.iter().map(String::as_str)).unwrap_or_default();
            return Err(Stop::failed(format!("there is no kind {name:?}")).hint(hint));
        }
        match self.output.output {
            Form::Table => print(&kinds.iter().map(page).collect::<Vec<_>>().join("\n")),
            _ => self.output.value(&kinds),
        }
    }
}

fn page(kind: &KindView) -> String {
    let description = kind.schema.get("description").and_then(|d| d.as_str()).unwrap_or_default();
    let parameters: String = reference::parameters(&kind.schema).iter().map(parameter).collect();
    format!("{}: {description}\n\n{parameters}\nFor example:\n\n{}", kind.kind, reference::example(kind))
}

fn parameter(parameter: &Parameter) -> String {
    let Parameter { name, r#type, required, default, description } = parameter;
    let default = match (required, default) {
        (true, _) => "; required".into(),
        (false, Some(default)) => format!("; {} if left out", reference::plain(default)),
        (false, None) => String::new(),
    };
    format!("  {name} ({type}{default})\n      {description}\n")
}
