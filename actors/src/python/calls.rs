//! What services ask of the engine: files, requests to others, other services, caches.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use http::Method;
use sdk::connection::ftp::Ftp;
use sdk::connection::http::Http;
use sdk::connection::vault::Vault;
use sdk::task::Tasks;
use sdk::{Context, Error, ErrorKind, Result};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::frame::{self, Message};
use super::process::Process;
use super::{callees, locks};

/// How many calls of one worker the engine works on at once.
const AT_ONCE: usize = 2048;

/// What calls are served with.
pub(super) struct Desk {
    /// The package whose services call.
    pub(super) package: Arc<str>,
    pub(super) tasks: Tasks,
}

/// One question.
#[derive(Deserialize)]
pub(super) struct Call {
    /// The invocation that asks.
    pub(super) parent: u64,
    kind: String,
    #[serde(default)]
    name: Option<String>,
    pub(super) op: String,
    #[serde(default)]
    args: Vec<Value>,
    #[serde(default)]
    pub(super) kw: Map<String, Value>,
}

/// The answer: what is said, and a body.
pub(super) type Answer = (Value, Bytes);

/// Counts a call as long as it is worked on.
struct Counted(Arc<Process>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.calls.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Begins to work on a call. It ends with the invocation that it is for.
pub(super) fn take(process: &Arc<Process>, desk: &Desk, message: Message) {
    let id = message.id;
    let before = process.calls.fetch_add(1, Ordering::Relaxed);
    let counted = Counted(process.clone());
    let begin = || {
        let call: Call = serde_json::from_slice(&message.header)
            .map_err(|e| Error::invalid(format!("this call is not understood: {e}")))?;
        let parent = process.parent(call.parent);
        let (ctx, ends) = parent.ok_or_else(|| Error::unavailable("the invocation that calls is over"))?;
        if before >= AT_ONCE {
            let message = format!("a worker may have {AT_ONCE} calls under way at once");
            return Err(Error::new(ErrorKind::TooMany, message));
        }
        Ok((call, ctx, ends))
    };
    match begin() {
        Err(error) => reply(process, id, Err(error)),
        Ok((call, ctx, ends)) => {
            let work = async move {
                let Counted(process) = &counted;
                let scope = sdk::call::Call { cid: ctx.cid(), service: ctx.service().into() };
                let answer = scope.scope(answer(process, &ctx, &call, message.body));
                tokio::select! {
                    () = ends.cancelled() => {}
                    answer = tokio::time::timeout_at(ctx.deadline(), answer) => {
                        let late = |_| Err(Error::timeout("the deadline of the request is over"));
                        reply(process, id, answer.unwrap_or_else(late));
                    }
                }
            };
            desk.tasks.spawn("python-call", work);
        }
    }
}

fn reply(process: &Process, id: u64, answer: Result<Answer>) {
    // If the worker has ended, nobody waits for this.
    drop(match answer {
        Ok((header, body)) => {
            let header = header.to_string();
            process.send(|out| frame::write(out, frame::REPLY, id, header.as_bytes(), &body))
        }
        Err(error) => {
            if error.kind() == ErrorKind::Internal {
                tracing::error!(%error, "a call of a service failed");
            }
            let header = json!({
                "kind": error.kind(),
                "status": error.kind().status().as_u16(),
                "message": error.message(),
                "details": error.details(),
            });
            let header = header.to_string();
            process.send(|out| frame::write(out, frame::ERROR, id, header.as_bytes(), b""))
        }
    });
}

async fn answer(process: &Process, ctx: &Context, call: &Call, body: Bytes) -> Result<Answer> {
    let name = call.name.as_deref().unwrap_or_default();
    let limited = call.kw.get("timeout").and_then(Value::as_f64);
    let limit = limited.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    let work = async {
        match call.kind.as_str() {
            "ftp" => ftp(&ctx.connection::<Ftp>(name)?, call, body).await,
            "http" => http(&ctx.connection::<Http>(name)?, call, body).await,
            "vault" => vault(&ctx.connection::<Vault>(name)?, call).await,
            "service" => callees::ask(ctx, name, call, body).await,
            "lock" => locks::ask(process, ctx, name, call).await,
            "cache" => crate::cache::ask(ctx, name, &call.op, Value::Object(call.kw.clone()), body).await,
            kind => {
                Err(Error::invalid(format!("services in Python have no connections of kind {kind:?} yet")))
            }
        }
    };
    match limit {
        None => work.await,
        Some(limit) => {
            let late = |_| Error::timeout(format!("{} {name:?} took longer than {limit:?}", call.kind));
            tokio::time::timeout(limit, work).await.map_err(late)?
        }
    }
}

impl Call {
    fn text(&self, name: &str) -> Result<&str> {
        let missing = || Error::invalid(format!("{} {}: {name} is missing", self.kind, self.op));
        self.kw.get(name).and_then(Value::as_str).ok_or_else(missing)
    }

    /// What was passed under this name, or at this place.
    fn given(&self, name: &str, at: usize) -> Result<&Value> {
        let missing = || Error::invalid(format!("{} {}: {name} is missing", self.kind, self.op));
        self.kw.get(name).or_else(|| self.args.get(at)).ok_or_else(missing)
    }

    pub(super) fn unknown(&self) -> Error {
        Error::invalid(format!("{} has no {:?}", self.kind, self.op))
    }
}

async fn ftp(ftp: &Ftp, call: &Call, body: Bytes) -> Result<Answer> {
    let done = (json!({}), Bytes::new());
    let said = |result: Value| Ok((json!({ "result": result }), Bytes::new()));
    let path = call.text("path");
    match call.op.as_str() {
        "put" if call.kw.get("append") == Some(&Value::Bool(true)) => {
            said(ftp.append(path?, body).await?.into())
        }
        "put" => said(ftp.put(path?, body).await?.into()),
        "get" => Ok((json!({}), ftp.get(path?).await?)),
        "list" => said(serde_json::to_value(ftp.list(path?).await?)?),
        "size" => said(ftp.size(path?).await?.into()),
        "make_dir" => ftp.make_dir(path?).await.map(|()| done),
        "delete" => ftp.delete(path?).await.map(|()| done),
        "remove_dir" => ftp.remove_dir(path?).await.map(|()| done),
        "rename" => ftp.rename(call.text("from")?, call.text("to")?).await.map(|()| done),
        "ping" => ftp.ping().await.map(|()| done),
        _ => Err(call.unknown()),
    }
}

async fn http(http: &Http, call: &Call, body: Bytes) -> Result<Answer> {
    match call.op.as_str() {
        "request" => {}
        "ping" => return http.ping().await.map(|()| (json!({}), Bytes::new())),
        _ => return Err(call.unknown()),
    }
    let method = call.text("method")?;
    let method = Method::from_bytes(method.as_bytes())
        .map_err(|_| Error::invalid(format!("{method:?} is no verb")))?;
    let mut draft = http.request(method);
    if let Some(path) = call.kw.get("path").and_then(Value::as_str) {
        draft = draft.path(path);
    }
    let text = |value: &Value| match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let given = |name| call.kw.get(name).and_then(Value::as_object).into_iter().flatten();
    for (name, value) in given("params") {
        match value {
            Value::Null => {}
            Value::Array(values) => {
                for value in values {
                    draft = draft.param(name, text(value));
                }
            }
            value => draft = draft.param(name, text(value)),
        }
    }
    let mut typed = false;
    for (name, value) in given("headers") {
        typed |= name.eq_ignore_ascii_case("content-type");
        draft = draft.header(name, &text(value));
    }
    let payload = call.kw.get("payload").and_then(Value::as_str).unwrap_or("none");
    if payload != "none" {
        let default = match payload {
            "json" => "application/json",
            "text" => "text/plain; charset=utf-8",
            _ => "application/octet-stream",
        };
        if !typed {
            draft = draft.header("content-type", default);
        }
        draft = draft.body(body);
    }
    let answer = draft.send().await?;
    let mut headers = BTreeMap::<&str, String>::new();
    for (name, value) in &answer.headers {
        let value = String::from_utf8_lossy(value.as_bytes());
        let all = headers.entry(name.as_str()).or_default();
        if !all.is_empty() {
            all.push_str(", ");
        }
        all.push_str(&value);
    }
    Ok((json!({ "status": answer.status.as_u16(), "headers": headers }), answer.body))
}

/// Secrets: `read`, `field`, `write`, `delete`, `list`, each of a path.
async fn vault(vault: &Vault, call: &Call) -> Result<Answer> {
    let said = |result: Value| Ok((json!({ "result": result }), Bytes::new()));
    let text = |name, at| {
        let wrong = || Error::invalid(format!("vault {}: {name} is to be a text", call.op));
        call.given(name, at).and_then(|value| value.as_str().ok_or_else(wrong))
    };
    match call.op.as_str() {
        "read" => said(Value::Object(vault.read(text("path", 0)?).await?)),
        "field" => said(vault.field(text("path", 0)?, text("field", 1)?).await?.into()),
        "write" => match call.given("data", 1)? {
            Value::Object(data) => {
                vault.write(text("path", 0)?, data.clone()).await?;
                said(Value::Null)
            }
            _ => Err(Error::invalid("vault write: data is to be an object")),
        },
        "delete" => {
            vault.delete(text("path", 0)?).await?;
            said(Value::Null)
        }
        "list" => said(vault.list(text("path", 0)?).await?.into()),
        "ping" => {
            vault.ping().await?;
            said(Value::Null)
        }
        _ => Err(call.unknown()),
    }
}
