//! One endpoint: what routes to it, what describes it and what answers it are one value, so that they cannot drift.

use std::pin::Pin;
use std::sync::Arc;

use config::Role;
use http::{HeaderValue, Method};
use percent_encoding::percent_decode_str;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::Serialize;
use serde::de::DeserializeOwned;
use warp::reply::Response;

use super::answer::{self, Failure};
use super::call::Call;

/// Enters the schema of a type into a document and refers to it.
pub(super) type SchemaOf = fn(&mut SchemaGenerator) -> Schema;
type Answering = Pin<Box<dyn Future<Output = Result<Response, Failure>> + Send>>;
type Handler = Box<dyn Fn(Call) -> Answering + Send + Sync>;

/// See [`SchemaOf`].
pub(super) fn schema_of<T: JsonSchema>(generator: &mut SchemaGenerator) -> Schema {
    generator.subschema_for::<T>()
}

/// A parameter of the query.
pub(super) struct Param {
    /// Its name.
    pub(super) name: &'static str,
    /// What it does.
    pub(super) summary: &'static str,
    /// Its type.
    pub(super) schema: SchemaOf,
}

/// What a request or an answer holds.
pub(super) struct Content {
    /// The media types.
    pub(super) media: &'static [&'static str],
    /// The type; none: bytes of any kind.
    pub(super) schema: Option<SchemaOf>,
}

/// Another answer than the usual one that is no failure of the form that all failures have.
pub(super) struct Other {
    /// Its status.
    pub(super) status: u16,
    /// When it is given.
    pub(super) summary: &'static str,
    /// Its shape, as JSON.
    pub(super) schema: SchemaOf,
}

/// Which of its requests are noted in the audit log.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Deeds {
    /// None: they only look, or the history tells of what they change.
    None,
    /// All.
    All,
    /// Those with this flag in their query.
    With(&'static str),
}

/// One endpoint.
pub(super) struct Endpoint {
    /// The verb. A GET answers HEAD too.
    pub(super) method: Method,
    /// The path; a `{name}` stands for one segment, percent-encoded.
    pub(super) path: &'static str,
    /// Its name in the description.
    pub(super) operation: &'static str,
    /// What it does.
    pub(super) summary: &'static str,
    /// What a caller's token must allow; none: it answers without one.
    pub(super) role: Option<Role>,
    /// What the audit log tells of it.
    pub(super) deeds: Deeds,
    /// The query.
    pub(super) query: Vec<Param>,
    /// The request's body.
    pub(super) body: Option<Content>,
    /// The answer.
    pub(super) answer: Content,
    /// What else it may answer.
    pub(super) others: Vec<Other>,
    handler: Handler,
}

/// Begins the description of an endpoint. Who only looks needs the role of a viewer, who changes something that of a
/// deployer and is noted in the audit log, unless it says otherwise.
pub(super) fn on(method: Method, path: &'static str, operation: &'static str) -> Unanswered {
    let (query, others) = (Vec::new(), Vec::new());
    let looks = method == Method::GET;
    let role = Some(if looks { Role::Viewer } else { Role::Deployer });
    let deeds = if looks { Deeds::None } else { Deeds::All };
    Unanswered { method, path, operation, role, deeds, query, body: None, others }
}

/// An endpoint that nothing answers yet.
pub(super) struct Unanswered {
    method: Method,
    path: &'static str,
    operation: &'static str,
    role: Option<Role>,
    deeds: Deeds,
    query: Vec<Param>,
    body: Option<Content>,
    others: Vec<Other>,
}

impl Unanswered {
    /// It answers without a token.
    pub(super) fn open(mut self) -> Self {
        self.role = None;
        self
    }

    /// It answers only those who may do everything.
    pub(super) fn admin(mut self) -> Self {
        self.role = Some(Role::Admin);
        self
    }

    /// The history tells of what it changes.
    pub(super) fn in_history(mut self) -> Self {
        self.deeds = Deeds::None;
        self
    }

    /// It is noted if this flag is in its query, though it only looks.
    pub(super) fn noted_with(mut self, flag: &'static str) -> Self {
        self.deeds = Deeds::With(flag);
        self
    }

    /// It understands this parameter of the query.
    pub(super) fn query<T: JsonSchema>(mut self, name: &'static str, summary: &'static str) -> Self {
        self.query.push(Param { name, summary, schema: schema_of::<T> });
        self
    }

    /// It understands these parameters of the query too.
    pub(super) fn queries(self, more: fn(Self) -> Self) -> Self {
        more(self)
    }

    /// It takes a body of this shape.
    pub(super) fn takes<T: JsonSchema>(mut self, media: &'static [&'static str]) -> Self {
        self.body = Some(Content { media, schema: Some(schema_of::<T>) });
        self
    }

    /// It takes any bytes.
    pub(super) fn takes_bytes(mut self) -> Self {
        self.body = Some(Content { media: &["application/octet-stream"], schema: None });
        self
    }

    /// It may answer this, too.
    pub(super) fn or<T: JsonSchema>(mut self, status: u16, summary: &'static str) -> Self {
        self.others.push(Other { status, summary, schema: schema_of::<T> });
        self
    }

    /// A handler whose result is answered as JSON.
    pub(super) fn json<T, F>(self, summary: &'static str, handler: fn(Call) -> F) -> Arc<Endpoint>
    where
        T: Serialize + DeserializeOwned + JsonSchema + 'static,
        F: Future<Output = Result<T, Failure>> + Send + 'static,
    {
        let answer = Content { media: &["application/json"], schema: Some(schema_of::<T>) };
        let handler: Handler = Box::new(move |call| {
            let answering = handler(call);
            Box::pin(async move { answer::json(&answering.await?) })
        });
        self.answered(summary, answer, handler)
    }

    /// A handler that writes its answer itself, in one of these media types.
    pub(super) fn raw<F>(
        self,
        summary: &'static str,
        media: &'static [&'static str],
        handler: fn(Call) -> F,
    ) -> Arc<Endpoint>
    where
        F: Future<Output = Result<Response, Failure>> + Send + 'static,
    {
        let handler: Handler = Box::new(move |call| Box::pin(handler(call)));
        self.answered(summary, Content { media, schema: None }, handler)
    }

    fn answered(self, summary: &'static str, answer: Content, handler: Handler) -> Arc<Endpoint> {
        let Self { method, path, operation, role, deeds, query, body, others } = self;
        Arc::new(Endpoint {
            method,
            path,
            operation,
            summary,
            role,
            deeds,
            query,
            body,
            answer,
            others,
            handler,
        })
    }
}

impl Endpoint {
    /// Whether it reads a body.
    pub(super) fn takes_body(&self) -> bool {
        self.body.is_some()
    }

    /// Whether there must be one.
    pub(super) fn needs_body(&self) -> bool {
        self.body.as_ref().is_some_and(|body| body.schema.is_some())
    }

    /// The names in its path.
    pub(super) fn path_params(&self) -> impl Iterator<Item = &'static str> {
        self.path.split('/').filter_map(param)
    }

    /// Answers one request.
    pub(super) async fn call(&self, call: Call) -> Result<Response, Failure> {
        (self.handler)(call).await
    }

    /// What its path makes of this one; `None` if it is another.
    fn matches(&self, path: &str) -> Option<Params> {
        let mut params = Params::new();
        let (mut wanted, mut given) = (self.path.split('/'), path.split('/'));
        loop {
            match (wanted.next(), given.next()) {
                (None, None) => return Some(params),
                (Some(wanted), Some(given)) => match param(wanted) {
                    Some(name) if !given.is_empty() => {
                        params.push((name, percent_decode_str(given).collect()));
                    }
                    _ if wanted == given => {}
                    _ => return None,
                },
                _ => return None,
            }
        }
    }
}

/// The parameters in a path, decoded: not text yet, since a client may send any bytes.
pub(super) type Params = Vec<(&'static str, Vec<u8>)>;

fn param(segment: &'static str) -> Option<&'static str> {
    segment.strip_prefix('{')?.strip_suffix('}')
}

/// Where a request goes.
pub(super) enum Found<'e> {
    /// To this endpoint.
    Here(&'e Arc<Endpoint>, Params),
    /// Nowhere: the path takes only these verbs.
    OtherVerbs(HeaderValue),
    /// Nowhere.
    Nothing,
}

/// Finds the endpoint for a request. There are a few dozen, asked a few times a second: they are tried one by one.
pub(super) fn find<'e>(endpoints: &'e [Arc<Endpoint>], method: &Method, path: &str) -> Found<'e> {
    let mut allow = Vec::new();
    for endpoint in endpoints {
        let Some(params) = endpoint.matches(path) else { continue };
        if endpoint.method == *method || (*method == Method::HEAD && endpoint.method == Method::GET) {
            return Found::Here(endpoint, params);
        }
        allow.push(endpoint.method.as_str());
        if endpoint.method == Method::GET {
            allow.push("HEAD");
        }
    }
    if allow.is_empty() {
        return Found::Nothing;
    }
    allow.push("OPTIONS");
    match HeaderValue::from_str(&allow.join(", ")) {
        Ok(allow) => Found::OtherVerbs(allow),
        Err(_) => Found::Nothing,
    }
}
