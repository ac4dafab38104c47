//! Where the truth is: the `--store` flag.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, de};

use super::redis_address::RedisAddress;
use crate::definition::SEALED_TEXT;
use crate::secret::Secret;

/// Where definitions are kept. `Debug` and `Display` mask the password.
#[derive(Clone, Default)]
pub enum StoreUrl {
    /// A file in the data folder: for one node.
    #[default]
    Embedded,
    /// Redis, by its URL: for a cluster.
    Redis(Secret),
}

impl StoreUrl {
    /// Where the Redis is and how to log in; none if the store is embedded.
    pub fn redis(&self) -> Option<RedisAddress> {
        match self {
            Self::Embedded => None,
            Self::Redis(url) => RedisAddress::parse(url.reveal()).ok(),
        }
    }
}

impl FromStr for StoreUrl {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        if text == "embedded" {
            return Ok(Self::Embedded);
        }
        if !text.split_once("://").is_some_and(|(scheme, _)| SCHEMES.contains(&scheme)) {
            return Err(
                "not a store: write embedded, redis://host:port or, for TLS, rediss://host:port".into()
            );
        }
        RedisAddress::parse(text).map_err(|wrong| format!("not a store: {wrong}"))?;
        Ok(Self::Redis(Secret::new(text)))
    }
}

const SCHEMES: [&str; 4] = ["redis", "rediss", "redis+sentinel", "rediss+sentinel"];

impl fmt::Display for StoreUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self::Redis(url) = self else { return f.write_str("embedded") };
        let Some((scheme, rest)) = url.reveal().split_once("://") else { return f.write_str(SEALED_TEXT) };
        // A password may hold any character, so that everything before the last @ counts as one.
        let (credentials, rest) = rest.rsplit_once('@').map_or((None, rest), |(c, rest)| (Some(c), rest));
        write!(f, "{scheme}://")?;
        if let Some(credentials) = credentials {
            let user = credentials.split_once(':').map_or("", |(user, _)| user);
            write!(f, "{user}:{SEALED_TEXT}@")?;
        }
        f.write_str(rest.split(['?', '#']).next().unwrap_or_default())
    }
}

impl fmt::Debug for StoreUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl<'de> Deserialize<'de> for StoreUrl {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        String::deserialize(d)?.parse().map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_never_shown() {
        let cases = [
            ("embedded", "embedded"),
            ("redis://localhost:6379/2", "redis://localhost:6379/2"),
            ("redis://:hush@localhost", "redis://:(sealed)@localhost"),
            (
                "rediss+sentinel://app:hu/sh@x@r.local:6380/m/0?sentinel_password=hush#hush",
                "rediss+sentinel://app:(sealed)@r.local:6380/m/0",
            ),
        ];
        for (text, shown) in cases {
            let url: StoreUrl = text.parse().expect(text);
            assert_eq!((url.to_string(), format!("{url:?}")), (shown.into(), shown.into()));
        }
    }

    #[test]
    fn only_stores_there_are_can_be_named() {
        for text in [
            "",
            "Embedded",
            "redis",
            "redis://",
            "redis://user:hush@",
            "redis:///1",
            "http://x",
            "mysql://hush",
            "redis://host:hush",
        ] {
            let message = text.parse::<StoreUrl>().expect_err(text);
            assert!(!message.contains("hush"), "{message}");
        }
    }
}
