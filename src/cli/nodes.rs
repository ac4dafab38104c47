//! `zeugma status` and `zeugma nodes`: who is here, and what is wrong.

use std::time::Duration;

use actors::supervisor::{ActorInfo, ActorState};
use clap::Args;
use config::Revision;

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
        self.output.show(&nodes, &COLUMNS, || nodes.iter().map(row(newest(&nodes))))
    }
}

impl Status {
    pub(super) async fn run(self) -> Result<Exit, Stop> {
        let nodes: Vec<NodeInfo> = self.remote.ask(Ask::get(&["nodes"])).await?;
        if self.output.output != Form::Table {
            return self.output.value(&nodes);
        }
        let actors: Vec<ActorInfo> = self.remote.ask(Ask::get(&["actors"])).await?;
        let mut text = table(&COLUMNS, nodes.iter().map(row(newest(&nodes))));
        for node in &nodes {
            for fault in &node.faults {
                text.push_str(&format!("\n{}: {fault}", node.node));
            }
            if let Some(trouble) = &node.trouble {
                text.push_str(&format!("\n{}: {trouble}", node.node));
            }
            let Some(own) = &node.own else { continue };
            if let Some(trouble) = &own.store_trouble {
                text.push_str(&format!("\n{}: the store {} is {trouble}", node.node, own.store));
            }
            if let Some(alarm) = &own.last_alarm {
                text.push_str(&format!(
                    "\n{}: {} alarms of the store, the last: {alarm}",
                    node.node, own.alarms
                ));
            }
            if let Some(risk) = &own.store_risk {
                text.push_str(&format!("\n{}: {risk}", node.node));
            }
            // Most of them are faults of the node already.
            let told = |id: &&String| node.faults.iter().any(|fault| fault.at == **id);
            for id in own.unreadable.iter().filter(|id| !told(id)) {
                text.push_str(&format!("\n{}: {id} cannot be read in the store", node.node));
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

const COLUMNS: [&str; 8] = ["node", "state", "revision", "faults", "seen", "link", "address", "version"];

fn row(newest: Revision) -> impl Fn(&NodeInfo) -> Vec<String> {
    move |node| {
        let stopping = node.own.as_ref().is_some_and(|own| own.stopping);
        let state = match (node.alive, stopping, node.revision < newest, node.faults.is_empty()) {
            (false, ..) => "gone",
            (_, true, ..) => "stopping",
            (_, _, true, _) => "behind",
            (.., false) => "faults",
            _ => "ok",
        };
        let link = match node.link_ms {
            Some(ms) => format!("{ms:.1} ms"),
            None if node.asked => String::new(),
            None => "down".into(),
        };
        let seen = node.seen_ms.map(|ms| format!("{:.1} s", Duration::from_millis(ms).as_secs_f64()));
        vec![
            node.node.to_string(),
            state.into(),
            node.revision.to_string(),
            node.faults.len().to_string(),
            seen.unwrap_or_default(),
            link,
            node.address.clone().unwrap_or_default(),
            node.version.clone(),
        ]
    }
}

/// The newest revision that one of the nodes knows of.
fn newest(nodes: &[NodeInfo]) -> Revision {
    let known = nodes.iter().map(|node| node.own.as_ref().map_or(node.revision, |own| own.newest));
    known.max().unwrap_or_default()
}
