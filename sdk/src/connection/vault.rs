//! Secrets of a Vault server, and whatever else it can do.

use std::sync::Arc;

use async_trait::async_trait;
use http::Method;
use serde_json::{Map, Value};
use tokio::time::Instant;

use super::Handle;
use crate::{Context, Error, Result};

/// What a Vault connection does, each call before `deadline`. Kinds implement it; services use [`Vault`].
#[async_trait]
#[allow(missing_docs)] // each method is documented where services see it
pub trait VaultClient: Send + Sync + 'static {
    async fn read(&self, path: &str, deadline: Instant) -> Result<Map<String, Value>>;
    async fn write(&self, path: &str, data: Map<String, Value>, deadline: Instant) -> Result<()>;
    async fn delete(&self, path: &str, deadline: Instant) -> Result<()>;
    async fn list(&self, path: &str, deadline: Instant) -> Result<Vec<String>>;
    async fn request(
        &self,
        method: Method,
        path: &str,
        body: Option<Value>,
        deadline: Instant,
    ) -> Result<Value>;
    async fn ping(&self, deadline: Instant) -> Result<()>;
}

/// Secrets of a Vault server, for one invocation. Paths begin with the mount point of an engine, such as
/// `secret/my-app`; both versions of the key-value engine are read and written the same way.
#[derive(Clone)]
pub struct Vault {
    client: Arc<dyn VaultClient>,
    deadline: Instant,
}

impl Handle for Vault {
    type Client = Arc<dyn VaultClient>;

    fn bind(client: Self::Client, ctx: &Context) -> Self {
        Self { client, deadline: ctx.deadline() }
    }
}

impl Vault {
    /// The fields of a secret: its newest version, where there are several.
    ///
    /// # Errors
    /// Not found if there is none, upstream if Vault refuses or is away, timeout if it is too slow.
    pub async fn read(&self, path: &str) -> Result<Map<String, Value>> {
        self.client.read(path, self.deadline).await
    }

    /// One field of a secret, as text.
    ///
    /// # Errors
    /// Not found if there is no such secret or field, or it is no text; else as [`Vault::read`].
    pub async fn field(&self, path: &str, field: &str) -> Result<String> {
        match self.read(path).await?.remove(field) {
            Some(Value::String(text)) => Ok(text),
            _ => Err(Error::not_found(format!("the secret at {path:?} has no text in a field {field:?}"))),
        }
    }

    /// Writes a secret with just these fields; where versions are kept, a new one.
    ///
    /// # Errors
    /// Upstream if Vault refuses or is away, timeout if it is too slow.
    pub async fn write(&self, path: &str, data: Map<String, Value>) -> Result<()> {
        self.client.write(path, data, self.deadline).await
    }

    /// Deletes a secret; where versions are kept, the newest one. It need not be there.
    ///
    /// # Errors
    /// As [`Vault::write`].
    pub async fn delete(&self, path: &str) -> Result<()> {
        self.client.delete(path, self.deadline).await
    }

    /// The names below a path; those that end with a slash have more below them.
    ///
    /// # Errors
    /// As [`Vault::read`].
    pub async fn list(&self, path: &str) -> Result<Vec<String>> {
        self.client.list(path, self.deadline).await
    }

    /// Any other request, by its path after `/v1/`, with the connection's own token. The whole answer comes back;
    /// null if it is empty.
    ///
    /// # Errors
    /// As [`Vault::read`].
    pub async fn request(&self, method: Method, path: &str, body: Option<Value>) -> Result<Value> {
        self.client.request(method, path, body, self.deadline).await
    }

    /// Asks the server whether it is there and unsealed.
    ///
    /// # Errors
    /// Upstream if not, timeout if it is too slow.
    pub async fn ping(&self) -> Result<()> {
        self.client.ping(self.deadline).await
    }
}
