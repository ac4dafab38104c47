//! Caches of a cluster: what services remember for a while, by key. Every node sees the same; nothing in them is ever
//! the truth, and each is bounded: what was used longest ago makes room.

mod memory;

use std::time::Duration;

use async_trait::async_trait;

pub use self::memory::Memory;

use crate::store::StoreError;

/// How many items a cache holds.
pub const MAX_ITEMS: usize = 10_000;
/// How long an item may be, in bytes.
pub const MAX_VALUE: usize = 100_000;
/// How long a key may be, in bytes.
pub const MAX_KEY: usize = 1_000;
/// How many caches a cluster has.
pub const MAX_CACHES: usize = 32;

/// Why a cache does not do what it was asked.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum CacheError {
    /// A key or an item is too long, or there are too many caches.
    #[error("{0}")]
    TooMuch(String),
    /// The place where it is kept does not answer.
    #[error("the cache is not available: {0}")]
    Away(String),
}

impl From<StoreError> for CacheError {
    fn from(error: StoreError) -> Self {
        Self::Away(error.to_string())
    }
}

/// Where caches are kept. Each has a name; one that is not there is empty. Time is that of the place.
#[async_trait]
pub trait Caches: Send + Sync + 'static {
    /// An item, if it is there. It counts as used now.
    async fn get(&self, cache: &str, key: &str) -> Result<Option<Vec<u8>>, CacheError>;

    /// Puts an item in, until `ttl` is over or, without one, until there is no room for it any more.
    async fn set(
        &self,
        cache: &str,
        key: &str,
        value: Vec<u8>,
        ttl: Option<Duration>,
    ) -> Result<(), CacheError>;

    /// Takes items out; how many were there.
    async fn delete(&self, cache: &str, keys: &[String]) -> Result<usize, CacheError>;

    /// Lets items end when `ttl` is over, or not by themselves; how many were there.
    async fn expire(&self, cache: &str, keys: &[String], ttl: Option<Duration>) -> Result<usize, CacheError>;

    /// The keys of all items, sorted.
    async fn keys(&self, cache: &str) -> Result<Vec<String>, CacheError>;

    /// Those of these items that are there, without counting them as used.
    async fn values(&self, cache: &str, keys: &[String]) -> Result<Vec<(String, Vec<u8>)>, CacheError>;
}

/// Refuses what no cache takes.
pub(crate) fn check(cache: &str, key: &str, value: &[u8]) -> Result<(), CacheError> {
    let refuse = |what: String| Err(CacheError::TooMuch(what));
    if cache.is_empty() || cache.len() > crate::name::MAX_NAME || cache.contains(':') {
        return refuse("the name of a cache is a short text without a colon".into());
    }
    if key.is_empty() || key.len() > MAX_KEY {
        return refuse(format!("a key has from 1 to {MAX_KEY} bytes, and this one has {}", key.len()));
    }
    if value.len() > MAX_VALUE {
        return refuse(format!("an item has at most {MAX_VALUE} bytes, and this one has {}", value.len()));
    }
    Ok(())
}

#[cfg(test)]
pub(crate) mod contract {
    //! The contract that all caches keep, as a test.

    use tokio::time::{Instant, sleep};

    use super::*;

    const LONG: Duration = Duration::from_secs(60);

    pub(crate) async fn keeps(caches: &dyn Caches) {
        let set = async |key: &str, ttl| caches.set("c", key, key.into(), ttl).await.expect("set");
        let get = async |key: &str| caches.get("c", key).await.expect("answers");
        let keys = async || caches.keys("c").await.expect("answers");
        let all = |keys: &[&str]| keys.iter().map(ToString::to_string).collect::<Vec<_>>();

        assert_eq!(get("a").await, None);
        set("b", None).await;
        set("a", Some(LONG)).await;
        assert_eq!(get("a").await, Some(b"a".to_vec()));
        assert_eq!(keys().await, ["a", "b"]);
        assert_eq!(caches.keys("other").await.expect("answers"), Vec::<String>::new());
        caches.set("c", "a", b"new".to_vec(), None).await.expect("set");
        assert_eq!(get("a").await, Some(b"new".to_vec()));
        let values = caches.values("c", &all(&["b", "gone", "a"])).await.expect("answers");
        assert_eq!(values, [("b".to_owned(), b"b".to_vec()), ("a".to_owned(), b"new".to_vec())]);

        // Items end by themselves, and not before.
        let short = Duration::from_millis(80);
        let begin = Instant::now();
        set("short", Some(short)).await;
        assert_eq!(caches.expire("c", &all(&["b", "gone"]), Some(short)).await.expect("answers"), 1);
        set("kept", Some(short)).await;
        assert_eq!(caches.expire("c", &all(&["kept"]), None).await.expect("answers"), 1);
        while get("short").await.is_some() || get("b").await.is_some() {
            assert!(begin.elapsed() < LONG, "they never end");
            sleep(Duration::from_millis(2)).await;
        }
        assert!(begin.elapsed() >= short);
        assert_eq!(keys().await, ["a", "kept"]);

        assert_eq!(caches.delete("c", &all(&["a", "gone", "short"])).await.expect("answers"), 1);
        assert_eq!((keys().await, get("a").await), (all(&["kept"]), None));

        // What was used longest ago makes room.
        for n in 0..MAX_ITEMS - 1 {
            set(&format!("n{n}"), None).await;
        }
        assert_eq!(keys().await.len(), MAX_ITEMS);
        assert!(get("kept").await.is_some());
        set("one more", None).await;
        assert_eq!(keys().await.len(), MAX_ITEMS);
        assert_eq!((get("n0").await, get("kept").await.is_some()), (None, true));

        for (cache, key, length) in
            [("c", "", 0), ("c", "long", MAX_VALUE + 1), ("", "k", 0), ("a:b", "k", 0)]
        {
            let refused = caches.set(cache, key, vec![0; length], None).await;
            assert!(matches!(refused, Err(CacheError::TooMuch(_))), "{cache} {key}: {refused:?}");
        }
        for n in 1..MAX_CACHES {
            caches.set(&format!("cache {n}"), "k", Vec::new(), None).await.expect("set");
        }
        let refused = caches.set("one more", "k", Vec::new(), None).await;
        assert!(matches!(refused, Err(CacheError::TooMuch(_))), "{refused:?}");
        // One that is empty makes room for another.
        assert_eq!(caches.delete("cache 1", &all(&["k"])).await.expect("answers"), 1);
        caches.set("one more", "k", Vec::new(), None).await.expect("set");
    }
}
