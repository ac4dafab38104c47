//! Caches in the memory of the one node that is not in a cluster.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};

use super::{CacheError, Caches, MAX_CACHES, MAX_ITEMS, check};
use crate::clock::Clock;

/// See the module. Clones share the caches.
#[derive(Clone, Debug)]
pub struct Memory {
    clock: Clock,
    caches: Arc<Mutex<HashMap<String, Cache>>>,
}

#[derive(Debug, Default)]
struct Cache {
    items: HashMap<String, Item>,
    /// Keys by when they were used last.
    used: BTreeMap<u64, String>,
    uses: u64,
}

#[derive(Debug)]
struct Item {
    value: Vec<u8>,
    end: Option<DateTime<Utc>>,
    used: u64,
}

impl Memory {
    /// All caches are empty.
    pub fn new(clock: Clock) -> Self {
        Self { clock, caches: Arc::default() }
    }

    fn caches(&self) -> MutexGuard<'_, HashMap<String, Cache>> {
        self.caches.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn end(&self, ttl: Option<Duration>) -> Option<DateTime<Utc>> {
        // One that is too far away to be told never comes.
        ttl.and_then(|ttl| self.clock.now().checked_add_signed(chrono::TimeDelta::from_std(ttl).ok()?))
    }
}

impl Cache {
    /// An item that has not ended; one that has is taken out.
    fn live(&mut self, key: &str, now: DateTime<Utc>) -> Option<&mut Item> {
        if self.items.get(key).is_some_and(|item| item.end.is_some_and(|end| end <= now)) {
            self.remove(key);
        }
        self.items.get_mut(key)
    }

    fn remove(&mut self, key: &str) -> bool {
        let removed = self.items.remove(key);
        removed.is_some_and(|item| self.used.remove(&item.used).is_some())
    }

    fn use_now(&mut self, key: &str) {
        self.uses += 1;
        let uses = self.uses;
        if let Some(item) = self.items.get_mut(key) {
            self.used.remove(&item.used);
            item.used = uses;
            self.used.insert(uses, key.to_owned());
        }
    }

    fn sweep(&mut self, now: DateTime<Utc>) {
        let ended = |item: &Item| item.end.is_some_and(|end| end <= now);
        let keys: Vec<_> = self.items.iter().filter(|(_, i)| ended(i)).map(|(key, _)| key.clone()).collect();
        for key in keys {
            self.remove(&key);
        }
    }

    fn make_room(&mut self, now: DateTime<Utc>) {
        if self.items.len() > MAX_ITEMS {
            self.sweep(now);
        }
        while self.items.len() > MAX_ITEMS
            && let Some((_, key)) = self.used.pop_first()
        {
            self.items.remove(&key);
        }
    }
}

#[async_trait]
impl Caches for Memory {
    async fn get(&self, cache: &str, key: &str) -> Result<Option<Vec<u8>>, CacheError> {
        check(cache, key, &[])?;
        let mut caches = self.caches();
        let Some(cache) = caches.get_mut(cache) else { return Ok(None) };
        let value = cache.live(key, self.clock.now()).map(|item| item.value.clone());
        cache.use_now(key);
        Ok(value)
    }

    async fn set(
        &self,
        cache: &str,
        key: &str,
        value: Vec<u8>,
        ttl: Option<Duration>,
    ) -> Result<(), CacheError> {
        check(cache, key, &value)?;
        let now = self.clock.now();
        let mut caches = self.caches();
        if !caches.contains_key(cache) && caches.len() >= MAX_CACHES {
            caches.retain(|_, cache| {
                cache.sweep(now);
                !cache.items.is_empty()
            });
            if caches.len() >= MAX_CACHES {
                return Err(CacheError::TooMuch(format!("there are {MAX_CACHES} caches already")));
            }
        }
        let cache = caches.entry(cache.to_owned()).or_default();
        cache.remove(key);
        cache.items.insert(key.to_owned(), Item { value, end: self.end(ttl), used: 0 });
        cache.use_now(key);
        cache.make_room(now);
        Ok(())
    }

    async fn delete(&self, cache: &str, keys: &[String]) -> Result<usize, CacheError> {
        let now = self.clock.now();
        let mut caches = self.caches();
        let Some(cache) = caches.get_mut(cache) else { return Ok(0) };
        let mut delete = |key: &&String| cache.live(key, now).is_some() && cache.remove(key);
        Ok(keys.iter().filter(|key| delete(key)).count())
    }

    async fn expire(&self, cache: &str, keys: &[String], ttl: Option<Duration>) -> Result<usize, CacheError> {
        let (now, end) = (self.clock.now(), self.end(ttl));
        let mut caches = self.caches();
        let Some(cache) = caches.get_mut(cache) else { return Ok(0) };
        let mut expire = |key: &&String| cache.live(key, now).map(|item| item.end = end).is_some();
        Ok(keys.iter().filter(|key| expire(key)).count())
    }

    async fn keys(&self, cache: &str) -> Result<Vec<String>, CacheError> {
        let mut caches = self.caches();
        let Some(cache) = caches.get_mut(cache) else { return Ok(Vec::new()) };
        cache.sweep(self.clock.now());
        let mut keys: Vec<String> = cache.items.keys().cloned().collect();
        keys.sort();
        Ok(keys)
    }

    async fn values(&self, cache: &str, keys: &[String]) -> Result<Vec<(String, Vec<u8>)>, CacheError> {
        let now = self.clock.now();
        let mut caches = self.caches();
        let Some(cache) = caches.get_mut(cache) else { return Ok(Vec::new()) };
        let mut value = |key: &String| Some((key.clone(), cache.live(key, now)?.value.clone()));
        Ok(keys.iter().filter_map(&mut value).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::super::contract;
    use super::*;

    #[tokio::test]
    async fn they_keep_the_contract() {
        contract::keeps(&Memory::new(Clock::System)).await;
    }
}
