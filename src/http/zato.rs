//! The paths under `/zato/`, by which programs call services that are written for the system that many users come from.
//! A channel that is defined at one of them comes first.
//!
//! Who may call is what definitions say: callers of `/zato/json` and `/zato/api/invoke` satisfy the security definition
//! `pubapi`, those of `/zato/admin/invoke` the one named `admin.invoke`. Where there is none of that name, the path is not
//! there. `/zato/ping` is open.

use std::sync::Arc;
use std::time::Duration;

use actors::channel::failure;
use actors::meter::{Meter, Meters};
use actors::{Part, Snapshot};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use config::{DefId, Family};
use http::header::{ALLOW, CONTENT_TYPE};
use http::{HeaderName, HeaderValue, Method, Response, StatusCode};
use hyper::body::Incoming;
use percent_encoding::percent_decode_str;
use sdk::engine::Engine;
use sdk::{Caller, ChannelInfo, Cid, Context, Error, ErrorKind, HttpHead, Origin, Request, Result, Visit};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use tokio::time::Instant;

use super::ingress::{Awaited, collect, known, refusal, within};
use crate::app::App;

/// The longest body.
const LONGEST: usize = 16 << 20;
/// The longest body of a ping, which anybody may send and which needs none.
const LONGEST_PING: usize = 4 << 10;
/// How long a call may take.
const DEADLINE: Duration = Duration::from_secs(60);
/// The longest time that a caller may ask for, in seconds.
const LONGEST_WAIT: f64 = 600.0;
/// Where these programs look for the correlation id.
const THEIR_CID: HeaderName = HeaderName::from_static("x-zato-cid");

/// What is at a path.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Door {
    Ping,
    /// A service's answer in an envelope.
    Json(String),
    /// A service's answer as it is.
    Api(String),
    /// The service is in the body.
    Admin,
}

fn door(path: &str) -> Option<Door> {
    let rest = path.strip_prefix("/zato/")?;
    let service = |name: &str| {
        let name = percent_decode_str(name).decode_utf8().ok()?.into_owned();
        (!name.is_empty()).then_some(name)
    };
    match rest {
        "ping" => Some(Door::Ping),
        "admin/invoke" => Some(Door::Admin),
        _ => match rest.strip_prefix("json/") {
            Some(name) => service(name).map(Door::Json),
            None => service(rest.strip_prefix("api/invoke/")?).map(Door::Api),
        },
    }
}

/// Counts the requests to each of these paths, as those to channels are counted.
#[derive(Clone, Debug)]
pub struct Counts {
    ping: Arc<Meter>,
    json: Arc<Meter>,
    api: Arc<Meter>,
    admin: Arc<Meter>,
}

impl Counts {
    /// Counts by these meters; each path is there from its first request on.
    ///
    /// # Errors
    /// If a path is no name, which the first start of any node shows.
    pub fn new(meters: &Meters) -> prometheus::Result<Self> {
        let of = |path: &str| {
            let name = path.parse().map_err(|fault: config::Fault| prometheus::Error::Msg(fault.message))?;
            Ok::<_, prometheus::Error>(meters.lazily(&DefId::new(Family::Channel, name)))
        };
        let (ping, json) = (of("/zato/ping")?, of("/zato/json")?);
        Ok(Self { ping, json, api: of("/zato/api/invoke")?, admin: of("/zato/admin/invoke")? })
    }

    fn of(&self, door: &Door) -> &Meter {
        match door {
            Door::Ping => &self.ping,
            Door::Json(_) => &self.json,
            Door::Api(_) => &self.api,
            Door::Admin => &self.admin,
        }
    }
}

/// A request to one of these paths.
struct Knock<'a> {
    app: &'a App,
    snapshot: &'a Arc<Snapshot>,
    head: Arc<HttpHead>,
    cid: Cid,
    deadline: Instant,
}

/// Answers, if there is something at this path.
pub(super) async fn answer(
    app: &App,
    snapshot: &Arc<Snapshot>,
    head: &HttpHead,
    body: &mut Incoming,
    cid: Cid,
    begun: Instant,
) -> Option<Response<Bytes>> {
    let door = door(head.uri.path())?;
    let guard = match door {
        Door::Ping => None,
        Door::Json(_) | Door::Api(_) => Some("pubapi"),
        Door::Admin => Some("admin.invoke"),
    };
    if let Some(name) = guard {
        snapshot.part(Family::Security, name)?;
    }
    let knock = Knock { app, snapshot, head: Arc::new(head.clone()), cid, deadline: begun + DEADLINE };
    let awaited = Awaited::new(app.metrics.zato.of(&door), begun, cid, head.uri.path());
    let outcome = knock.served(&door, guard, body).await;
    awaited.end(&outcome);
    let mut response = match outcome {
        Ok(response) => response,
        Err(error) => {
            if let Some(reason) = refusal(error.kind()) {
                app.metrics.refused(reason);
            }
            match error.kind() {
                ErrorKind::Internal => {
                    tracing::error!(%cid, path = head.uri.path(), %error, "a request failed");
                }
                _ => tracing::debug!(%cid, path = head.uri.path(), %error, "a request was refused"),
            }
            knock.failed(&door, &error)
        }
    };
    failure::stamp(&mut response, cid);
    if let Ok(value) = HeaderValue::from_str(cid.as_str()) {
        response.headers_mut().insert(THEIR_CID, value);
    }
    Some(response)
}

impl Knock<'_> {
    /// These programs know a failure by 500, whatever it is about, unless they may not call at all, or nobody is there.
    fn failed(&self, door: &Door, error: &Error) -> Response<Bytes> {
        let mut response = failure::render(failure::Shape::ZatoEnv, self.cid, error);
        let as_it_is = [
            ErrorKind::Unauthenticated,
            ErrorKind::Forbidden,
            ErrorKind::MethodNotAllowed,
            ErrorKind::TooLarge,
            ErrorKind::SlowRequest,
            ErrorKind::Unavailable,
        ];
        let missing = matches!(door, Door::Api(name) if self.snapshot.service(name).is_err_and(is_missing));
        if missing {
            *response.status_mut() = StatusCode::BAD_REQUEST;
        } else if !as_it_is.contains(&error.kind()) {
            *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
        }
        response
    }

    async fn served(&self, door: &Door, guard: Option<&str>, body: &mut Incoming) -> Result<Response<Bytes>> {
        let only = |methods: &'static str| {
            let message = format!("{} is not allowed at this path", self.head.method);
            Error::new(ErrorKind::MethodNotAllowed, message).header(ALLOW, HeaderValue::from_static(methods))
        };
        match (door, &self.head.method) {
            (Door::Ping, &Method::GET | &Method::HEAD | &Method::POST) | (Door::Api(_), _) => {}
            (Door::Json(_) | Door::Admin, &Method::POST) => {}
            (Door::Ping, _) => return Err(only("GET, HEAD, POST")),
            (Door::Json(_) | Door::Admin, _) => return Err(only("POST")),
        }
        let caller = match guard {
            Some(name) => Some(self.caller(name).await?),
            None => None,
        };
        let longest = if *door == Door::Ping { LONGEST_PING } else { LONGEST };
        let raw = within(self.deadline, collect(body, longest)).await?;
        match door {
            Door::Ping => self.enveloped("zeugma.ping", json!({"pong": "zato"}), self.is_flat(&raw)),
            Door::Json(service) => self.json(service, caller, meant(raw)).await,
            Door::Api(service) => self.api(service, caller, meant(raw)).await,
            Door::Admin => self.admin(caller, &raw).await,
        }
    }

    async fn caller(&self, name: &str) -> Result<Caller> {
        let found = self.snapshot.part(Family::Security, name).map(|running| &running.part);
        let Some(Part::Security(guard)) = found else {
            return Err(Error::unavailable(format!("security/{name} does not run")));
        };
        let incoming = guard.incoming.as_ref();
        let incoming = incoming
            .ok_or_else(|| Error::unavailable(format!("security/{name} is for outgoing requests only")))?;
        let engine: Arc<dyn Engine> = self.snapshot.clone();
        let visit = Visit { cid: self.cid, deadline: self.deadline, engine: &engine };
        let known = known(self.app, name, incoming, &self.head, &visit);
        Ok(within(self.deadline, known).await?.caller)
    }

    fn origin(&self) -> Origin {
        Origin::Outside(Some(self.head.peer.ip()))
    }

    /// Calls a service; what it answers.
    async fn called(
        &self,
        service: &str,
        caller: Option<Caller>,
        request: Request,
        deadline: Instant,
    ) -> Result<sdk::Response> {
        let bound = self.snapshot.service(service)?;
        let engine: Arc<dyn Engine> = self.snapshot.clone();
        let channel = ChannelInfo::new("zato", "invoke").reading("json");
        let ctx = Context::new(self.cid, caller, channel, deadline, bound.name.clone(), engine);
        let ctx = ctx.with_origin(self.origin());
        bound.call(&ctx, request).await
    }

    /// Newer programs want the answer without the element around it, and say so.
    fn is_flat(&self, raw: &[u8]) -> bool {
        const WORD: &str = "skip_response_elem";
        let in_query = self.head.uri.query().is_some_and(|query| query.contains(WORD));
        let in_body =
            || serde_json::from_slice::<Map<String, Value>>(raw).is_ok_and(|body| body.contains_key(WORD));
        in_query || in_body()
    }

    /// The engine's own services only: others have channels.
    async fn json(&self, service: &str, caller: Option<Caller>, raw: Bytes) -> Result<Response<Bytes>> {
        let name = actors::service::canonical(service);
        if !name.starts_with("zeugma.") {
            let message = format!("no such service `{service}` here; /zato/api/invoke/{service} may have it");
            return Err(Error::not_found(message));
        }
        let flat = self.is_flat(&raw);
        let answer = self.called(&name, caller, Request::new(raw), self.deadline).await?;
        let value = match answer.body.is_empty() {
            true => json!({}),
            false => serde_json::from_slice(&answer.body)
                .map_err(|error| Error::internal(format!("service {name:?} answers no JSON: {error}")))?,
        };
        self.enveloped(&name, value, flat)
    }

    fn enveloped(&self, service: &str, value: Value, flat: bool) -> Result<Response<Bytes>> {
        let env = json!({"result": "ZATO_OK", "cid": self.cid.as_str(), "details": ""});
        let mut whole = Map::new();
        match value {
            Value::Object(fields) if flat => whole.extend(fields),
            value => {
                let name = service.strip_prefix("zeugma.").unwrap_or(service).replace(['.', '-'], "_");
                whole.insert(format!("zato_{name}_response"), value);
            }
        }
        whole.insert("zato_env".to_owned(), env);
        Ok(json_response(Value::Object(whole).to_string()))
    }

    async fn api(&self, service: &str, caller: Option<Caller>, raw: Bytes) -> Result<Response<Bytes>> {
        let request = Request { http: Some(self.head.clone()), ..Request::new(raw) };
        if self.snapshot.service(service).is_err_and(is_missing) {
            return Err(Error::not_found(format!("No such service `{service}`")));
        }
        let answer = self.called(service, caller, request, self.deadline).await?;
        let mut response = Response::new(answer.body);
        *response.status_mut() = answer.status;
        *response.headers_mut() = answer.headers;
        let json = HeaderValue::from_static("application/json");
        response.headers_mut().entry(CONTENT_TYPE).or_insert(json);
        Ok(response)
    }

    async fn admin(&self, caller: Option<Caller>, raw: &[u8]) -> Result<Response<Bytes>> {
        let wrong = |what: String| Error::invalid(format!("this is no invocation: {what}"));
        let asked: Invocation = serde_json::from_slice(raw).map_err(|error| wrong(error.to_string()))?;
        let service = asked.name.as_deref().filter(|name| !name.is_empty());
        let service = service.ok_or_else(|| wrong("name is required".into()))?;
        let payload = STANDARD.decode(asked.payload.as_deref().unwrap_or_default());
        let payload = payload.map_err(|error| wrong(format!("payload is no base64: {error}")))?;
        let request = Request::new(meant(payload.into()));
        let answer = if asked.is_async {
            let bound = self.snapshot.service(service)?;
            let engine: Arc<dyn Engine> = self.snapshot.clone();
            let channel = ChannelInfo::new("zato", "invoke").reading("json");
            let ctx = Context::new(self.cid, caller, channel, self.deadline, bound.name, engine);
            let ctx = ctx.with_origin(self.origin());
            let cid = ctx.invoke_async(service, request)?;
            json!({"cid": cid.to_string()}).to_string().into()
        } else {
            let wait = asked.timeout.filter(|seconds| *seconds > 0.0 && *seconds <= LONGEST_WAIT);
            let deadline =
                wait.map_or(self.deadline, |seconds| Instant::now() + Duration::from_secs_f64(seconds));
            self.called(service, caller, request, deadline).await?.body
        };
        let env = json!({"result": "ZATO_OK", "cid": self.cid.as_str(), "details": ""});
        let response = json!({"response": STANDARD.encode(&answer)});
        // Each of the two generations of clients fails at the other's form.
        let whole = match asked.skip_response_elem {
            Some(_) => json!({"response": response["response"], "zato_env": env}),
            None => json!({"zato_service_invoke_response": response, "zato_env": env}),
        };
        Ok(json_response(whole.to_string()))
    }
}

/// What is meant by a body: `null` and an empty text are what these programs send if there is nothing to be sent.
fn meant(raw: Bytes) -> Bytes {
    match raw.trim_ascii() {
        b"null" | b"\"\"" => Bytes::new(),
        _ => raw,
    }
}

fn is_missing(error: Error) -> bool {
    error.kind() == ErrorKind::NotFound
}

/// What `/zato/admin/invoke` is sent; what is not here is not heeded.
#[derive(Deserialize)]
struct Invocation {
    name: Option<String>,
    payload: Option<String>,
    #[serde(default)]
    is_async: bool,
    timeout: Option<f64>,
    #[serde(default, deserialize_with = "present")]
    skip_response_elem: Option<Value>,
}

/// Any value that is there, null too.
fn present<'de, D: serde::Deserializer<'de>>(
    deserializer: D,
) -> std::result::Result<Option<Value>, D::Error> {
    Value::deserialize(deserializer).map(Some)
}

fn json_response(body: String) -> Response<Bytes> {
    let mut response = Response::new(Bytes::from(body));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_lead_to_services_and_nothing_else_does() {
        assert_eq!(door("/zato/ping"), Some(Door::Ping));
        assert_eq!(door("/zato/json/zato.ping"), Some(Door::Json("zato.ping".into())));
        assert_eq!(door("/zato/api/invoke/my%20service"), Some(Door::Api("my service".into())));
        assert_eq!(door("/zato/admin/invoke"), Some(Door::Admin));
        for path in
            ["/zato/", "/zato/json/", "/zato/json", "/zato/api/invoke/", "/zato/api/invoke/%ff", "/zatoping"]
        {
            assert_eq!(door(path), None, "{path}");
        }
    }
}
