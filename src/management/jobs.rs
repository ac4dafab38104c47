//! `zeugma.scheduler.job.<verb>`: jobs, made and changed by services in the form that many programs are written for.

use std::sync::Arc;

use async_trait::async_trait;
use config::{DefId, Family, Name};
use schemars::{JsonSchema, Schema, schema_for};
use sdk::input::Decoder;
use sdk::{ChannelInfo, Context, Error, ErrorKind, Request, Response, Result, Service, ServiceInfo};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::job_form::{self, Form, Listed, Made};
use super::{Management, note, options};
use crate::jobs::{JobView, Jobs};

/// How many jobs a page has, unless the caller says otherwise.
const PAGE: u64 = 50;

#[derive(Clone, Copy)]
enum Verb {
    Create,
    Edit,
    Delete,
    Execute,
    SetActiveStatus,
    GetList,
    GetByName,
}

struct OfJobs {
    of: Management,
    verb: Verb,
}

/// The services for jobs.
pub(super) fn all(of: &Management) -> impl Iterator<Item = Arc<dyn Service>> {
    let verbs = [
        Verb::Create,
        Verb::Edit,
        Verb::Delete,
        Verb::Execute,
        Verb::SetActiveStatus,
        Verb::GetList,
        Verb::GetByName,
    ];
    verbs.map(|verb| Arc::new(OfJobs { of: of.clone(), verb }) as Arc<dyn Service>).into_iter()
}

/// Any fields: what they mean is read by hand, since programs give numbers as texts, and empty texts for nothing.
#[derive(Deserialize, JsonSchema)]
struct Fields {
    #[serde(flatten)]
    fields: Map<String, Value>,
}

/// Which job: by its number, or by its name.
#[derive(Deserialize, JsonSchema)]
#[allow(dead_code, reason = "its schema is what is wanted")]
struct Which {
    /// The job's number.
    id: Option<u64>,
    /// The job's name.
    name: Option<String>,
    /// Whether it is to be switched on.
    is_active: Option<bool>,
}

/// Which jobs.
#[derive(Deserialize, JsonSchema)]
#[allow(dead_code, reason = "its schema is what is wanted")]
struct Asked {
    /// Only those whose name has all of these words.
    query: Option<String>,
    /// Whether to answer a page only. Default: all of them.
    paginate: Option<bool>,
    /// Which page, from 1.
    cur_page: Option<u64>,
    /// How many a page has. Default: 50.
    page_size: Option<u64>,
}

#[async_trait]
impl Service for OfJobs {
    fn info(&self) -> ServiceInfo {
        let (word, docs, input, output): (_, _, Schema, Option<Schema>) = match self.verb {
            Verb::Create => ("create", "Creates a job.", schema_for!(Form), Some(schema_for!(Made))),
            Verb::Edit => {
                let docs = "Changes a job, found by its id or its name: what is left out gets its default.";
                ("edit", docs, schema_for!(Form), Some(schema_for!(Made)))
            }
            Verb::Delete => ("delete", "Deletes a job and its history.", schema_for!(Which), None),
            Verb::Execute => {
                let docs = "Fires a job now, whether it is active or not, and does not wait for the end.";
                ("execute", docs, schema_for!(Which), None)
            }
            Verb::SetActiveStatus => {
                let docs = "Switches a job on or off. One that has run out begins another turn.";
                ("set-active-status", docs, schema_for!(Which), None)
            }
            Verb::GetList => ("get-list", "Lists jobs.", schema_for!(Asked), Some(schema_for!(Vec<Listed>))),
            Verb::GetByName => ("get-by-name", "Shows a job.", schema_for!(Which), Some(schema_for!(Listed))),
        };
        let info =
            ServiceInfo::new(&format!("zeugma.scheduler.job.{word}"), Some("zeugma.scheduler.job"), docs);
        ServiceInfo { input: Some(input), output, ..info }
    }

    async fn call(&self, ctx: &Context, request: Request) -> Result<Response> {
        let Fields { fields } = Decoder::new().decode(&request)?;
        let jobs = self.of.jobs()?;
        match self.verb {
            Verb::Create => create(ctx, &jobs, &fields).await,
            Verb::Edit => edit(ctx, &jobs, &fields).await,
            Verb::Delete => {
                let job = which(&jobs, &fields).await?;
                let id = DefId::new(Family::Job, job.name);
                jobs.definitions.delete(id, options(ctx, None), note(ctx)).await?;
                Response::json(&json!({}))
            }
            Verb::Execute => {
                let job = which(&jobs, &fields).await?;
                let about = format!("job/{}", job.name);
                self.of.noted(ctx, about, execute(ctx, &jobs, &job)).await
            }
            Verb::SetActiveStatus => {
                let job = which(&jobs, &fields).await?;
                let wanted = job_form::truth(&fields, "is_active")?;
                let on = wanted.ok_or_else(|| Error::invalid("is_active is required"))?;
                let work = jobs.switch(&job.name, on, options(ctx, None), note(ctx));
                if on && job.enabled && !job.active {
                    // It begins another turn, and its definition stays the same.
                    self.of.noted(ctx, format!("job/{}", job.name), work).await?;
                } else {
                    work.await?;
                }
                Response::json(&json!({}))
            }
            Verb::GetList => {
                let listed = page(&fields, jobs.list().await?)?;
                Response::json(&listed.iter().map(job_form::listed).collect::<Vec<_>>())
            }
            Verb::GetByName => Response::json(&job_form::listed(&which(&jobs, &fields).await?)),
        }
    }
}

async fn create(ctx: &Context, jobs: &Jobs, fields: &Map<String, Value>) -> Result<Response> {
    let draft = job_form::read(fields, jobs.now().await?)?;
    let name = draft.id.name.clone();
    let exists = || Error::conflict(format!("there is a job {:?} already", name.as_str()));
    // At the revision at which there was none, so that of two that create the same only one does.
    let catalog =
        jobs.definitions.store.load().await.map_err(|error| Error::unavailable(error.to_string()))?;
    if catalog.get(&draft.id).is_some() {
        return Err(exists());
    }
    let mut expect = catalog.revision;
    let mut attempts = super::ATTEMPTS;
    loop {
        let options = options(ctx, Some(expect));
        let outcome = jobs.definitions.apply(vec![draft.clone()], options, note(ctx)).await;
        let Err(refused) = outcome else { break };
        let error = Error::from(refused);
        attempts -= 1;
        if error.kind() != ErrorKind::Conflict || attempts == 0 {
            return Err(error);
        }
        let now =
            jobs.definitions.store.load().await.map_err(|error| Error::unavailable(error.to_string()))?;
        if now.get(&draft.id).is_some() {
            return Err(exists());
        }
        expect = now.revision;
    }
    Response::json(&job_form::made(&jobs.show(&name).await?))
}

async fn edit(ctx: &Context, jobs: &Jobs, fields: &Map<String, Value>) -> Result<Response> {
    let before = which(jobs, fields).await?;
    let mut fields = fields.clone();
    if job_form::text(&fields, "name")?.is_none() {
        fields.insert("name".into(), json!(before.name));
    }
    let draft = job_form::read(&fields, jobs.now().await?)?;
    let name = draft.id.name.clone();
    jobs.change(&before.name, draft, options(ctx, None), note(ctx)).await?;
    Response::json(&job_form::made(&jobs.show(&name).await?))
}

/// One that runs is fired by the scheduler, so that it is in the history. The service of one that is switched off is
/// called all the same.
async fn execute(ctx: &Context, jobs: &Jobs, job: &JobView) -> Result<Response> {
    if job.enabled {
        let cid = jobs.run(&job.name).await?;
        return Response::json(&json!({"cid": cid.to_string()}));
    }
    let extra = job.definition.get("extra").and_then(Value::as_str).unwrap_or_default();
    let r#type = match job.r#type.as_str() {
        "one-time" => "one-time",
        "cron" => "cron",
        _ => "interval",
    };
    let channel = ChannelInfo::of_job(job.name.as_str(), r#type);
    let called = ctx.nested(job.service.as_str().into(), channel)?;
    let cid = called.invoke_async(&job.service, Request::new(extra.to_owned()))?;
    Response::json(&json!({"cid": cid.to_string()}))
}

/// The job that fields name: by its number if they have one, else by its name.
async fn which(jobs: &Jobs, fields: &Map<String, Value>) -> Result<JobView> {
    match job_form::number(fields, "id")? {
        Some(number) => jobs.of_number(number).await,
        None => {
            let name: Name = job_form::name(fields)?;
            jobs.show(&name).await
        }
    }
}

fn page(fields: &Map<String, Value>, mut all: Vec<JobView>) -> Result<Vec<JobView>> {
    if let Some(query) = job_form::text(fields, "query")? {
        let words: Vec<String> = query.split_whitespace().map(str::to_lowercase).collect();
        all.retain(|job| {
            let name = job.name.as_str().to_lowercase();
            words.iter().all(|word| name.contains(word.as_str()))
        });
    }
    if job_form::truth(fields, "paginate")?.unwrap_or(false) {
        let page = job_form::number(fields, "cur_page")?.unwrap_or(1).max(1);
        let size = job_form::number(fields, "page_size")?.unwrap_or(PAGE).clamp(1, 1_000);
        let skipped = usize::try_from((page - 1).saturating_mul(size)).unwrap_or(usize::MAX);
        all = all.into_iter().skip(skipped).take(usize::try_from(size).unwrap_or(usize::MAX)).collect();
    }
    Ok(all)
}
