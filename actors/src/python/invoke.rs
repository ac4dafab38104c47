//! What a service is told with a request, and what is made of its answer.

use std::collections::BTreeMap;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use sdk::{Context, Error, ErrorKind, HttpHead, Request, Response, Result, response};
use serde::{Deserialize, Serialize, Serializer};
use serde_json::{Map, Value};
use tokio::time::Instant;

use super::frame::{self, Message};

tokio::task_local! {
    /// A service of Python calls another: it has a place in a pool already.
    pub(super) static NESTED: ();
}

/// How a body is to be read by services: as a channel said, as the service that calls said, or as it looks.
pub(super) fn payload_of(ctx: &Context, request: &Request) -> &'static str {
    if request.raw.is_empty() {
        return "none";
    }
    if let Some(form) = request.said.as_ref().and_then(|said| said.form) {
        return form;
    }
    match (ctx.channel().data_format, &request.http) {
        (Some(format), _) => format,
        (None, Some(_)) => "raw",
        (None, None) => {
            let json = serde_json::from_slice::<serde::de::IgnoredAny>(&request.raw).is_ok();
            let text = || std::str::from_utf8(&request.raw).is_ok();
            if json {
                "json"
            } else if text() {
                "text"
            } else {
                "raw"
            }
        }
    }
}

/// What every service needs.
#[derive(Serialize)]
struct Invoke<'a> {
    service: &'a str,
    cid: &'a str,
    deadline_ms: u64,
    payload: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    input: Option<&'a Map<String, Value>>,
}

/// What few services look at: the worker reads it when one does.
#[derive(Serialize)]
struct Origin<'a> {
    channel: Channel<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    http: Option<Http<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    job: Option<Job<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    in_reply_to: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    environ: Option<&'a Map<String, Value>>,
}

/// The job that came due.
#[derive(Serialize)]
struct Job<'a> {
    name: &'a str,
    job_type: &'a str,
}

/// The word that services in Python know it by.
fn job_type(kind: &str) -> &str {
    match kind {
        "one-time" => "one_time",
        "interval" => "interval_based",
        "cron" => "cron_style",
        other => other,
    }
}

#[derive(Serialize)]
struct Channel<'a> {
    name: &'a str,
    r#type: &'a str,
    data_format: Option<&'a str>,
    security: Option<Security<'a>>,
}

#[derive(Serialize)]
struct Security<'a> {
    name: &'a str,
    username: &'a str,
    r#type: &'a str,
    roles: &'a [String],
}

#[derive(Serialize)]
struct Http<'a> {
    method: &'a str,
    path: String,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    query: BTreeMap<String, Vec<String>>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    params: BTreeMap<&'a str, &'a str>,
    headers: Headers<'a>,
    peer: String,
}

struct Headers<'a>(&'a HeaderMap);

impl Serialize for Headers<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.keys().map(|name| {
            let mut values =
                self.0.get_all(name).iter().map(HeaderValue::as_bytes).map(String::from_utf8_lossy);
            let first = values.next().unwrap_or_default();
            let all = values.fold(first, |all, value| (all.into_owned() + ", " + &value).into());
            (name.as_str(), all)
        }))
    }
}

impl<'a> Http<'a> {
    fn of(head: &'a HttpHead) -> Self {
        let mut query = BTreeMap::<String, Vec<String>>::new();
        if head.uri.query().is_some() {
            for (name, value) in head.query() {
                query.entry(name).or_default().push(value);
            }
        }
        Self {
            method: head.method.as_str(),
            path: head.path(),
            query,
            params: head.params.iter().map(|(name, value)| (&**name, value.as_str())).collect(),
            headers: Headers(&head.headers),
            peer: head.peer.ip().to_string(),
        }
    }
}

/// The header of INVOKE.
pub(super) fn header(
    ctx: &Context,
    service: &str,
    request: &Request,
    payload: &'static str,
    input: Option<&Map<String, Value>>,
) -> Result<Vec<u8>> {
    let left = ctx.deadline().saturating_duration_since(Instant::now());
    let security = ctx.caller().map(|caller| Security {
        name: caller.security(),
        username: caller.name(),
        r#type: caller.kind().trim_start_matches("security."),
        roles: caller.roles(),
    });
    let (channel, cid, said) = (ctx.channel(), ctx.cid(), request.said.as_ref());
    let invoke = Invoke {
        service,
        cid: cid.as_str(),
        deadline_ms: u64::try_from(left.as_millis()).unwrap_or(u64::MAX),
        payload,
        input,
    };
    let origin = Origin {
        channel: Channel {
            name: &channel.name,
            r#type: channel.r#type,
            data_format: channel.data_format,
            security,
        },
        http: request.http.as_deref().map(Http::of),
        job: channel.job.map(|kind| Job { name: &channel.name, job_type: job_type(kind) }),
        in_reply_to: said.and_then(|said| said.in_reply_to).map(|cid| cid.to_string()),
        environ: said.map(|said| &said.environ).filter(|environ| !environ.is_empty()),
    };
    let mut header = Vec::with_capacity(512);
    serde_json::to_writer(&mut header, &invoke)?;
    header.push(b'\n');
    serde_json::to_writer(&mut header, &origin)?;
    if header.len() > 512 * 1024 {
        return Err(Error::new(
            ErrorKind::TooLarge,
            "head and input of the request are too long for a service",
        ));
    }
    Ok(header)
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Answered {
    status: Option<u16>,
    content_type: Option<String>,
    payload: String,
    headers: BTreeMap<String, OneOrMore>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum OneOrMore {
    One(String),
    More(Vec<String>),
}

/// What a service answered.
///
/// # Errors
/// What it raised; internal, if its answer cannot be one.
pub(super) fn outcome(service: &str, message: Message) -> Result<Response> {
    if message.kind == frame::ERROR {
        return Err(raised(service, &message.header));
    }
    let answered: Answered = serde_json::from_slice(&message.header)?;
    let mut answer = Response::new(message.body);
    if let Some(status) = answered.status {
        answer.status = StatusCode::from_u16(status)
            .map_err(|_| Error::internal(format!("service {service} answered with the status {status}")))?;
    }
    for (name, values) in answered.headers {
        let values = match values {
            OneOrMore::One(value) => vec![value],
            OneOrMore::More(values) => values,
        };
        for value in values {
            let (Ok(name), Ok(value)) =
                (HeaderName::try_from(name.as_str()), HeaderValue::try_from(value.as_str()))
            else {
                return Err(Error::internal(format!(
                    "service {service} answered with a header {name:?} that cannot be one"
                )));
            };
            // Length and connection are ours to say.
            if ![http::header::CONTENT_LENGTH, http::header::TRANSFER_ENCODING, http::header::CONNECTION]
                .contains(&name)
            {
                answer.headers.append(name, value);
            }
        }
    }
    if let Some(text) = answered.content_type {
        let value = HeaderValue::try_from(text.as_str());
        let wrong = |_| Error::internal(format!("service {service} answered with the content type {text:?}"));
        answer.headers.insert(CONTENT_TYPE, value.map_err(wrong)?);
    } else if answered.payload == "json" && !answer.headers.contains_key(CONTENT_TYPE) {
        answer.headers.insert(CONTENT_TYPE, response::JSON);
    }
    Ok(answer)
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Raised {
    kind: String,
    status: Option<u16>,
    message: String,
    details: Vec<sdk::error::Detail>,
    traceback: Option<String>,
    retry_after: Option<f64>,
    headers: BTreeMap<String, String>,
}

fn raised(service: &str, header: &Bytes) -> Error {
    let raised: Raised = match serde_json::from_slice(header) {
        Ok(raised) => raised,
        Err(error) => {
            return Error::internal(format!("service {service} failed, and it is not clear how"))
                .because(error);
        }
    };
    let kind = match serde_json::from_value::<ErrorKind>(Value::String(raised.kind.clone())) {
        Ok(kind) => kind,
        Err(_) if raised.kind == "cancelled" => ErrorKind::Unavailable,
        Err(_) => match raised.status {
            Some(400..500) => ErrorKind::Invalid,
            _ => ErrorKind::Internal,
        },
    };
    let mut error = if kind == ErrorKind::Internal {
        let details = raised.details.iter().map(|detail| format!("; {} {}", detail.at, detail.message));
        let details: String = details.collect();
        Error::internal(format!("service {service}: {}{details}", raised.message))
    } else {
        raised
            .details
            .into_iter()
            .fold(Error::new(kind, raised.message), |error, detail| error.detail(detail.at, detail.message))
    };
    if let Some(traceback) = raised.traceback.filter(|text| !text.is_empty()) {
        error = error.because(traceback.trim_end().to_owned());
    }
    if let Some(wait) = raised.retry_after.and_then(|s| std::time::Duration::try_from_secs_f64(s).ok()) {
        error = error.retry_after(wait);
    }
    for (name, value) in raised.headers {
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) {
            error = error.header(name, value);
        }
    }
    error
}
