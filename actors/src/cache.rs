//! The caches of the store, as services see them: those that are compiled in, and those that call from elsewhere.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use config::cache::{CacheError, Caches};
use sdk::cache::Caching;
use sdk::{Bytes, Context, Error, ErrorKind, Result};
use serde::Deserialize;
use serde_json::{Value, json};

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

/// What a call about a cache names; each verb needs some of it.
#[derive(Deserialize)]
struct Named {
    /// One item.
    #[serde(default)]
    key: String,
    /// Several.
    #[serde(default)]
    keys: Vec<String>,
    /// When it is to end, in seconds; none: not by itself.
    #[serde(default)]
    ttl: Option<f64>,
}

/// Does what a service asks of a cache that cannot ask for itself: get, set, delete, expire, keys, values. Items are texts of
/// JSON. Answers what there is to say, and an item.
///
/// # Errors
/// If it is asked in a way that is not understood; what the cache says.
pub(crate) async fn ask(
    ctx: &Context,
    cache: &str,
    verb: &str,
    named: Value,
    item: Bytes,
) -> Result<(Value, Bytes)> {
    let wrong = |e: serde_json::Error| Error::invalid(format!("this is nothing to ask of a cache: {e}"));
    let Named { key, keys, ttl } = serde_json::from_value(named).map_err(wrong)?;
    let ttl = match ttl {
        None => None,
        Some(seconds) => Some(
            Duration::try_from_secs_f64(seconds)
                .map_err(|_| Error::invalid(format!("an item of a cache cannot end in {seconds} seconds")))?,
        ),
    };
    let cache = ctx.cache(cache)?;
    let result = match verb {
        "get" => {
            let item = cache.get_bytes(&key).await?;
            return Ok((json!({ "found": item.is_some() }), item.unwrap_or_default().into()));
        }
        "set" => {
            cache.set_bytes(&key, item.to_vec(), ttl).await?;
            Value::Null
        }
        "delete" => cache.delete_all(&keys).await?.into(),
        "expire" => cache.expire_all(&keys, ttl).await?.into(),
        "keys" => cache.keys(&sdk::cache::Which::All).await?.into(),
        "values" => {
            let items = cache.get_all(&keys).await?;
            let text = |(key, item): (String, Vec<u8>)| json!([key, String::from_utf8_lossy(&item)]);
            Value::Array(items.into_iter().map(text).collect())
        }
        _ => return Err(Error::invalid(format!("a cache has no {verb:?}"))),
    };
    Ok((json!({ "result": result }), Bytes::new()))
}

#[cfg(test)]
mod tests {
    use config::Clock;
    use sdk::task::Tasks;
    use sdk::{ChannelInfo, Cid};
    use tokio::time::Instant;

    use super::*;
    use crate::snapshot::Live;

    #[tokio::test]
    async fn what_is_asked_from_elsewhere_is_done_and_what_is_not_understood_refused() {
        let live = Live::new(Tasks::default(), Clock::System);
        let (channel, end) = (ChannelInfo::new("test", "test"), Instant::now() + Duration::from_secs(30));
        let ctx = Context::new(Cid::new(), None, channel, end, "test".into(), live.now());
        let ask = async |verb: &str, named: Value, item: &str| {
            let answer = ask(&ctx, "default", verb, named, item.to_owned().into()).await;
            answer.map(|(told, item)| (told, String::from_utf8(item.to_vec()).expect("text")))
        };
        let good = async |verb: &str, named, item: &str| ask(verb, named, item).await.expect("it is done");
        assert_eq!(good("get", json!({"key": "a"}), "").await.0, json!({"found": false}));
        good("set", json!({"key": "a", "ttl": null}), "[1]").await;
        good("set", json!({"key": "b", "ttl": 60.5}), "2").await;
        assert_eq!(good("get", json!({"key": "a"}), "").await, (json!({"found": true}), "[1]".to_owned()));
        assert_eq!(good("keys", json!({}), "").await.0, json!({"result": ["a", "b"]}));
        let values = good("values", json!({"keys": ["b", "x"]}), "").await.0;
        assert_eq!(values, json!({"result": [["b", "2"]]}));
        assert_eq!(good("expire", json!({"keys": ["a", "x"], "ttl": 9}), "").await.0, json!({"result": 1}));
        assert_eq!(good("delete", json!({"keys": ["a", "x"]}), "").await.0, json!({"result": 1}));
        for (verb, named) in [
            ("burn", json!({})),
            ("get", json!({"key": 1})),
            ("set", json!({"key": "a", "ttl": -1})),
            ("set", json!({"key": ""})),
        ] {
            assert!(ask(verb, named.clone(), "").await.is_err(), "{verb} {named}");
        }
    }
}
