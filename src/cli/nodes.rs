//! `zeugma status` and `zeugma nodes`: who is here, and what is wrong.

use std::time::Duration;

use actors::supervisor::{ActorInfo, ActorState};
use clap::Args;

use super::admin::{Ask, Remote};
use super::exit::{Exit, Stop};
use super::output::{Form, Output, print, table};
use crate::http::admin::shapes::NodeInfo;

/// See the module.
#[derive(Debug, Args)]
pub(super) struct Nodes {
    #[command(flatten)]
    remote: Remote,
    #[command(flatten)]
    output: Output,
}

/// See the module.
#[derive(Debug, Args)]
pub(super) struct Status {
    #[command(flatten)]
    remote: Remote,
    #[command(flatten)]
    output: Output,
}

impl Nodes {
    pub(super) async fn run(self) -> Result<Exit, Stop> {
        let nodes: Vec<NodeInfo> = self.remote.ask(Ask::get(&["nodes"])).await?;
        self.output.show(&nodes, &COLUMNS, || nodes.iter().map(row))
    }
}

impl Status {
    pub(super) async fn run(self) -> Result<Exit, Stop> {
        let nodes: Vec<NodeInfo> = self.remote.ask(Ask::get(&["nodes"])).await?;
        if self.output.output != Form::Table {
            return self.output.value(&nodes);
        }
        let actors: Vec<ActorInfo> = self.remote.ask(Ask::get(&["actors"])).await?;
        let mut text = table(&COLUMNS, nodes.iter().map(row));
        for node in &nodes {
            for fault in &node.faults {
                text.push_str(&format!("\n{}: {fault}", node.node));
            }
            if node.newest.is_none() {
                text.push_str(&format!("\n{}: the store does not answer: {}", node.node, node.store));
            }
        }
        // What does not start is a fault of its node; these run, and yet no call gets through.
        for actor in actors {
            let word = match actor.state {
                ActorState::Paused => "is paused",
                ActorState::Draining => "is drained",
                ActorState::Down => "is down",
                ActorState::Running | ActorState::Failed => continue,
            };
            let fault = actor.fault.map(|fault| format!(": {fault}")).unwrap_or_default();
            text.push_str(&format!("\n{} {word}{fault}", actor.id));
        }
        print(&text)
    }
}

const COLUMNS: [&str; 7] = ["node", "state", "revision", "newest", "faults", "uptime", "version"];

fn row(node: &NodeInfo) -> Vec<String> {
    let behind = node.newest.is_some_and(|newest| newest > node.revision);
    let state = match (node.stopping, behind, node.faults.is_empty()) {
        (true, ..) => "stopping",
        (_, true, _) => "behind",
        (_, _, false) => "faults",
        _ => "ok",
    };
    vec![
        node.node.to_string(),
        state.into(),
        node.revision.to_string(),
        node.newest.map_or_else(|| "?".into(), |newest| newest.to_string()),
        node.faults.len().to_string(),
        humantime::format_duration(Duration::from_secs(node.uptime)).to_string(),
        node.version.clone(),
    ]
}
