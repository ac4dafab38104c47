//! What services ask of other services: to answer, at once or later, one or several, and to hear of what came of it.

use std::time::Duration;

use bytes::Bytes;
use sdk::{Background, Cid, Context, Error, Request, Result, Said};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::calls::{Answer, Call};
use super::invoke::NESTED;
use crate::background::form_of;

/// What is behind the name of a service in that of the one that hears of its calls, if it names no other.
const CALLBACK: &str = "-async-callback";

/// What is said beside the payload of calls that nobody waits for.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Order {
    /// What kind of text the payload is.
    payload: String,
    /// The cid that the calls are to have.
    cid: Option<String>,
    /// How long to wait before, in seconds.
    delay: Option<f64>,
    /// Who is called with the answer; none is said: whoever is there for that.
    callback: Option<Vec<String>>,
    /// What goes along with the request.
    environ: Option<Map<String, Value>>,
    /// Services, each with what kind of text its payload is and how long that is in the body.
    targets: Vec<(String, String, usize)>,
    /// Who is told of each of them.
    on_target: Vec<String>,
    /// Who is told of all of them.
    on_final: Vec<String>,
    /// How often a call that fails is made again.
    repeats: u32,
    /// How long to wait before, in seconds.
    pause: f64,
    /// What those who are told are given along.
    context: Option<Value>,
    /// Services that are asked for.
    names: Vec<String>,
}

/// Answers one of these questions.
///
/// # Errors
/// What the service answers; not found; if it is not understood.
pub(super) async fn ask(ctx: &Context, name: &str, call: &Call, body: Bytes) -> Result<Answer> {
    if call.op == "invoke" {
        let form = call.kw.get("payload").and_then(Value::as_str).unwrap_or_default();
        let request = Request::new(body).saying(Said { form: Some(form_named(form)), ..Said::default() });
        let answer = NESTED.scope((), ctx.invoke(name, request)).await?;
        let form = form_of(&answer);
        let form = if form == "raw" { "bytes" } else { form };
        return Ok((json!({ "status": answer.status.as_u16(), "payload": form }), answer.body));
    }
    let wrong = |error: serde_json::Error| {
        Error::invalid(format!("{} of service {name:?} is not understood: {error}", call.op))
    };
    let said = |result: Value| Ok((json!({ "result": result }), Bytes::new()));
    let order: Order = serde_json::from_value(Value::Object(call.kw.clone())).map_err(wrong)?;
    let cid = order.cid.as_deref().map(str::parse::<Cid>).transpose()?;
    let request = |form: &str, body| {
        Request::new(body).saying(Said {
            form: Some(form_named(form)),
            environ: order.environ.clone().unwrap_or_default(),
            ..Said::default()
        })
    };
    let work = match call.op.as_str() {
        "unknown" => {
            let unknown: Vec<_> = order.names.into_iter().filter(|name| !ctx.has_service(name)).collect();
            return said(unknown.into());
        }
        "invoke_async" => {
            let then = order.callback.clone().unwrap_or_else(|| {
                let own = format!("{}{CALLBACK}", ctx.service());
                if ctx.has_service(&own) { vec![own] } else { Vec::new() }
            });
            let delay = seconds("delay", order.delay.unwrap_or_default())?;
            let work = Background::of(name, request(&order.payload, body)).after(delay);
            Background { then, ..work }
        }
        "retry" => {
            let retry = Some((order.repeats, seconds("pause", order.pause)?));
            // One was made already: the next is due after the pause.
            let delay = retry.map_or(Duration::ZERO, |(_, pause)| pause);
            let retry = retry.map(|(times, pause)| (times.saturating_sub(1), pause));
            let work = Background::of(name, request(&order.payload, body)).after(delay);
            let each = order.callback.clone().unwrap_or_default();
            Background { retry, each, context: order.context.clone(), ..work }
        }
        "fanout" => {
            let mut body = body;
            let mut calls = Vec::with_capacity(order.targets.len());
            for (name, form, length) in &order.targets {
                if *length > body.len() {
                    return Err(Error::invalid("the payloads are shorter than was said"));
                }
                calls.push((name.clone(), request(form, body.split_to(*length))));
            }
            let (each, last) = (order.on_target.clone(), order.on_final.clone());
            Background { calls, each, last, ..Background::default() }
        }
        _ => return Err(call.unknown()),
    };
    said(ctx.begin(Background { cid, ..work })?.as_str().into())
}

fn form_named(form: &str) -> &'static str {
    match form {
        "json" => "json",
        "text" => "text",
        "none" => "none",
        _ => "raw",
    }
}

fn seconds(what: &str, seconds: f64) -> Result<Duration> {
    Duration::try_from_secs_f64(seconds)
        .map_err(|_| Error::invalid(format!("{what}: {seconds} is no number of seconds")))
}
