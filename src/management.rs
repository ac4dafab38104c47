//! The management services: what is wanted, changed by services instead of by people. `zeugma.<family>.<verb>` for
//! security, channels, connections and packages; whoever may call them is up to the channel that they are mounted on.

mod deeds;
mod job_form;
mod jobs;
mod tokens;
mod upload;

use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;

use actors::{AnyKind, Registry};
use async_trait::async_trait;
use config::{Clear, CommitError, DefId, Draft, Family, Fault, KindTag, Name, Note, Place, Revision, Role};
use schemars::{JsonSchema, Schema, schema_for};
use sdk::input::Decoder;
use sdk::task::Tasks;
use sdk::{Context, Error, Origin, Request, Response, Result, Service, ServiceInfo};
use serde::Deserialize;
use serde_json::{Map, Value};
use tokio::time::Instant;

use crate::definitions::{Definitions, Options, Outcome, Refused, WAIT};
use crate::http::admin::shapes::{Listing, Single};
use crate::jobs::Jobs;

/// The families that have management services.
const FAMILIES: [Family; 4] = [Family::Security, Family::Channel, Family::Connection, Family::Package];
/// How often a change is tried anew because somebody else was faster.
const ATTEMPTS: usize = 10;
/// What is left of the caller's time to answer when the wait for the receipt is over.
const MARGIN: Duration = Duration::from_millis(200);

/// What the management services of one node work with. They are entered into the registry before there is anything to
/// work with, since that needs the registry. They do not keep it alive, or each would keep the other for ever.
#[derive(Clone, Default)]
pub struct Management {
    definitions: Arc<OnceLock<Weak<Definitions>>>,
    jobs: Arc<OnceLock<Weak<Jobs>>>,
    place: Arc<OnceLock<deeds::Place>>,
}

impl Management {
    /// The kinds and services of a node, these among them.
    ///
    /// # Errors
    /// If the name of a service comes twice, or is none.
    pub fn registry(
        &self,
        kinds: &[&'static dyn AnyKind],
        services: &[&'static dyn Service],
    ) -> Result<Registry, Fault> {
        let verbs = [Verb::List, Verb::Get, Verb::Create, Verb::Edit, Verb::Delete];
        let managing = FAMILIES.into_iter().flat_map(|family| {
            verbs.map(|verb| Arc::new(Managing { of: self.clone(), family, verb }) as Arc<dyn Service>)
        });
        let upload = Arc::new(upload::UploadPackage(self.clone())) as Arc<dyn Service>;
        let token = Arc::new(tokens::CreateToken(self.clone())) as Arc<dyn Service>;
        Registry::new(kinds, services)?.with(managing.chain([upload, token]).chain(jobs::all(self)))
    }

    /// From now on the services of this node work, as long as somebody holds what this returns.
    pub fn begin(&self, definitions: &Definitions, node: Name, tasks: Tasks) -> Arc<Definitions> {
        let definitions = Arc::new(definitions.clone());
        // A node begins once; if it did twice, the first would go on.
        drop(self.definitions.set(Arc::downgrade(&definitions)));
        drop(self.place.set(deeds::Place { node, tasks }));
        definitions
    }

    /// From now on the services for jobs work, as long as somebody holds these.
    pub fn begin_jobs(&self, jobs: &Arc<Jobs>) {
        drop(self.jobs.set(Arc::downgrade(jobs)));
    }

    fn jobs(&self) -> Result<Arc<Jobs>> {
        let jobs = self.jobs.get().and_then(Weak::upgrade);
        jobs.ok_or_else(|| Error::unavailable("the node starts, or stops"))
    }
}

impl Management {
    fn definitions(&self) -> Result<Arc<Definitions>> {
        let definitions = self.definitions.get().and_then(Weak::upgrade);
        definitions.ok_or_else(|| Error::unavailable("the node starts, or stops"))
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Verb {
    List,
    Get,
    Create,
    Edit,
    Delete,
}

struct Managing {
    of: Management,
    family: Family,
    verb: Verb,
}

/// Which definitions to list.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Which {
    /// Only those of this type.
    #[serde(default)]
    r#type: Option<String>,
}

/// Which definition.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Named {
    /// Its name.
    name: Name,
}

/// A definition to be created, as a bundle lists it.
#[derive(Deserialize, JsonSchema)]
struct New {
    /// Its name.
    name: Name,
    /// Its type.
    r#type: String,
    /// Whether it is to run.
    #[serde(default = "yes")]
    enabled: bool,
    /// The parameters of its kind.
    #[serde(flatten)]
    params: Map<String, Value>,
}

fn yes() -> bool {
    true
}

/// What is to be different about a definition. What is left out stays; null takes a parameter out.
#[derive(Deserialize, JsonSchema)]
struct Edited {
    /// Its name.
    name: Name,
    /// Its type.
    #[serde(default)]
    r#type: Option<String>,
    /// Whether it is to run.
    #[serde(default)]
    enabled: Option<bool>,
    /// The parameters of its kind.
    #[serde(flatten)]
    params: Map<String, Value>,
}

enum Asked {
    New(New),
    Edited(Edited),
}

#[async_trait]
impl Service for Managing {
    fn info(&self) -> ServiceInfo {
        let (word, docs) = match self.verb {
            Verb::List => ("get-list", "Lists the definitions of the family {}, secrets masked."),
            Verb::Get => ("get", "Shows a definition of the family {}, secrets masked."),
            Verb::Create => ("create", "Creates a definition of the family {}."),
            Verb::Edit => ("edit", "Changes a definition of the family {}: what is left out stays as it is."),
            Verb::Delete => ("delete", "Deletes a definition of the family {} that nothing refers to."),
        };
        let (input, output) = self.shapes();
        let name = format!("zeugma.{}.{word}", self.family);
        let namespace = format!("zeugma.{}", self.family);
        let docs = docs.replace("{}", self.family.singular());
        let info = ServiceInfo::new(&name, Some(&namespace), &docs);
        ServiceInfo { input: Some(input), output: Some(output), ..info }
    }

    async fn call(&self, ctx: &Context, request: Request) -> Result<Response> {
        let definitions = self.of.definitions()?;
        match self.verb {
            Verb::List => {
                let Which { r#type } = Decoder::new().decode(&request)?;
                let (revision, mut views) = definitions.list(Some(self.family)).await?;
                if let Some(r#type) = r#type {
                    views.retain(|view| view.definition.get("type").is_some_and(|t| *t == r#type));
                }
                Response::json(&Listing { revision, definitions: views })
            }
            Verb::Get => {
                let Named { name } = Decoder::new().decode(&request)?;
                let (revision, view) = definitions.get(&DefId::new(self.family, name)).await?;
                Response::json(&Single { revision, view })
            }
            Verb::Create => {
                let new = Asked::New(Decoder::new().decode(&request)?);
                Response::json(&self.change(ctx, &definitions, new).await?)
            }
            Verb::Edit => {
                let edited = Asked::Edited(Decoder::new().decode(&request)?);
                Response::json(&self.change(ctx, &definitions, edited).await?)
            }
            Verb::Delete => {
                let Named { name } = Decoder::new().decode(&request)?;
                let id = DefId::new(self.family, name);
                let (options, note) = (options(ctx, None), note(ctx));
                Response::json(&definitions.delete(id, options, note).await?)
            }
        }
    }
}

impl Managing {
    fn shapes(&self) -> (Schema, Schema) {
        match self.verb {
            Verb::List => (schema_for!(Which), schema_for!(Listing)),
            Verb::Get => (schema_for!(Named), schema_for!(Single)),
            Verb::Create => (schema_for!(New), schema_for!(Outcome)),
            Verb::Edit => (schema_for!(Edited), schema_for!(Outcome)),
            Verb::Delete => (schema_for!(Named), schema_for!(Outcome)),
        }
    }

    /// Applies what is asked for to what is there, until nobody was faster in between.
    async fn change(&self, ctx: &Context, definitions: &Definitions, asked: Asked) -> Result<Outcome> {
        let mut attempt = 0;
        loop {
            attempt += 1;
            let (revision, draft) = match &asked {
                Asked::New(new) => self.created(definitions, new).await?,
                Asked::Edited(edited) => self.edited(definitions, edited).await?,
            };
            match definitions.apply(vec![draft], options(ctx, Some(revision)), note(ctx)).await {
                Err(Refused::Commit(CommitError::Conflict { .. })) if attempt < ATTEMPTS => {}
                outcome => return Ok(outcome?),
            }
        }
    }

    async fn created(&self, definitions: &Definitions, new: &New) -> Result<(Revision, Draft)> {
        let id = DefId::new(self.family, new.name.clone());
        let revision = definitions.store.load().await.map_err(Refused::from)?.revision;
        match definitions.get(&id).await {
            Ok(_) => Err(Error::conflict(format!("there is a {id} already"))),
            Err(Refused::NotFound { .. }) => {
                Ok((revision, draft(id, &new.r#type, new.enabled, new.params.clone())))
            }
            Err(refused) => Err(refused.into()),
        }
    }

    async fn edited(&self, definitions: &Definitions, edited: &Edited) -> Result<(Revision, Draft)> {
        let id = DefId::new(self.family, edited.name.clone());
        let (revision, view) = definitions.get(&id).await?;
        // Masked secrets keep what is there.
        let mut now = view.definition;
        let enabled = now.shift_remove("enabled").and_then(|value| value.as_bool()).unwrap_or(true);
        let r#type = now.shift_remove("type");
        now.shift_remove("name");
        now.extend(edited.params.clone());
        now.retain(|_, value| !value.is_null());
        let r#type = r#type.as_ref().and_then(Value::as_str).unwrap_or_default();
        let r#type = edited.r#type.as_deref().unwrap_or(r#type);
        Ok((revision, draft(id, r#type, edited.enabled.unwrap_or(enabled), now)))
    }
}

fn draft(id: DefId, r#type: &str, enabled: bool, params: Map<String, Value>) -> Draft {
    let kind = KindTag::new(id.family, r#type);
    Draft { id, kind, enabled, params: Clear(params), place: Place::default() }
}

/// The receipt is waited for only as long as the caller waits for the answer.
fn options(ctx: &Context, expect: Option<Revision>) -> Options {
    let left = ctx.deadline().saturating_duration_since(Instant::now()).saturating_sub(MARGIN);
    // Whoever may call these services: rights over nodes are not given that way.
    Options { expect, wait: WAIT.min(left), role: Role::Deployer, ..Options::default() }
}

fn note(ctx: &Context) -> Note {
    let reason = Some(format!("{} (cid {})", ctx.service(), ctx.cid()));
    Note { author: author(ctx), by: None, address: address(ctx), reason }
}

/// Who calls, and who has vouched for them.
fn author(ctx: &Context) -> String {
    let who = ctx.caller().map_or_else(
        || "somebody".to_owned(),
        |caller| format!("{} (security/{})", caller.name(), caller.security()),
    );
    format!("{who}, through channel {}", ctx.channel().name)
}

/// Whether an operator calls, through the admin API: it has seen their token, and notes the call.
fn by_operator(ctx: &Context) -> bool {
    let channel = ctx.channel();
    &*channel.name == "admin" && channel.r#type == "invoke"
}

/// From where, if it is from outside.
fn address(ctx: &Context) -> Option<String> {
    match ctx.origin() {
        Origin::Outside(from) => from.map(|address| address.to_string()),
        Origin::Within => None,
    }
}
