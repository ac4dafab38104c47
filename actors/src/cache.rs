//! The caches of the store, as services see them.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use config::cache::{CacheError, Caches};
use sdk::cache::Caching;
use sdk::{Error, ErrorKind, Result};

/// See the module.
pub(crate) struct Kept(pub(crate) Arc<dyn Caches>);

fn told(error: CacheError) -> Error {
    match &error {
        CacheError::TooMuch(_) => Error::new(ErrorKind::TooLarge, error.to_string()),
        CacheError::Away(_) => Error::unavailable(error.to_string()),
    }
}

#[async_trait]
impl Caching for Kept {
    async fn get(&self, cache: &str, key: &str) -> Result<Option<Vec<u8>>> {
        self.0.get(cache, key).await.map_err(told)
    }

    async fn set(&self, cache: &str, key: &str, value: Vec<u8>, ttl: Option<Duration>) -> Result<()> {
        self.0.set(cache, key, value, ttl).await.map_err(told)
    }

    async fn delete(&self, cache: &str, keys: &[String]) -> Result<usize> {
        self.0.delete(cache, keys).await.map_err(told)
    }

    async fn expire(&self, cache: &str, keys: &[String], ttl: Option<Duration>) -> Result<usize> {
        self.0.expire(cache, keys, ttl).await.map_err(told)
    }

    async fn keys(&self, cache: &str) -> Result<Vec<String>> {
        self.0.keys(cache).await.map_err(told)
    }

    async fn values(&self, cache: &str, keys: &[String]) -> Result<Vec<(String, Vec<u8>)>> {
        self.0.values(cache, keys).await.map_err(told)
    }
}
