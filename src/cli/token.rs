//! `zeugma token`: tokens on behalf of others.

use clap::{Args, Subcommand};
use config::{Name, Secret, Span};
use reqwest::Method;
use serde::Deserialize;
use serde_json::json;

use super::admin::{Ask, Remote, json as body};
use super::exit::{Exit, Stop};
use super::output::print;

/// See the module.
#[derive(Debug, Subcommand)]
pub(super) enum Token {
    /// Makes a token on behalf of another application, and writes it: whoever has it is let in
    Create(Create),
}

/// See the module.
#[derive(Debug, Args)]
pub(super) struct Create {
    /// The security definition, of type jwt
    #[arg(long, value_name = "NAME")]
    security: Name,
    /// The user name that services see
    #[arg(long)]
    username: String,
    /// How long it is valid after each use; as the definition says if left out
    #[arg(long, value_name = "TIME")]
    ttl: Option<Span>,
    #[command(flatten)]
    remote: Remote,
}

#[derive(Deserialize)]
struct Made {
    token: Secret,
}

impl Token {
    pub(super) async fn run(self) -> Result<Exit, Stop> {
        let Self::Create(Create { security, username, ttl, remote }) = self;
        let wanted = json!({"security": security, "username": username, "ttl": ttl});
        let ask = Ask::new(Method::POST, &["services", "zeugma.jwt.create-token", "invoke"]);
        let made: Made = remote.ask(ask.body(body(&wanted)?)).await?;
        print(made.token.reveal())
    }
}
