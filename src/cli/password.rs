//! `zeugma password`: a new secret for a definition, or the hash of one; never in a command line, where others see it.

use std::io::{BufRead as _, IsTerminal as _};

use actors::check;
use actors::security::basic::hash_password;
use clap::{Args, Subcommand};
use config::{DefId, Family, KindTag, Name, Pointer, Secret};
use reqwest::Method;
use serde_json::{Map, Value};

use super::admin::{Ask, Remote, json};
use super::change::Changing;
use super::exit::{Exit, Stop};
use super::output::{Output, print};
use crate::http::admin::shapes::{KindView, Single};

/// See the module.
#[derive(Debug, Subcommand)]
pub(super) enum Password {
    /// Reads a secret from the terminal, or a line from standard input, and gives it to a definition
    Set(Box<Set>),
    /// Reads a password the same way and writes its argon2id hash, for the password_hash of a basic definition
    Hash,
}

/// See the module.
#[derive(Debug, Args)]
pub(super) struct Set {
    /// The family
    family: Family,
    /// The name
    name: Name,
    /// Which secret, if there are several: the parameter, such as password
    #[arg(long, value_name = "PARAMETER")]
    field: Option<String>,
    #[command(flatten)]
    changing: Changing,
    #[command(flatten)]
    remote: Remote,
    #[command(flatten)]
    output: Output,
}

impl Password {
    pub(super) async fn run(self) -> Result<Exit, Stop> {
        let Set { family, name, field, changing, remote, output } = match self {
            Self::Set(set) => *set,
            Self::Hash => return print(&hash_password(read("password")?.reveal()).map_err(told)?),
        };
        let id = DefId::new(family, name);
        let Single { revision, mut view } = remote.ask(Ask::definition(Method::GET, &id)).await?;
        let r#type = view.definition.get("type").and_then(Value::as_str).unwrap_or_default();
        let kind = KindTag::new(family, r#type);
        let pointer = pointer(&remote, &kind, &view.definition, field.as_deref()).await?;
        let secret = read(&format!("{} of {id}", pointer.0.join(".")))?;
        put(&mut view.definition, &pointer.0, &secret)?;
        let ask = Ask::definition(Method::PUT, &id).body(json(&view.definition)?);
        changing.expecting(revision).make(&remote, ask, &output).await
    }
}

/// Which parameter is meant: the one that is named, else the only one that the definition has, or could have.
async fn pointer(
    remote: &Remote,
    kind: &KindTag,
    definition: &Map<String, Value>,
    field: Option<&str>,
) -> Result<Pointer, Stop> {
    // The node is asked: it may have kinds compiled in that this program has not.
    let kinds: Vec<KindView> = remote.ask(Ask::get(&["kinds"])).await?;
    let schema = kinds.into_iter().find(|view| view.kind == *kind).map(|view| view.schema);
    let mut secrets = schema.map(|schema| check::secrets(&schema)).unwrap_or_default();
    secrets.retain(|secret| !secret.0.iter().any(|step| step == "*"));
    let names =
        |secrets: &[Pointer]| secrets.iter().map(|secret| secret.0.join(".")).collect::<Vec<_>>().join(", ");
    if let Some(field) = field {
        let found = secrets.iter().find(|secret| secret.0.join(".") == field).cloned();
        return found.ok_or_else(|| {
            Stop::new(Exit::Usage, format!("{kind} has no secret {field:?}"))
                .hint(format!("its secrets: {}", names(&secrets)))
        });
    }
    let there = |secret: &&Pointer| {
        let (first, rest) = secret.0.split_first()?;
        rest.iter().try_fold(definition.get(first)?, |value, step| value.get(step)).filter(|v| !v.is_null())
    };
    let set: Vec<&Pointer> = secrets.iter().filter(|secret| there(secret).is_some()).collect();
    match (set.as_slice(), secrets.as_slice()) {
        ([only], _) => Ok((*only).clone()),
        ([], [only]) => Ok(only.clone()),
        (_, []) => Err(Stop::failed(format!("{kind} has no secret"))),
        _ => Err(Stop::new(Exit::Usage, format!("{kind} has several secrets: {}", names(&secrets)))
            .hint("say which one with --field")),
    }
}

/// Reads the secret without showing it; twice from a terminal, since nobody sees what they type.
fn read(what: &str) -> Result<Secret, Stop> {
    let secret = if std::io::stdin().is_terminal() {
        let secret = Secret::new(rpassword::prompt_password(format!("{what}: "))?);
        let again = Secret::new(rpassword::prompt_password("once more: ")?);
        if secret.reveal() != again.reveal() {
            return Err(Stop::failed("the two are not the same; nothing was changed"));
        }
        secret
    } else {
        let mut line = String::new();
        std::io::stdin().lock().read_line(&mut line)?;
        Secret::new(line.trim_end_matches(['\n', '\r']))
    };
    if secret.reveal().is_empty() {
        return Err(Stop::failed(format!("{what} is empty; nothing was changed")));
    }
    Ok(secret)
}

fn told(error: sdk::Error) -> Stop {
    Stop::failed(error.to_string())
}

fn put(map: &mut Map<String, Value>, path: &[String], secret: &Secret) -> Result<(), Stop> {
    match path {
        [] => Ok(()),
        [last] => {
            map.insert(last.clone(), secret.reveal().into());
            Ok(())
        }
        [first, rest @ ..] => match map.get_mut(first) {
            Some(Value::Object(below)) => put(below, rest, secret),
            _ => Err(Stop::failed(format!("the definition has no {first}, and so no secret in it"))
                .hint("give it the other parameters first, with zeugma apply")),
        },
    }
}
