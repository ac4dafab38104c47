//! The key-value engines of Vault, both versions alike, and other engines that hand out secrets.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use config::Secret;
use http::Method;
use rustify::endpoint::Endpoint;
use rustify::enums::RequestMethod;
use sdk::connection::vault::VaultClient;
use sdk::{Error, Result};
use serde_json::{Map, Value, json};
use tokio::time::Instant;
use vaultrs::api::kv1::requests::GetSecretRequest;
use vaultrs::api::kv2::requests::ReadSecretRequest;

use super::own_token::OwnToken;
use super::requests::Any;
use super::wire::{Answer, HEALTH, Wire};
use crate::references::{Fetched, Secrets};

/// How long it is believed which engine is mounted where.
const BELIEVED: Duration = Duration::from_secs(300);
/// How many mount points are remembered.
const MOST_MOUNTS: usize = 256;

/// What is mounted at a path.
#[derive(Clone)]
struct Mount {
    /// Ends with a slash.
    at: String,
    engine: Engine,
    seen: Instant,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Engine {
    Kv1,
    Kv2,
    /// Something that hands out a secret for each reading, mostly.
    Other,
}

/// See the module.
pub(super) struct Kv {
    wire: Arc<Wire>,
    own: Arc<OwnToken>,
    /// How often secrets of definitions are read again.
    refresh: Duration,
    mounts: Mutex<Vec<Mount>>,
}

/// A secret, as it was read.
struct Found {
    fields: Map<String, Value>,
    engine: Engine,
    /// How long it holds; none: as long as nobody changes it.
    lease: Option<Duration>,
}

impl Kv {
    pub(super) fn new(wire: Arc<Wire>, own: Arc<OwnToken>, refresh: Duration) -> Self {
        Self { wire, own, refresh, mounts: Mutex::default() }
    }

    /// Sends a request with our own token.
    async fn ask(&self, request: &impl Endpoint, deadline: Instant) -> Result<Answer> {
        let token = self.own.required(deadline).await?;
        let mut outcome = self.wire.send(Some(token.reveal()), request, deadline).await?;
        if outcome.as_ref().is_err_and(|refused| refused.status == 403)
            && let Some(other) = self.own.instead_of(&token, deadline).await?
        {
            outcome = self.wire.send(Some(other.reveal()), request, deadline).await?;
        }
        outcome.map_err(|refused| refused.error(self.wire.id()))
    }

    /// What is mounted where a path begins; none, if our token may not know.
    async fn mount(&self, path: &str, deadline: Instant) -> Result<Option<Mount>> {
        let now = Instant::now();
        {
            let mounts = self.mounts.lock().unwrap_or_else(PoisonError::into_inner);
            let known =
                mounts.iter().find(|mount| path.starts_with(&mount.at) && mount.seen + BELIEVED > now);
            if let Some(mount) = known {
                return Ok(Some(mount.clone()));
            }
        }
        let token = self.own.required(deadline).await?;
        let request = Any::get(format!("sys/internal/ui/mounts/{path}"));
        let Ok(answer) = self.wire.send(Some(token.reveal()), &request, deadline).await? else {
            return Ok(None);
        };
        let data = answer.data.unwrap_or_default();
        let Some(at) = data.get("path").and_then(Value::as_str) else { return Ok(None) };
        let version = data.pointer("/options/version").and_then(Value::as_str);
        let engine = match (data.get("type").and_then(Value::as_str), version) {
            (Some("kv"), Some("2")) => Engine::Kv2,
            (Some("kv" | "generic"), _) => Engine::Kv1,
            _ => Engine::Other,
        };
        let mount = Mount { at: at.to_owned(), engine, seen: now };
        let mut mounts = self.mounts.lock().unwrap_or_else(PoisonError::into_inner);
        mounts.retain(|other| other.at != mount.at && other.seen + BELIEVED > now);
        if mounts.len() < MOST_MOUNTS {
            mounts.push(mount.clone());
        }
        Ok(Some(mount))
    }

    async fn find(&self, path: &str, deadline: Instant) -> Result<Found> {
        let path = path.trim_matches('/');
        let id = self.wire.id();
        let unusable = |_| Error::internal(format!("{id}: the request cannot be made"));
        let mount = self.mount(path, deadline).await?;
        let inside = mount
            .as_ref()
            .and_then(|m| Some((m.engine, m.at.trim_end_matches('/'), path.strip_prefix(&m.at)?)));
        let (engine, answer) = match inside {
            Some((Engine::Kv2, at, rest)) => {
                let request = ReadSecretRequest::builder().mount(at).path(rest).build();
                (Engine::Kv2, self.ask(&request.map_err(|e| unusable(e.to_string()))?, deadline).await?)
            }
            Some((Engine::Kv1, at, rest)) => {
                let request = GetSecretRequest::builder().mount(at).path(rest).build();
                (Engine::Kv1, self.ask(&request.map_err(|e| unusable(e.to_string()))?, deadline).await?)
            }
            // Our token may read this path and nothing else, not even what is mounted there.
            None => {
                let answer = self.ask(&Any::get(path), deadline).await?;
                let versioned =
                    answer.data.as_ref().is_some_and(|d| d["data"].is_object() && d["metadata"].is_object());
                let engine = match (versioned, answer.lease_id.is_empty()) {
                    (true, _) => Engine::Kv2,
                    (false, true) => Engine::Kv1,
                    (false, false) => Engine::Other,
                };
                (engine, answer)
            }
            Some((Engine::Other, ..)) => (Engine::Other, self.ask(&Any::get(path), deadline).await?),
        };
        let lease = (answer.lease_duration > 0).then(|| Duration::from_secs(answer.lease_duration));
        let data = answer.data.unwrap_or_default();
        let fields = if engine == Engine::Kv2 { data.get("data").cloned().unwrap_or_default() } else { data };
        match fields {
            Value::Object(fields) => Ok(Found { fields, engine, lease }),
            _ => Err(Error::not_found(format!("{id} has no secret at {path:?}"))),
        }
    }

    /// The path of a secret's newest version, or of what is known about it.
    async fn place(&self, path: &str, part: &str, deadline: Instant) -> Result<(Engine, String)> {
        let path = path.trim_matches('/');
        Ok(match self.mount(path, deadline).await? {
            Some(Mount { at, engine: Engine::Kv2, .. }) => {
                let rest = path.strip_prefix(&at).unwrap_or_default();
                (Engine::Kv2, format!("{at}{part}/{rest}"))
            }
            Some(mount) => (mount.engine, path.to_owned()),
            None => (Engine::Other, path.to_owned()),
        })
    }
}

#[async_trait]
impl VaultClient for Kv {
    async fn read(&self, path: &str, deadline: Instant) -> Result<Map<String, Value>> {
        Ok(self.find(path, deadline).await?.fields)
    }

    async fn write(&self, path: &str, data: Map<String, Value>, deadline: Instant) -> Result<()> {
        let (engine, path) = self.place(path, "data", deadline).await?;
        let body = if engine == Engine::Kv2 { json!({ "data": data }) } else { Value::Object(data) };
        let request = Any { method: RequestMethod::POST, path, query: None, body: Some(body) };
        self.ask(&request, deadline).await.map(drop)
    }

    async fn delete(&self, path: &str, deadline: Instant) -> Result<()> {
        let (_, path) = self.place(path, "data", deadline).await?;
        let request = Any { method: RequestMethod::DELETE, path, query: None, body: None };
        self.ask(&request, deadline).await.map(drop)
    }

    async fn list(&self, path: &str, deadline: Instant) -> Result<Vec<String>> {
        // What is mounted is known only below the mount point itself.
        let (_, path) = self.place(&format!("{}/", path.trim_matches('/')), "metadata", deadline).await?;
        let request = Any { method: RequestMethod::LIST, path, query: None, body: None };
        let answer = self.ask(&request, deadline).await?;
        let keys = answer.data.as_ref().and_then(|data| data.get("keys")).and_then(Value::as_array);
        Ok(keys.into_iter().flatten().filter_map(|key| key.as_str().map(Into::into)).collect())
    }

    async fn request(
        &self,
        method: Method,
        path: &str,
        body: Option<Value>,
        deadline: Instant,
    ) -> Result<Value> {
        let request = Any::of(&method, path, body);
        let request = request.ok_or_else(|| Error::invalid(format!("Vault has no verb {method}")))?;
        let answer = self.ask(&request, deadline).await?;
        if answer.whole.is_empty() {
            return Ok(Value::Null);
        }
        serde_json::from_slice(&answer.whole)
            .map_err(|e| Error::upstream("the answer is not JSON").because(e))
    }

    async fn ping(&self, deadline: Instant) -> Result<()> {
        let query = Some("standbyok=true&perfstandbyok=true".to_owned());
        let request = Any { query, ..Any::get(HEALTH) };
        match self.wire.send_now(None, &request, deadline).await? {
            Ok(_) => Ok(()),
            Err(refused) => Err(refused.error(self.wire.id())),
        }
    }
}

#[async_trait]
impl Secrets for Kv {
    async fn read(&self, path: &str, field: &str, deadline: Instant) -> Result<Fetched> {
        let found = self.find(path, deadline).await?;
        let value = match found.fields.get(field) {
            Some(Value::String(text)) => text.clone(),
            Some(Value::Number(number)) => number.to_string(),
            Some(_) => return Err(Error::not_found(format!("the field {field:?} at {path:?} is no text"))),
            None => return Err(Error::not_found(format!("the secret at {path:?} has no field {field:?}"))),
        };
        let once = found.engine == Engine::Other && found.lease.is_some();
        let lease = found.lease.map(|lease| lease.mul_f64(2.0 / 3.0));
        let again = match (once, lease) {
            (true, lease) => lease,
            (false, Some(lease)) => Some(lease.min(self.refresh)),
            (false, None) => Some(self.refresh),
        };
        Ok(Fetched {
            value: Secret::new(value),
            again: again.map(|again| again.max(Duration::from_millis(200))),
            once,
        })
    }
}
