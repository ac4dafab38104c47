//! REST channels: a service at a path and a verb.

mod params;

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use config::{Claim, DefId, Family, Fault, Name, Need, Size, Want};
use http::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderMap, HeaderName, HeaderValue, Response};
use sdk::precedence::Precedence;
use sdk::{ChannelInfo, Cid, Error, ErrorKind, HttpHead, Request, Result};
use serde::de::IgnoredAny;
use tokio::sync::Semaphore;

use crate::admission::Admission;
use crate::channel::compression::decompressed;
use crate::channel::failure;
use crate::kind::{Kind, Start};
use crate::part::{CHECK_CALLERS, HttpChannel, Limits, Part};
use crate::routes::Mount;

pub use params::{DataFormat, Envelope, Params};

/// See the module.
pub struct Rest;

#[async_trait]
impl Kind for Rest {
    const TAG: &'static str = "channel.rest";
    type Params = Params;

    fn example() -> Params {
        params::example()
    }

    fn check(params: &Params) -> Vec<Fault> {
        params.check()
    }

    fn needs(params: &Params) -> Vec<Need> {
        let need =
            |at: &str, family, name: &Name| Need { at: at.into(), id: DefId::new(family, name.clone()) };
        let service = need("service", Family::Service, &params.service);
        let security = params.security.iter().map(|name| need("security", Family::Security, name));
        std::iter::once(service).chain(security).collect()
    }

    fn wants(params: &Params) -> Vec<Want> {
        let want = |name: &Name| Want {
            at: "security".into(),
            id: DefId::new(Family::Security, name.clone()),
            ability: CHECK_CALLERS,
        };
        params.security.iter().map(want).collect()
    }

    fn claims(params: &Params) -> Vec<Claim> {
        // What is no mount is a fault already.
        params.mount().into_iter().map(|mount| Claim { at: "path".into(), what: mount.claim() }).collect()
    }

    async fn start(params: Params, start: Start) -> Result<Part> {
        let mount = params.mount().map_err(|fault| Error::internal(fault.to_string()))?;
        let mut headers = HeaderMap::new();
        for (name, value) in &params.response_headers {
            headers.insert(HeaderName::try_from(name)?, HeaderValue::from_str(value)?);
        }
        let default = match params.data_format {
            DataFormat::Json => "application/json",
            DataFormat::Raw => "text/plain",
        };
        let content_type = HeaderValue::from_str(params.content_type.as_deref().unwrap_or(default))?;
        let limits = Limits {
            body: params.body_limit.as_len(),
            deadline: params.deadline.get(),
            concurrency: params.concurrency.map(|n| Arc::new(Semaphore::new(n.get() as usize))),
        };
        let admission = params.admission().admission(&start)?;
        let format = match params.data_format {
            DataFormat::Json => "json",
            DataFormat::Raw => "raw",
        };
        let info = ChannelInfo::new(start.id.name.as_str(), "rest").reading(format);
        Ok(Part::HttpChannel(Arc::new(RestChannel {
            params,
            mount,
            headers,
            content_type,
            limits,
            admission,
            info,
        })))
    }
}

/// A REST channel that runs.
struct RestChannel {
    params: Params,
    mount: Mount,
    headers: HeaderMap,
    content_type: HeaderValue,
    limits: Limits,
    admission: Option<Admission>,
    info: ChannelInfo,
}

impl HttpChannel for RestChannel {
    fn mount(&self) -> &Mount {
        &self.mount
    }

    fn service(&self) -> &Name {
        &self.params.service
    }

    fn security(&self) -> Option<&Name> {
        self.params.security.as_ref()
    }

    fn admission(&self) -> Option<&Admission> {
        self.admission.as_ref()
    }

    fn limits(&self) -> &Limits {
        &self.limits
    }

    fn info(&self) -> &ChannelInfo {
        &self.info
    }

    fn preflight(&self, head: &HttpHead, allow: &str) -> Option<Response<Bytes>> {
        self.params.cors.as_ref().map(|cors| cors.preflight(head, allow))
    }

    fn compresses(&self) -> bool {
        self.params.compression
    }

    fn accept(&self, head: &HttpHead) -> Result<()> {
        let Some(content_type) = head.headers.get(CONTENT_TYPE) else { return Ok(()) };
        let allowed: &[String] = &self.params.request_types;
        if allowed.is_empty() && self.params.data_format == DataFormat::Raw {
            return Ok(());
        }
        let mime = content_type.to_str().ok().and_then(|t| t.parse::<mime::Mime>().ok());
        let fits = mime.is_some_and(|mime| match allowed {
            [] => is_json(&mime),
            allowed => allowed.iter().any(|t| t.eq_ignore_ascii_case(mime.essence_str())),
        });
        if fits {
            return Ok(());
        }
        let wanted = if allowed.is_empty() { "application/json".to_owned() } else { allowed.join(", ") };
        Err(Error::new(ErrorKind::UnsupportedMedia, format!("send the body with Content-Type: {wanted}")))
    }

    fn decode(&self, mut head: Arc<HttpHead>, body: Bytes, read_on: bool) -> Result<Request> {
        let raw = match self.params.data_format {
            DataFormat::Raw => body,
            DataFormat::Json => {
                let json = decompressed(&head, &body, self.limits.body)?;
                if head.headers.contains_key(CONTENT_ENCODING) {
                    // They are true of what came, not of what the service gets.
                    let head = Arc::make_mut(&mut head);
                    head.headers.remove(CONTENT_ENCODING);
                    head.headers.remove(CONTENT_LENGTH);
                }
                if !json.is_empty() && !read_on {
                    serde_json::from_slice::<IgnoredAny>(&json).map_err(|e| sdk::request::malformed(&e))?;
                }
                json
            }
        };
        let precedence = Precedence { params: self.params.params_pri, url: self.params.url_params_pri };
        Ok(Request { http: Some(head), precedence, ..Request::new(raw) })
    }

    fn encode(&self, head: &HttpHead, cid: Cid, outcome: Result<sdk::Response>) -> Response<Bytes> {
        let mut response = match outcome {
            Err(error) => failure::render(self.params.errors, cid, &error),
            Ok(answer) => {
                let mut response = Response::new(self.enveloped(answer.body));
                *response.status_mut() = answer.status;
                *response.headers_mut() = answer.headers;
                if !response.headers().contains_key(CONTENT_TYPE) {
                    response.headers_mut().insert(CONTENT_TYPE, self.content_type.clone());
                }
                failure::stamp(&mut response, cid);
                response
            }
        };
        for (name, value) in &self.headers {
            response.headers_mut().insert(name.clone(), value.clone());
        }
        if let Some(cors) = &self.params.cors {
            cors.mark(head, response.headers_mut());
        }
        response
    }
}

impl RestChannel {
    fn enveloped(&self, body: Bytes) -> Bytes {
        match (self.params.envelope, self.params.data_format) {
            (Envelope::Response, DataFormat::Json) => {
                let inner: &[u8] = if body.is_empty() { b"null" } else { &body };
                [br#"{"response":"#, inner, b"}"].concat().into()
            }
            _ => body,
        }
    }
}

fn is_json(mime: &mime::Mime) -> bool {
    mime.subtype() == mime::JSON || mime.suffix() == Some(mime::JSON)
}

/// The largest body that a channel accepts unless it says otherwise.
const BODY_LIMIT: Size = Size::bytes(16_000_000);
