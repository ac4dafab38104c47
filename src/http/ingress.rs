//! The data path: how a request flows, from the connection to the service and back. Read it top to bottom.

use std::convert::Infallible;
use std::fmt::Display;
use std::sync::Arc;
use std::time::Duration;

use actors::channel::compression;
use actors::channel::failure::{self, Shape};
use actors::engine::Route;
use actors::meter::{Meter, UnderWay};
use actors::routes::{Found, Matched};
use bytes::{Bytes, BytesMut};
use http::header::{ACCESS_CONTROL_REQUEST_METHOD, ALLOW, CONTENT_LENGTH};
use http::request::Parts;
use http::{HeaderName, HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Body as _, Incoming};
use sdk::engine::Engine;
use sdk::{Admitted, Cid, Context, Error, ErrorKind, HttpHead, Origin, Result, Security, Visit};
use tokio::time::Instant;

use crate::app::App;
use crate::http::listener::Peer;

/// Memory set aside at once for a body whose length is announced; more is taken as it really comes.
const AHEAD: usize = 1 << 20;

/// Whom a proxy speaks for.
const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
/// See [`linger`].
const LINGER_BYTES: usize = 256 * 1024;
/// See [`linger`].
const LINGER_TIME: Duration = Duration::from_secs(1);

/// The service of each data connection.
pub fn service(app: App) -> impl Fn(Peer) -> DataService + Send + Sync + 'static {
    // Behind one pointer: a clone of an `App` touches a dozen counters that all cores share.
    let app = Arc::new(app);
    move |peer| DataService { app: app.clone(), peer }
}

/// Serves one data connection.
#[derive(Clone)]
pub struct DataService {
    app: Arc<App>,
    peer: Peer,
}

impl hyper::service::Service<Request<Incoming>> for DataService {
    type Response = Response<Full<Bytes>>;
    type Error = Infallible;
    type Future = std::pin::Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        let (app, peer) = (self.app.clone(), self.peer.clone());
        Box::pin(async move { Ok(serve(&app, peer, request).await.map(Full::new)) })
    }
}

/// Answers one request.
pub async fn serve(app: &App, peer: Peer, request: Request<Incoming>) -> Response<Bytes> {
    let begun = Instant::now();
    let cid = Cid::new();
    let (Parts { method, uri, headers, .. }, mut body) = request.into_parts();
    let Peer { address, certificates } = peer;
    let peer = match app.settings.trusted_proxies.trust(address.ip()) {
        true => {
            let lines = headers.get_all(FORWARDED_FOR).iter().rev().map(HeaderValue::as_bytes);
            app.settings.trusted_proxies.client(address, lines)
        }
        false => address,
    };
    let mut head = HttpHead { method, uri, headers, peer, certificates, params: Vec::new() };

    // 1. One revision for the whole request.
    let snapshot = app.live.now();

    // 2. The channel, by host, path, verb and Accept.
    let Matched { route, params } = match snapshot.routes.find(&head.method, &head.uri, &head.headers) {
        Ok(Found::Route(matched)) => matched,
        Ok(Found::Options { allow }) => return options(&snapshot.routes, &head, cid, &allow),
        Err(error) => {
            if error.kind() == ErrorKind::NotFound
                && let Some(response) =
                    Box::pin(super::zato::answer(app, &snapshot, &head, &mut body, cid, begun)).await
            {
                linger(app, body);
                return response;
            }
            app.metrics.unrouted.with_label_values(&[error.kind().status().as_str()]).inc();
            linger(app, body);
            return failure::render(Shape::Default, cid, &error);
        }
    };
    head.params = params;
    let head = Arc::new(head);

    let mut told = Vec::new();
    let way = Way { app, snapshot: &snapshot, route, cid, begun };
    let awaited = Awaited::new(&route.running.meter, begun, cid, route.running.id());
    let outcome = call(&way, &head, &mut body, &mut told).await;
    awaited.end(&outcome);
    if let Err(error) = &outcome {
        if let Some(reason) = refusal(error.kind()) {
            app.metrics.refused(reason);
        }
        log(route, cid, error);
        linger(app, body);
    }
    // 7. Value or error, as this channel's callers understand it.
    let mut response = route.channel.encode(&head, cid, outcome);
    response.headers_mut().extend(told);
    if route.channel.compresses() { compression::apply(&head, response).await } else { response }
}

/// A request whose caller waits for the answer. When callers hang up, their requests are dropped where they are: these
/// are counted and logged, too.
pub(super) struct Awaited<'a, C: Display> {
    counted: Option<UnderWay<'a>>,
    cid: Cid,
    channel: C,
}

impl<'a, C: Display> Awaited<'a, C> {
    pub(super) fn new(meter: &'a Meter, begun: Instant, cid: Cid, channel: C) -> Self {
        Self { counted: Some(meter.begin(begun)), cid, channel }
    }

    pub(super) fn end<T>(mut self, outcome: &Result<T>) {
        if let Some(counted) = self.counted.take() {
            counted.end(outcome);
        }
    }
}

impl<C: Display> Drop for Awaited<'_, C> {
    fn drop(&mut self) {
        if self.counted.is_some() {
            let Self { cid, channel, .. } = self;
            tracing::info!(%cid, %channel, "a request was given up by its caller");
        }
    }
}

/// Where a request goes, and since when.
struct Way<'a> {
    app: &'a App,
    snapshot: &'a Arc<actors::Snapshot>,
    route: &'a Route,
    cid: Cid,
    begun: Instant,
}

/// Steps 3 to 6: everything that may refuse or fail. What the security definition tells the caller goes into `told`.
async fn call(
    way: &Way<'_>,
    head: &Arc<HttpHead>,
    body: &mut Incoming,
    told: &mut Vec<(HeaderName, HeaderValue)>,
) -> Result<sdk::Response> {
    let &Way { app, snapshot, route, cid, begun } = way;
    let limits = route.channel.limits();
    let deadline = begun + limits.deadline;

    // 3. A place: an overload is refused, never queued.
    let _pass = route.running.gate.enter(route.running.id())?;
    let _place = match &limits.concurrency {
        Some(places) => Some(places.try_acquire().map_err(|_| {
            Error::unavailable("this channel has as many requests as it may")
                .retry_after(Duration::from_secs(1))
        })?),
        None => None,
    };

    // 4. Who calls: before anything of the body is read.
    let (address, admission) = (head.peer.ip(), route.channel.admission());
    if let Some(admission) = admission {
        admission.from(address).await?;
    }
    let engine: Arc<dyn Engine> = snapshot.clone();
    let caller = match &route.security {
        Ok(None) => None,
        Ok(Some(security)) => {
            let visit = Visit { cid, deadline, engine: &engine };
            let name = route.channel.security().map_or("", config::Name::as_str);
            let known = known(app, name, security, head, &visit);
            let Admitted { caller, headers } = within(deadline, known).await?;
            *told = headers;
            Some(caller)
        }
        Err(reason) => return Err(Error::unavailable(reason.clone())),
    };
    if let Some(admission) = admission {
        admission.of(caller.as_ref(), address).await?;
    }
    let service = route.service.as_ref().map_err(|reason| Error::unavailable(reason.clone()))?;

    // 5. The body, within its limit, byte for byte; then what the channel makes of it.
    route.channel.accept(head)?;
    let raw = within(deadline, collect(body, limits.body)).await?;
    let request = route.channel.decode(head.clone(), raw, service.reads_json)?;

    // 6. The work: with a deadline, and with a guard against panics around it.
    let channel = route.channel.info().clone();
    let ctx = Context::new(cid, caller, channel, deadline, service.name.clone(), engine);
    let ctx = ctx.with_origin(Origin::Outside(Some(address)));
    service.call(&ctx, request).await
}

/// The word of the metrics for errors that say that a caller may not call, or not so often.
pub(super) fn refusal(kind: ErrorKind) -> Option<&'static str> {
    match kind {
        ErrorKind::Unauthenticated => Some("unauthenticated"),
        ErrorKind::Forbidden => Some("forbidden"),
        ErrorKind::TooMany => Some("too-many"),
        _ => None,
    }
}

/// Who calls, by the definition of this name. Where somebody has been wrong too often, only what was right there lately is
/// looked at for a while, and nobody is told so.
pub(super) async fn known(
    app: &App,
    name: &str,
    security: &Arc<dyn Security>,
    head: &HttpHead,
    visit: &Visit<'_>,
) -> Result<Admitted> {
    let mut attempt = app.lockout.attempt(name, head.peer.ip());
    if !security.fingerprint(head, &mut attempt) {
        return security.admit(head, visit).await;
    }
    let Some(trial) = app.lockout.begin(attempt).await? else {
        app.metrics.refused("locked-out"); // beside that it counts as unauthenticated, as the answer says
        let unknown = || Error::unauthenticated("who calls is not known");
        return Err(security.guess(head).unwrap_or_else(unknown));
    };
    let (outcome, verdict) = security.judge(head, visit).await;
    trial.ends(verdict);
    outcome
}

pub(super) async fn within<T>(deadline: Instant, work: impl Future<Output = Result<T>>) -> Result<T> {
    let late = |_| Error::new(ErrorKind::SlowRequest, "the request did not come in time");
    tokio::time::timeout_at(deadline, work).await.map_err(late)?
}

/// Reads a body. One that is too long is refused by its announced length before anything is read, and otherwise as
/// soon as it passes the limit.
pub(super) async fn collect(body: &mut Incoming, limit: usize) -> Result<Bytes> {
    let announced = body.size_hint().lower();
    let too_large = || {
        let message = format!("the body is longer than the {limit} bytes that this channel accepts");
        Error::new(ErrorKind::TooLarge, message)
    };
    if announced > limit as u64 {
        return Err(too_large());
    }
    let mut whole: Option<BytesMut> = None;
    let mut first = Bytes::new();
    while let Some(frame) = body.frame().await {
        let broken = |e| Error::invalid("the body was broken off").because(e);
        let Ok(data) = frame.map_err(broken)?.into_data() else { continue }; // trailers are not used
        if first.len() + whole.as_ref().map_or(0, BytesMut::len) + data.len() > limit {
            return Err(too_large());
        }
        match &mut whole {
            Some(whole) => whole.extend_from_slice(&data),
            None if first.is_empty() => first = data, // most bodies come in one piece, which is used as it is
            None => {
                let ahead =
                    usize::try_from(announced).unwrap_or(AHEAD).clamp(first.len() + data.len(), limit);
                let mut joined = BytesMut::with_capacity(ahead.min(AHEAD.max(first.len() + data.len())));
                joined.extend_from_slice(&std::mem::take(&mut first));
                joined.extend_from_slice(&data);
                whole = Some(joined);
            }
        }
    }
    Ok(whole.map_or(first, BytesMut::freeze))
}

/// Reads on for a little while after an error, without keeping anything: a connection that is closed with bytes unread
/// is reset, and the caller, who is still sending, would never see the answer (RFC 9112, 9.6).
fn linger(app: &App, mut body: Incoming) {
    if body.is_end_stream() {
        return;
    }
    app.tasks.spawn("linger", async move {
        let mut left = LINGER_BYTES;
        let read = async {
            while let Some(Ok(frame)) = body.frame().await {
                let length = frame.data_ref().map_or(0, Bytes::len);
                let Some(less) = left.checked_sub(length) else { return };
                left = less;
            }
        };
        // Whoever sends more than that, or more slowly, is cut off.
        drop(tokio::time::timeout(LINGER_TIME, read).await);
    });
}

/// The answer to `OPTIONS` where no channel has that verb: to a cross-origin preflight what the channel asked about
/// says, else the verbs of the path.
fn options(routes: &actors::routes::Routes, head: &HttpHead, cid: Cid, allow: &str) -> Response<Bytes> {
    let asked = head.header(ACCESS_CONTROL_REQUEST_METHOD).and_then(|verb| verb.parse::<Method>().ok());
    if let Some(verb) = asked
        && let Ok(Found::Route(matched)) = routes.find(&verb, &head.uri, &head.headers)
        && let Some(mut response) = matched.route.channel.preflight(head, allow)
    {
        failure::stamp(&mut response, cid);
        return response;
    }
    let mut response = Response::new(Bytes::new());
    *response.status_mut() = StatusCode::NO_CONTENT;
    if let Ok(allow) = HeaderValue::from_str(allow) {
        response.headers_mut().insert(ALLOW, allow);
    }
    response.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from_static("0"));
    failure::stamp(&mut response, cid);
    response
}

/// What operators must see goes to the log with the whole story; the caller's own mistakes only on request.
fn log(route: &Route, cid: Cid, error: &Error) {
    let channel = route.running.id();
    match error.kind() {
        ErrorKind::Internal => tracing::error!(%cid, %channel, %error, "a request failed"),
        kind if kind.is_retryable() => tracing::warn!(%cid, %channel, %error, "a request failed"),
        _ => tracing::debug!(%cid, %channel, %error, "a request was refused"),
    }
}
