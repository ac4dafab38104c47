//! `zeugma admin-token`: tokens for the admin listener, each with a name, a role and an end.

use aws_lc_rs::digest::{SHA256, digest};
use clap::{Args, Subcommand};
use config::{Clock, DefId, Family, Name, Role, Span};
use reqwest::Method;
use serde_json::{Value, json};

use super::admin::{Ask, Remote};
use super::change::Changing;
use super::exit::{Exit, Stop};
use super::output::{Output, print};
use crate::definitions::View;
use crate::http::admin::shapes::Listing;

/// The type of the definitions.
const TYPE: &str = "admin-token";

/// See the module.
#[derive(Debug, Subcommand)]
pub(super) enum AdminTokens {
    /// Makes a token and writes it to standard output, this one time: the nodes keep only its hash
    Create(Box<Create>),
    /// Shows the tokens, without what is secret about them
    List(List),
    /// Ends a token, on every node at once
    Revoke(Box<Revoke>),
}

/// See the module.
#[derive(Debug, Args)]
pub(super) struct Create {
    /// A name for it, which history and audit log show
    name: Name,
    /// What it allows: viewer, deployer or admin
    #[arg(long)]
    role: Role,
    /// How long it is valid, such as 90d or 12h; until it is revoked if left out
    #[arg(long, value_name = "TIME")]
    ttl: Option<Span>,
    #[command(flatten)]
    changing: Changing,
    #[command(flatten)]
    remote: Remote,
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
pub(super) struct Revoke {
    /// The token's name
    name: Name,
    #[command(flatten)]
    changing: Changing,
    #[command(flatten)]
    remote: Remote,
    #[command(flatten)]
    output: Output,
}

impl AdminTokens {
    pub(super) async fn run(self) -> Result<Exit, Stop> {
        match self {
            Self::Create(create) => create.run().await,
            Self::List(List { remote, output }) => {
                let mut listing = all(&remote).await?;
                listing.definitions.retain(is_token);
                output.show(&listing, &["name", "role", "expires", "enabled"], || {
                    listing.definitions.iter().map(row)
                })
            }
            Self::Revoke(revoke) => {
                let Revoke { name, changing, remote, output } = *revoke;
                let id = DefId::new(Family::Security, name);
                // Not any other security definition, by mistake.
                if !all(&remote).await?.definitions.iter().any(|view| view.id == id && is_token(view)) {
                    return Err(Stop::failed(format!("there is no admin token {:?}", id.name.as_str()))
                        .hint("zeugma admin-token list shows them"));
                }
                changing.make(&remote, Ask::definition(Method::DELETE, &id), &output).await
            }
        }
    }
}

impl Create {
    async fn run(self) -> Result<Exit, Stop> {
        let Self { name, role, ttl, changing, remote } = self;
        let id = DefId::new(Family::Security, name);
        let Listing { revision, definitions } = all(&remote).await?;
        if definitions.iter().any(|view| view.id == id) {
            return Err(
                Stop::failed(format!("{id} is there already")).hint("revoke it first, or take another name")
            );
        }
        let mut bits = [0; 32];
        aws_lc_rs::rand::fill(&mut bits).map_err(|_| Stop::failed("the system gives no random numbers"))?;
        let token = format!("zeugma_{}", hex(&bits));
        let hash = hex(digest(&SHA256, token.as_bytes()).as_ref());
        let mut definition = json!({"type": TYPE, "role": role, "token_hash": hash});
        if let Some(ttl) = ttl {
            definition["expires"] = json!(Clock::System.now() + ttl.get());
        }
        let ask = Ask::definition(Method::PUT, &id).body(super::admin::json(&definition)?);
        let changing = changing.expecting(revision);
        let outcome = remote.ask(changing.put_into(ask)).await?;
        print(&token)?;
        Ok(changing.exit(&outcome))
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

async fn all(remote: &Remote) -> Result<Listing, Stop> {
    remote.ask(Ask::get(&["definitions"]).query("family", Some(Family::Security))).await
}

fn is_token(view: &View) -> bool {
    view.definition.get("type").and_then(Value::as_str) == Some(TYPE)
}

fn row(view: &View) -> Vec<String> {
    let text = |key: &str| view.definition.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
    let enabled = view.definition.get("enabled").is_none_or(|enabled| enabled == true);
    vec![view.id.name.to_string(), text("role"), text("expires"), if enabled { "yes" } else { "no" }.into()]
}
