//! Jobs in the form of the system that many users come from: flat, in its words, numbers and moments as texts at times.

use actors::job::moment::Moment;
use chrono::{DateTime, SecondsFormat, Utc};
use config::{Draft, Name};
use schemars::JsonSchema;
use sdk::{Error, Result};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::jobs::{self, JobView};

/// Its words for the types of jobs, and ours.
const TYPES: [(&str, &str); 3] =
    [("one_time", "one-time"), ("interval_based", "interval"), ("cron_style", "cron")];
/// The parts of an interval, with how many milliseconds each is.
const PARTS: [(&str, u64); 6] = [
    ("weeks", 604_800_000),
    ("days", 86_400_000),
    ("hours", 3_600_000),
    ("minutes", 60_000),
    ("seconds", 1_000),
    ("milliseconds", 1),
];

/// A job, as `create` and `edit` take it. What is not here is taken as a parameter of the job's kind, such as `missed`.
#[derive(Serialize, Deserialize, JsonSchema)]
pub(super) struct Form {
    /// The job's number: `edit` finds it by this, so that its name can be another.
    pub(super) id: Option<u64>,
    /// The job's name.
    pub(super) name: String,
    /// Whether it is switched on. Default: true.
    pub(super) is_active: Option<bool>,
    /// `one_time`, `interval_based` or `cron_style`.
    pub(super) job_type: String,
    /// The service that is called.
    pub(super) service: String,
    /// The first slot, in UTC unless it says otherwise. Default: now.
    pub(super) start_date: Option<String>,
    /// What the service is given.
    pub(super) extra: Option<String>,
    /// The interval.
    pub(super) weeks: Option<u64>,
    /// The interval.
    pub(super) days: Option<u64>,
    /// The interval.
    pub(super) hours: Option<u64>,
    /// The interval.
    pub(super) minutes: Option<u64>,
    /// The interval.
    pub(super) seconds: Option<u64>,
    /// How many slots there are. Default: no end.
    pub(super) repeats: Option<u64>,
    /// The cron expression.
    pub(super) cron_definition: Option<String>,
}

/// What `create` and `edit` answer.
#[derive(Serialize, JsonSchema)]
pub(super) struct Made {
    /// The job's number.
    pub(super) id: u64,
    /// Its name.
    pub(super) name: String,
    /// The cron expression, short forms written out; none for other types.
    pub(super) cron_definition: Option<String>,
}

/// A job, as lists show it.
#[derive(Serialize, JsonSchema)]
pub(super) struct Listed {
    /// The job's number.
    id: u64,
    /// Its name.
    name: String,
    /// Whether it is switched on and has slots to come.
    is_active: bool,
    /// `one_time`, `interval_based` or `cron_style`.
    job_type: String,
    /// The first slot, in UTC.
    start_date: Option<String>,
    /// A number for the service, the same for the same name.
    service_id: u32,
    /// The service that is called.
    service_name: String,
    /// What the service is given.
    extra: Option<String>,
    /// The interval.
    weeks: Option<u64>,
    /// The interval.
    days: Option<u64>,
    /// The interval.
    hours: Option<u64>,
    /// The interval.
    minutes: Option<u64>,
    /// The interval.
    seconds: Option<u64>,
    /// How many slots there are.
    repeats: Option<u64>,
    /// The cron expression, short forms written out.
    cron_definition: Option<String>,
}

fn wrong(at: &str, what: impl Into<String>) -> Error {
    let what = what.into();
    Error::invalid(format!("this is no job: {at}: {what}")).detail(at, what)
}

/// A number, also one that is a text; none if it is empty.
pub(super) fn number(fields: &Map<String, Value>, at: &str) -> Result<Option<u64>> {
    match fields.get(at) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) if text.trim().is_empty() => Ok(None),
        Some(Value::String(text)) => {
            text.trim().parse().map(Some).map_err(|_| wrong(at, format!("{text:?} is no number from 0 on")))
        }
        Some(value) => {
            value.as_u64().map(Some).ok_or_else(|| wrong(at, format!("{value} is no number from 0 on")))
        }
    }
}

/// Yes or no, also as a text or a number; none if it is empty.
pub(super) fn truth(fields: &Map<String, Value>, at: &str) -> Result<Option<bool>> {
    let text = match fields.get(at) {
        None | Some(Value::Null) => return Ok(None),
        Some(Value::Bool(truth)) => return Ok(Some(*truth)),
        Some(Value::String(text)) => text.trim().to_lowercase(),
        Some(value) => value.to_string(),
    };
    match text.as_str() {
        "" => Ok(None),
        "true" | "1" | "yes" | "on" => Ok(Some(true)),
        "false" | "0" | "no" | "off" => Ok(Some(false)),
        _ => Err(wrong(at, format!("{text:?} is neither true nor false"))),
    }
}

/// A text; none if it is empty.
pub(super) fn text(fields: &Map<String, Value>, at: &str) -> Result<Option<String>> {
    match fields.get(at) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) if text.is_empty() => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.clone())),
        Some(Value::Number(number)) => Ok(Some(number.to_string())),
        Some(_) => Err(wrong(at, "it is no text")),
    }
}

/// The name in a field.
pub(super) fn name(fields: &Map<String, Value>) -> Result<Name> {
    let name = text(fields, "name")?.ok_or_else(|| wrong("name", "it is required"))?;
    name.parse().map_err(|fault: config::Fault| wrong("name", fault.message))
}

/// The job that a form describes.
pub(super) fn read(fields: &Map<String, Value>, now: DateTime<Utc>) -> Result<Draft> {
    let name = name(fields)?;
    let given = text(fields, "job_type")?.ok_or_else(|| wrong("job_type", "it is required"))?;
    let known = TYPES.iter().find(|(theirs, ours)| given == *theirs || given == *ours);
    let known = known.map(|(_, ours)| *ours).ok_or_else(|| {
        let hint =
            config::fault::suggest(&given, TYPES.iter().map(|(theirs, _)| *theirs)).unwrap_or_default();
        wrong("job_type", format!("there is no {given:?}; {hint}"))
    })?;
    let mut params = Map::new();
    let service = text(fields, "service")?.ok_or_else(|| wrong("service", "it is required"))?;
    params.insert("service".into(), json!(actors::service::canonical(&service)));
    if let Some(extra) = text(fields, "extra")? {
        params.insert("extra".into(), json!(extra));
    }
    if let Some(start) = text(fields, "start_date")? {
        let start: Moment = start.parse().map_err(|what: String| wrong("start_date", what))?;
        if known == "one-time" && start.get() <= now {
            let what = format!("{start} has passed, and it never fires: it is {} now", Moment::from(now));
            return Err(wrong("start_date", what));
        }
        params.insert("start".into(), json!(start));
    }
    if known == "interval" {
        for (part, _) in PARTS {
            if let Some(count) = number(fields, part)?.filter(|count| *count > 0) {
                params.insert(part.into(), json!(count));
            }
        }
        if let Some(repeats) = number(fields, "repeats")? {
            params.insert("repeats".into(), json!(repeats));
        }
    }
    if known == "cron" {
        let cron =
            text(fields, "cron_definition")?.ok_or_else(|| wrong("cron_definition", "it is required"))?;
        params.insert("cron".into(), json!(cron));
    }
    let theirs = [
        "cluster_id",
        "id",
        "name",
        "is_active",
        "job_type",
        "service",
        "start_date",
        "extra",
        "repeats",
        "cron_definition",
        "skip_response_elem",
        "old_name",
        "should_ignore_existing",
    ];
    for (key, value) in fields {
        let is_part = PARTS.iter().any(|(part, _)| part == key);
        if !theirs.contains(&key.as_str()) && !is_part && !value.is_null() && *value != "" {
            params.insert(key.clone(), value.clone());
        }
    }
    Ok(jobs::draft(name, known, truth(fields, "is_active")?.unwrap_or(true), params))
}

fn cron_of(job: &JobView) -> Option<String> {
    let cron = job.definition.get("cron")?.as_str()?;
    let syntax = job.definition.get("syntax").and_then(|syntax| serde_json::from_value(syntax.clone()).ok());
    let read = actors::job::schedule::Expression::parse(cron, syntax.unwrap_or_default());
    Some(read.map_or_else(|_| cron.to_owned(), |read| read.shown().to_owned()))
}

/// What `create` and `edit` answer.
pub(super) fn made(job: &JobView) -> Made {
    Made { id: job.id, name: job.name.to_string(), cron_definition: cron_of(job) }
}

/// A job, as lists show it.
pub(super) fn listed(job: &JobView) -> Listed {
    let text = |key: &str| job.definition.get(key).and_then(Value::as_str);
    let job_type =
        TYPES.iter().find(|(_, ours)| *ours == job.r#type).map_or(job.r#type.as_str(), |(t, _)| *t);
    let mut parts = PARTS.map(|(part, _)| job.definition.get(part).and_then(Value::as_u64));
    if let Some(every) = text("every").and_then(|every| every.parse::<config::Span>().ok()) {
        // In the largest parts that make it up.
        let mut left = u64::try_from(every.get().as_millis()).unwrap_or(u64::MAX);
        for (part, (_, of)) in parts.iter_mut().zip(PARTS) {
            *part = Some(left / of).filter(|count| *count > 0);
            left %= of;
        }
    }
    let [weeks, days, hours, minutes, seconds, _] = parts;
    let start = text("start").and_then(|start| start.parse::<Moment>().ok()).map(Moment::get).or(job.begun);
    let start_date = start.map(|at| at.naive_utc().and_utc().to_rfc3339_opts(SecondsFormat::Secs, true));
    let start_date = start_date.map(|at| at.trim_end_matches('Z').to_owned());
    Listed {
        id: job.id,
        name: job.name.to_string(),
        is_active: job.active,
        job_type: job_type.to_owned(),
        start_date,
        service_id: number_of(&job.service),
        service_name: job.service.clone(),
        extra: text("extra").map(str::to_owned),
        weeks,
        days,
        hours,
        minutes,
        seconds,
        repeats: job.definition.get("repeats").and_then(Value::as_u64),
        cron_definition: cron_of(job),
    }
}

/// A number for a name, always the same. FNV-1a, without the sign.
fn number_of(name: &str) -> u32 {
    let hash =
        name.bytes().fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
    hash & 0x7fff_ffff
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(form: Value) -> std::result::Result<Value, String> {
        let now = DateTime::from_timestamp(1_800_000_000, 0).expect("a moment");
        let draft =
            super::read(form.as_object().expect("an object"), now).map_err(|error| error.to_string())?;
        Ok(json!({"kind": draft.kind.to_string(), "enabled": draft.enabled, "params": draft.params.0}))
    }

    #[test]
    fn forms_become_jobs_whatever_numbers_and_texts_they_are_made_of() {
        let form = json!({"cluster_id": 1, "name": "n", "is_active": "true", "job_type": "interval_based",
            "service": "zato.ping", "weeks": "", "days": "0", "hours": 0, "minutes": "1", "seconds": 2, "repeats": "12",
            "start_date": "2027-02-21T23:10:11", "extra": "", "cron_definition": null, "missed": "all"});
        let expected = json!({"kind": "job.interval", "enabled": true, "params": {"service": "zeugma.ping",
            "start": "2027-02-21T23:10:11Z", "minutes": 1, "seconds": 2, "repeats": 12, "missed": "all"}});
        assert_eq!(read(form), Ok(expected));
        let cron = json!({"name": "n", "job_type": "cron_style", "service": "s", "cron_definition": "@daily",
            "is_active": false});
        let expected =
            json!({"kind": "job.cron", "enabled": false, "params": {"service": "s", "cron": "@daily"}});
        assert_eq!(read(cron), Ok(expected));
    }

    #[test]
    fn what_is_wrong_with_a_form_is_told_with_its_place() {
        let cases = [
            (json!({}), "name: it is required"),
            (json!({"name": "n", "job_type": "interval"}), "service: it is required"),
            (json!({"name": "n", "job_type": "one_tim", "service": "s"}), "did you mean \"one_time\"?"),
            (
                json!({"name": "n", "job_type": "cron_style", "service": "s"}),
                "cron_definition: it is required",
            ),
            (
                json!({"name": "n", "job_type": "interval", "service": "s", "seconds": -1}),
                "seconds: -1 is no number",
            ),
            (
                json!({"name": "n", "job_type": "interval", "service": "s", "seconds": "x"}),
                "\"x\" is no number",
            ),
            (
                json!({"name": "n", "job_type": "one_time", "service": "s", "start_date": "2020-01-01"}),
                "has passed",
            ),
            (
                json!({"name": "n", "job_type": "one_time", "service": "s", "start_date": "soon"}),
                "\"soon\" is no date",
            ),
            (
                json!({"name": "n", "job_type": "one_time", "service": "s", "is_active": "maybe"}),
                "neither true nor",
            ),
        ];
        for (form, message) in cases {
            let error = read(form.clone()).expect_err("a fault");
            assert!(error.contains(message), "{form}: {error}");
        }
    }
}
