//! Sending requests: a free place, the credentials, repeats, and answers within their limit.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use chrono::{DateTime, Utc};
use config::Clock;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::{Method, StatusCode};
use sdk::cid::CID_HEADER;
use sdk::connection::http::{Body, HttpAnswer, HttpCall, HttpClient};
use sdk::{Cid, Error, Result};
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::Instant;
use tokio_util::io::ReaderStream;
use url::Url;

use super::reach::{self, Failure};
use super::template::Template;
use super::{LONGEST_TIME, Params, PingMethod, RESERVED, Retries};
use crate::kind::Start;
use crate::line::Line;
use crate::part::Credentials;

/// How much a `Retry-After` is stretched at most, so that those who got the same do not come back together.
const STRETCH: Duration = Duration::from_secs(1);

/// The client of one definition.
pub(super) struct Client {
    line: Line,
    clock: Clock,
    http: reqwest::Client,
    template: Template,
    query: BTreeMap<String, String>,
    headers: HeaderMap,
    credentials: Option<Arc<dyn Credentials>>,
    timeout: Duration,
    places: Semaphore,
    place_count: usize,
    place_wait: Duration,
    retries: Retries,
    repeated: AtomicU64,
    ping: (Method, Url),
    max_response: u64,
}

/// A request that can be sent more than once.
struct Outgoing {
    method: Method,
    url: Url,
    headers: HeaderMap,
}

impl Client {
    pub(super) async fn new(
        params: Params,
        credentials: Option<Arc<dyn Credentials>>,
        start: &Start,
    ) -> Result<Self> {
        let bad = |what: String| Error::internal(format!("{}: {what}", start.id));
        let template = Template::parse(&params.url).map_err(|fault| bad(fault.to_string()))?;
        let http = reach::client(&params, template.is_tls(), &start.id).await?;
        let mut headers = HeaderMap::new();
        let public = params.headers.iter().map(|(name, value)| (name, value.as_str(), false));
        let secret = params.secret_headers.iter().map(|(name, value)| (name, value.reveal(), true));
        for (name, value, secret) in public.chain(secret) {
            let no_header = || bad(format!("{name:?} or its value cannot be a header"));
            let parsed: HeaderName = name.parse().map_err(|_| no_header())?;
            let mut value = HeaderValue::from_str(value).map_err(|_| no_header())?;
            value.set_sensitive(secret);
            headers.insert(parsed, value);
        }
        let method = match params.ping.method {
            PingMethod::Head => Method::HEAD,
            PingMethod::Get => Method::GET,
            PingMethod::Options => Method::OPTIONS,
        };
        let ping = (method, template.plain(params.ping.path.as_deref())?);
        let place_count = usize::try_from(params.pool.get()).unwrap_or(Semaphore::MAX_PERMITS);
        Ok(Self {
            line: Line::of(start),
            clock: start.clock.clone(),
            http,
            template,
            query: params.query,
            headers,
            credentials,
            timeout: params.timeout.get(),
            places: Semaphore::new(place_count),
            place_count,
            place_wait: params.pool_wait.get(),
            retries: params.retries,
            repeated: AtomicU64::new(0),
            ping,
            max_response: params.max_response.get(),
        })
    }

    pub(super) fn stats(&self) -> serde_json::Value {
        let in_use = self.place_count.saturating_sub(self.places.available_permits());
        let retries = self.repeated.load(Ordering::Relaxed);
        serde_json::json!({"pool": {"limit": self.place_count, "in_use": in_use}, "retries": retries})
    }

    /// Puts in the headers that every request has.
    async fn dress(&self, call: &mut HttpCall, cid: Cid) -> Result<()> {
        let streamed = matches!(call.body, Body::Stream(_));
        for name in RESERVED {
            // Only whoever has the stream can know how long it is.
            if !(streamed && name == header::CONTENT_LENGTH) {
                call.headers.remove(name);
            }
        }
        for (name, value) in &self.headers {
            if !call.headers.contains_key(name) {
                call.headers.insert(name.clone(), value.clone());
            }
        }
        if let Some(credentials) = &self.credentials {
            credentials.apply(call).await?;
        }
        call.headers.insert(HeaderName::from_static(CID_HEADER), HeaderValue::from_str(cid.as_str())?);
        Ok(())
    }

    /// Sends it, and again if that may help and does no harm.
    async fn send_repeatedly(&self, mut call: HttpCall, cid: Cid, deadline: Instant) -> Result<HttpAnswer> {
        self.dress(&mut call, cid).await?;
        let HttpCall { method, path, params, headers, body } = call;
        let url = self.template.fill(&path, params, &self.query)?;
        let request = Outgoing { method, url, headers };
        let (mut bytes, mut stream, mut left) = (Bytes::new(), None, self.retries.attempts);
        match body {
            Body::Empty => {}
            Body::Bytes(body) => bytes = body,
            Body::Stream(body) => stream = Some(body),
        }
        if stream.is_some() || !is_idempotent(&request.method) {
            left = 0;
        }
        let mut wait = self.retries.wait.get();
        let mut away = Away { line: &self.line, error: None };
        loop {
            let begun = Instant::now();
            let body = match stream.take() {
                Some(stream) => reqwest::Body::wrap_stream(ReaderStream::new(stream)),
                None => bytes.clone().into(),
            };
            let outcome = self.attempt(&request, body, deadline).await;
            away.error = None; // it has come to an end
            let pause = match &outcome {
                Ok(answer) if is_passing(answer.status) => self.retry_after(answer).unwrap_or(jitter(wait)),
                Err(failure) if failure.repeatable => jitter(wait),
                _ => Duration::MAX,
            };
            // Who is not reached is most likely not reached again, and that takes as long.
            let missed = outcome.as_ref().is_err_and(|failure| failure.away);
            let next = if missed { begun.elapsed().saturating_add(pause) } else { pause };
            let in_time = deadline.saturating_duration_since(Instant::now()) > next;
            if left == 0 || !in_time {
                return outcome.map_err(|failure| {
                    if missed {
                        self.line.report_down(&failure.error);
                    }
                    failure.error
                });
            }
            away.error = outcome.err().filter(|_| missed).map(|failure| failure.error);
            left -= 1;
            wait = (wait * 2).min(self.retries.longest.get());
            self.repeated.fetch_add(1, Ordering::Relaxed);
            tokio::time::sleep(pause).await; // the place is free meanwhile
        }
    }

    /// Sends it once.
    async fn attempt(
        &self,
        request: &Outgoing,
        body: reqwest::Body,
        deadline: Instant,
    ) -> Result<HttpAnswer, Failure> {
        let _place = self.place(deadline).await?;
        let id = self.line.id();
        let Outgoing { method, url, headers } = request;
        let sent = self.http.request(method.clone(), url.clone()).headers(headers.clone()).body(body).send();
        let mut response = sent.await.map_err(|e| Failure::of(e, id))?;
        let too_long =
            || Error::upstream(format!("{id}: the answer is longer than {} bytes", self.max_response));
        // What is announced is refused before it is read; what is not, as soon as it is too much.
        if *method != Method::HEAD
            && response.content_length().is_some_and(|length| length > self.max_response)
        {
            return Err(too_long().into());
        }
        let mut body = BytesMut::new();
        while let Some(chunk) = response.chunk().await.map_err(|e| Failure::of(e, id))? {
            if (body.len() + chunk.len()) as u64 > self.max_response {
                return Err(too_long().into());
            }
            body.extend_from_slice(&chunk);
        }
        let (status, headers) = (response.status(), std::mem::take(response.headers_mut()));
        Ok(HttpAnswer { status, headers, body: body.freeze() })
    }

    /// A free place among those that may be under way at the same time.
    async fn place(&self, deadline: Instant) -> Result<SemaphorePermit<'_>> {
        let until = deadline.min(Instant::now() + self.place_wait);
        match tokio::time::timeout_at(until, self.places.acquire()).await {
            Ok(Ok(place)) => Ok(place),
            _ => {
                let taken = format!("all {} places of {} are taken", self.place_count, self.line.id());
                Err(Error::unavailable(taken).retry_after(Duration::from_secs(1)))
            }
        }
    }

    /// How long the server wants us to wait.
    fn retry_after(&self, answer: &HttpAnswer) -> Option<Duration> {
        let wait =
            parse_retry_after(answer.headers.get(header::RETRY_AFTER)?.to_str().ok()?, self.clock.now())?;
        let wait = wait.min(LONGEST_TIME);
        Some(wait + (wait / 10).min(STRETCH).mul_f64(fastrand::f64()))
    }
}

#[async_trait]
impl HttpClient for Client {
    async fn send(&self, call: HttpCall, cid: Cid, deadline: Instant) -> Result<HttpAnswer> {
        let deadline = deadline.min(Instant::now() + self.timeout);
        self.line.call(deadline, self.timeout, self.send_repeatedly(call, cid, deadline)).await
    }

    /// Passes by gate, health and places: it is to say whether the server is there, whatever we think.
    async fn ping(&self, deadline: Instant) -> Result<()> {
        let ask = async {
            let mut call = HttpCall::default();
            self.dress(&mut call, Cid::new()).await?;
            let (method, url) = self.ping.clone();
            let request = self.http.request(method, url).headers(call.headers).query(&call.params);
            let answered = request.send().await;
            answered.map(drop).map_err(|e| Failure::of(e, self.line.id()).error)
        };
        let answered = tokio::time::timeout_at(deadline, ask).await;
        answered.unwrap_or_else(|_| Err(Error::timeout(format!("{} did not answer in time", self.line.id()))))
    }
}

/// The server was not reached, and is tried again. If that comes to no end, since whoever waits has no more time, it is
/// said all the same: or else each call would wait as long.
struct Away<'a> {
    line: &'a Line,
    error: Option<Error>,
}

impl Drop for Away<'_> {
    fn drop(&mut self) {
        if let Some(error) = &self.error {
            self.line.report_down(error);
        }
    }
}

/// Whether doing it twice is the same as doing it once (RFC 9110, 9.2.2).
fn is_idempotent(method: &Method) -> bool {
    [Method::GET, Method::HEAD, Method::OPTIONS, Method::PUT, Method::DELETE].contains(method)
}

/// Whether the status says that it may be better soon.
fn is_passing(status: StatusCode) -> bool {
    matches!(status, StatusCode::BAD_GATEWAY | StatusCode::SERVICE_UNAVAILABLE | StatusCode::GATEWAY_TIMEOUT)
}

/// Seconds, or a date.
fn parse_retry_after(text: &str, now: DateTime<Utc>) -> Option<Duration> {
    if let Ok(seconds) = text.trim().parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = DateTime::parse_from_rfc2822(text.trim()).ok()?;
    Some((date.to_utc() - now).to_std().unwrap_or_default())
}

/// Varied by a quarter, so that many callers do not come back together.
fn jitter(wait: Duration) -> Duration {
    wait.mul_f64(0.75 + 0.5 * fastrand::f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let now = "2015-10-21T07:27:30Z".parse().expect("a time");
        for (text, expected) in [
            ("7", Some(7)),
            ("Wed, 21 Oct 2015 07:28:00 GMT", Some(30)),
            ("Wed, 21 Oct 2015 07:00:00 GMT", Some(0)),
            ("soon", None),
            ("-1", None),
        ] {
            assert_eq!(parse_retry_after(text, now), expected.map(Duration::from_secs), "{text}");
        }
    }
}
