//! `zeugma actors` and `zeugma actor`: what runs, and the operator's verbs.

use actors::supervisor::{ActorInfo, ActorState};
use clap::{Args, ValueEnum};
use cluster::{NodeAnswer, Outcome};
use config::{Family, Name, Span};
use reqwest::Method;
use serde::Serialize as _;

use super::admin::{Ask, Remote};
use super::exit::{Exit, Stop};
use super::output::{Form, Output, print};
use crate::http::admin::shapes::{ActorTree, VerbAnswer};

/// See the module.
#[derive(Debug, Args)]
pub(super) struct Actors {
    /// Show each under the one that supervises it
    #[arg(long)]
    tree: bool,
    #[command(flatten)]
    remote: Remote,
    #[command(flatten)]
    output: Output,
}

impl Actors {
    pub(super) async fn run(self) -> Result<Exit, Stop> {
        let ask = Ask::get(&["actors"]).flag("tree", self.tree);
        if self.tree {
            let root: ActorTree = self.remote.ask(ask).await?;
            return match self.output.output {
                Form::Table => {
                    let mut text = String::new();
                    branch(&root, "", "", &mut text);
                    print(&text)
                }
                _ => self.output.value(&root),
            };
        }
        let actors: Vec<ActorInfo> = self.remote.ask(ask).await?;
        self.output.show(
            &actors,
            &["family", "name", "type", "state", "in flight", "version", "fault"],
            || {
                actors.iter().map(|actor| {
                    vec![
                        actor.id.family.to_string(),
                        actor.id.name.to_string(),
                        actor.kind.r#type.clone(),
                        state(actor.state),
                        actor.in_flight.to_string(),
                        actor.version.to_string(),
                        actor.fault.clone().or_else(|| actor.alarm.clone()).unwrap_or_default(),
                    ]
                })
            },
        )
    }
}

fn state(state: ActorState) -> String {
    let word = state.serialize(serde_json::value::Serializer).ok();
    word.and_then(|word| Some(word.as_str()?.to_owned())).unwrap_or_default()
}

fn branch(actor: &ActorTree, first: &str, others: &str, text: &mut String) {
    text.push_str(&format!("{first}{}", actor.name));
    if let Some(info) = &actor.worker {
        let fault =
            info.fault.as_ref().or(info.alarm.as_ref()).map(|fault| format!(": {fault}")).unwrap_or_default();
        text.push_str(&format!("  {} ({}{fault})", info.kind, state(info.state)));
    }
    text.push('\n');
    for (index, child) in actor.children.iter().enumerate() {
        let last = index + 1 == actor.children.len();
        let (mine, below) = if last { ("└─ ", "   ") } else { ("├─ ", "│  ") };
        branch(child, &format!("{others}{mine}"), &format!("{others}{below}"), text);
    }
}

/// What can be asked of an actor.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
enum Verb {
    /// Are you, and the other side, there?
    Ping,
    /// Keep calls out
    Pause,
    /// Let calls in again
    Resume,
    /// Keep calls out and wait for those inside
    Drain,
    /// Start anew from the same definition; calls go on
    Restart,
    /// What have you counted?
    Stats,
}

/// See the module.
#[derive(Debug, Args)]
pub(super) struct Actor {
    /// What it is to do
    #[arg(value_enum)]
    verb: Verb,
    /// The family
    family: Family,
    /// The name
    name: Name,
    /// The node whose actor is meant, or all; the one that is asked if left out
    #[arg(long, value_name = "NODE")]
    node: Option<Name>,
    /// How long it may take
    #[arg(long, value_name = "TIME", default_value = "30s")]
    timeout: Span,
    #[command(flatten)]
    remote: Remote,
    #[command(flatten)]
    output: Output,
}

impl Actor {
    pub(super) async fn run(self) -> Result<Exit, Stop> {
        let verb = self.verb.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default();
        let path = ["actors", self.family.singular(), self.name.as_str(), &verb];
        let ask = Ask::new(Method::POST, &path)
            .query("timeout", Some(format!("{}ms", self.timeout.get().as_millis())))
            .query("node", self.node.as_ref())
            .waiting(self.timeout.get());
        let answer: VerbAnswer = self.remote.ask(ask).await?;
        let failed = |answer: &NodeAnswer| matches!(answer.outcome, Outcome::Error(_));
        let exit = match &answer {
            VerbAnswer::There(answers) if answers.iter().any(failed) => Exit::Failed,
            _ => Exit::Done,
        };
        match self.output.output {
            // A report is nested: YAML is its table.
            Form::Table => {
                print(&serde_saphyr::to_string(&answer).map_err(|e| Stop::failed(e.to_string()))?)?
            }
            _ => self.output.value(&answer)?,
        };
        Ok(exit)
    }
}
