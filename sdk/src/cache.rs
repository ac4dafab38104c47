//! Caches: what services remember for a while, by key, on all nodes alike.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::{Error, Result};

/// The name of the cache that is meant if nobody says which.
pub const DEFAULT: &str = "default";

/// What keeps the caches: the seam to the engine.
#[async_trait]
pub trait Caching: Send + Sync + 'static {
    /// An item, if it is there.
    async fn get(&self, cache: &str, key: &str) -> Result<Option<Vec<u8>>>;
    /// Puts an item in.
    async fn set(&self, cache: &str, key: &str, value: Vec<u8>, ttl: Option<Duration>) -> Result<()>;
    /// Takes items out; how many were there.
    async fn delete(&self, cache: &str, keys: &[String]) -> Result<usize>;
    /// Lets items end when `ttl` is over, or not by themselves; how many were there.
    async fn expire(&self, cache: &str, keys: &[String], ttl: Option<Duration>) -> Result<usize>;
    /// The keys of all items, sorted.
    async fn keys(&self, cache: &str) -> Result<Vec<String>>;
    /// Those of these items that are there.
    async fn values(&self, cache: &str, keys: &[String]) -> Result<Vec<(String, Vec<u8>)>>;
}

/// Which items of a cache.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Which {
    /// All of them.
    All,
    /// Those whose key begins so.
    Prefix(String),
    /// Those whose key ends so.
    Suffix(String),
    /// Those whose key holds all of these.
    ContainsAll(Vec<String>),
    /// Those whose key holds any of these.
    ContainsAny(Vec<String>),
    /// Those whose key does not hold this.
    NotContains(String),
}

impl Which {
    /// Whether an item of this key is meant.
    pub fn matches(&self, key: &str) -> bool {
        match self {
            Self::All => true,
            Self::Prefix(text) => key.starts_with(text.as_str()),
            Self::Suffix(text) => key.ends_with(text.as_str()),
            Self::ContainsAll(texts) => texts.iter().all(|text| key.contains(text.as_str())),
            Self::ContainsAny(texts) => texts.iter().any(|text| key.contains(text.as_str())),
            Self::NotContains(text) => !key.contains(text.as_str()),
        }
    }
}

/// One cache of the cluster: 10,000 items of 100 kB at most. What was used longest ago makes room.
#[derive(Clone)]
pub struct Cache {
    caching: Arc<dyn Caching>,
    name: Arc<str>,
}

impl Cache {
    /// The cache of this name.
    pub fn new(caching: Arc<dyn Caching>, name: &str) -> Self {
        Self { caching, name: name.into() }
    }

    /// An item, if it is there.
    ///
    /// # Errors
    /// If it is no JSON of this shape; unavailable.
    pub async fn get<T: DeserializeOwned>(&self, key: &str) -> Result<Option<T>> {
        let Some(bytes) = self.get_bytes(key).await? else { return Ok(None) };
        let read = serde_json::from_slice(&bytes);
        read.map(Some)
            .map_err(|e| Error::internal(format!("what is cached as {key:?} is of another shape: {e}")))
    }

    /// Puts an item in as JSON, until `ttl` is over; none: until there is no room for it any more.
    ///
    /// # Errors
    /// If it is too long; unavailable.
    pub async fn set<T: Serialize + Sync>(&self, key: &str, value: &T, ttl: Option<Duration>) -> Result<()> {
        self.set_bytes(key, serde_json::to_vec(value)?, ttl).await
    }

    /// An item just as it was put in, if it is there.
    ///
    /// # Errors
    /// Unavailable.
    pub async fn get_bytes(&self, key: &str) -> Result<Option<Vec<u8>>> {
        self.caching.get(&self.name, key).await
    }

    /// Puts bytes in; see [`Self::set`].
    ///
    /// # Errors
    /// If they are too many; unavailable.
    pub async fn set_bytes(&self, key: &str, value: Vec<u8>, ttl: Option<Duration>) -> Result<()> {
        self.caching.set(&self.name, key, value, ttl).await
    }

    /// Takes an item out; whether it was there.
    ///
    /// # Errors
    /// Unavailable.
    pub async fn delete(&self, key: &str) -> Result<bool> {
        Ok(self.caching.delete(&self.name, &[key.to_owned()]).await? > 0)
    }

    /// Lets an item end when `ttl` is over, or not by itself; whether it was there.
    ///
    /// # Errors
    /// Unavailable.
    pub async fn expire(&self, key: &str, ttl: Option<Duration>) -> Result<bool> {
        Ok(self.caching.expire(&self.name, &[key.to_owned()], ttl).await? > 0)
    }

    /// The keys of these items, sorted.
    ///
    /// # Errors
    /// Unavailable.
    pub async fn keys(&self, which: &Which) -> Result<Vec<String>> {
        let mut keys = self.caching.keys(&self.name).await?;
        keys.retain(|key| which.matches(key));
        Ok(keys)
    }

    /// Those of the items of these keys that are there, as they were put in.
    ///
    /// # Errors
    /// Unavailable.
    pub async fn get_all(&self, keys: &[String]) -> Result<Vec<(String, Vec<u8>)>> {
        self.caching.values(&self.name, keys).await
    }

    /// Takes the items of these keys out; how many were there.
    ///
    /// # Errors
    /// Unavailable.
    pub async fn delete_all(&self, keys: &[String]) -> Result<usize> {
        self.caching.delete(&self.name, keys).await
    }

    /// Lets the items of these keys end when `ttl` is over, or not by themselves; how many were there.
    ///
    /// # Errors
    /// Unavailable.
    pub async fn expire_all(&self, keys: &[String], ttl: Option<Duration>) -> Result<usize> {
        self.caching.expire(&self.name, keys, ttl).await
    }

    /// These items, by key.
    ///
    /// # Errors
    /// Unavailable.
    pub async fn items(&self, which: &Which) -> Result<Vec<(String, Vec<u8>)>> {
        let keys = self.keys(which).await?;
        self.caching.values(&self.name, &keys).await
    }

    /// Takes these items out; how many there were.
    ///
    /// # Errors
    /// Unavailable.
    pub async fn delete_these(&self, which: &Which) -> Result<usize> {
        let keys = self.keys(which).await?;
        self.caching.delete(&self.name, &keys).await
    }

    /// Lets these items end when `ttl` is over, or not by themselves; how many there were.
    ///
    /// # Errors
    /// Unavailable.
    pub async fn expire_these(&self, which: &Which, ttl: Option<Duration>) -> Result<usize> {
        let keys = self.keys(which).await?;
        self.caching.expire(&self.name, &keys, ttl).await
    }
}

impl std::fmt::Debug for Cache {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Cache({:?})", self.name)
    }
}
