//! `zeugma store`: what to do about a Redis that lost its data, or holds that of others.

use clap::{Args, Subcommand};
use cluster::Receipt;
use config::Span;
use reqwest::Method;

use super::admin::{Ask, Remote};
use super::exit::{Exit, Stop};
use super::output::{Form, Output, print};

/// See the module.
#[derive(Debug, Subcommand)]
pub(super) enum Store {
    /// Writes back what the asked node holds, whatever is in Redis now
    Restore(Deciding),
    /// Takes what is in Redis now, whatever the nodes hold
    Accept(Deciding),
}

/// How it is decided.
#[derive(Debug, Args)]
pub(super) struct Deciding {
    /// How long to wait until every node serves it
    #[arg(long, value_name = "TIME", default_value = "10s")]
    wait: Span,
    /// Why, for the history
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    #[command(flatten)]
    remote: Remote,
    #[command(flatten)]
    output: Output,
}

impl Store {
    pub(super) async fn run(self) -> Result<Exit, Stop> {
        let (word, deciding) = match self {
            Self::Restore(deciding) => ("restore", deciding),
            Self::Accept(deciding) => ("accept", deciding),
        };
        let Deciding { wait, reason, remote, output } = deciding;
        let wait = wait.get();
        let ask = Ask::new(Method::POST, &["store", word])
            .query("wait", Some(format!("{}ms", wait.as_millis())))
            .query("reason", reason)
            .waiting(wait);
        let receipt: Receipt = remote.ask(ask).await?;
        match output.output {
            Form::Table => {
                let serving = receipt.nodes.iter().filter(|node| node.ms.is_some()).count();
                print(&format!(
                    "revision {} applied on {serving}/{} nodes",
                    receipt.revision,
                    receipt.nodes.len()
                ))?
            }
            _ => output.value(&receipt)?,
        };
        Ok(if receipt.settled { Exit::Done } else { Exit::NotSettled })
    }
}
