//! An API key: a secret that travels in a header of its own, or in the query.

use std::hash::Hasher;
use std::sync::Arc;

use async_trait::async_trait;
use config::definition::SEALED_TEXT;
use config::{Fault, Secret};
use http::{HeaderName, HeaderValue};
use schemars::JsonSchema;
use sdk::{Caller, Error, HttpHead, Result, Security};
use serde::{Deserialize, Serialize};

use super::fingerprint::Fingerprint;
use super::fixed::{FixedHeader, FixedParam};
use crate::admission::Rate;
use crate::admission::metered::{Of, metered};
use crate::kind::{Kind, Start};
use crate::part::{CHECK_CALLERS, Credentials, Guard, LOG_IN, Part};

/// The header, unless another place is given.
const DEFAULT_HEADER: HeaderName = HeaderName::from_static("x-api-key");

/// A key that callers of a channel must show, and that connections show to others.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Params {
    /// The header that carries the key. Default: `X-API-Key`, unless `query` is given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    header: Option<String>,
    /// The parameter of the query that carries the key, instead of a header. URLs are written to many logs: prefer a
    /// header where the other side leaves the choice.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    query: Option<String>,
    /// The key.
    key: Secret,
    /// The name under which services see a caller who has shown the key. Default: the name of this definition.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    username: Option<String>,
    /// The roles of a caller who has shown the key.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    roles: Vec<String>,
    /// How often callers may call, by all channels that use this definition together; left out: as often as they like. One
    /// more is answered 429.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    rate: Option<Rate<Of>>,
}

/// See the module.
pub struct ApiKey;

#[async_trait]
impl Kind for ApiKey {
    const TAG: &'static str = "security.api-key";
    type Params = Params;

    fn example() -> Params {
        Params {
            header: Some("X-API-Key".into()),
            query: None,
            key: Secret::new("a-long-random-text"),
            username: Some("partner".into()),
            roles: Vec::new(),
            rate: None,
        }
    }

    fn check(params: &Params) -> Vec<Fault> {
        let mut faults = Vec::new();
        match (&params.header, &params.query) {
            (Some(_), Some(_)) => {
                faults.push(Fault::new("query", "give either `header` or `query`, not both"));
            }
            (Some(header), None) if header.parse::<HeaderName>().is_err() => {
                faults.push(Fault::new("header", format!("{header:?} cannot be the name of a header")));
            }
            (None, Some(query)) if query.is_empty() => {
                faults.push(Fault::new("query", "a parameter needs a name"));
            }
            _ => {}
        }
        let key = params.key.reveal();
        let fits = !key.is_empty() && (params.query.is_some() || HeaderValue::from_str(key).is_ok());
        if !fits && key != SEALED_TEXT {
            faults
                .push(Fault::new("key", "a key is not empty, and what a header carries is one line of text"));
        }
        faults.extend(params.rate.iter().flat_map(Rate::check));
        faults
    }

    fn offers(_: &Params) -> Option<Vec<&'static str>> {
        Some(vec![CHECK_CALLERS, LOG_IN])
    }

    async fn start(params: Params, start: Start) -> Result<Part> {
        let place = match &params.query {
            Some(query) => Place::Query(query.clone()),
            None => Place::Header(match &params.header {
                Some(header) => header.parse()?,
                None => DEFAULT_HEADER,
            }),
        };
        let outgoing: Arc<dyn Credentials> = match &place {
            Place::Header(name) => Arc::new(FixedHeader::new(name.clone(), params.key.reveal())?),
            Place::Query(name) => Arc::new(FixedParam { name: name.clone(), value: params.key.clone() }),
        };
        let incoming = Check {
            place,
            key: Fingerprint::of(params.key.reveal().as_bytes())?,
            username: params.username.unwrap_or_else(|| start.id.name.to_string()),
            security: start.id.name.to_string(),
            roles: params.roles,
        };
        Ok(Part::Security(Guard {
            incoming: Some(metered(Arc::new(incoming), params.rate.as_ref(), &start)),
            outgoing: Some(outgoing),
            ..Guard::default()
        }))
    }
}

/// Where the key is.
enum Place {
    Header(HeaderName),
    Query(String),
}

/// Checks callers.
struct Check {
    place: Place,
    key: Fingerprint,
    username: String,
    security: String,
    roles: Vec<String>,
}

impl Check {
    fn wrong(&self) -> Error {
        let place = match &self.place {
            Place::Header(name) => format!("header {name}"),
            Place::Query(name) => format!("parameter {name:?}"),
        };
        Error::unauthenticated(format!("{place} does not hold a key that is known"))
    }
}

#[async_trait]
impl Security for Check {
    fn guess(&self, head: &HttpHead) -> Option<Error> {
        let shown = match &self.place {
            Place::Header(name) => head.headers.contains_key(name),
            Place::Query(name) => head.query().any(|(n, _)| n == *name),
        };
        shown.then(|| self.wrong())
    }

    fn fingerprint(&self, head: &HttpHead, into: &mut dyn Hasher) -> bool {
        let mut shown = 0_usize;
        let mut add = |value: &[u8]| {
            into.write(value);
            into.write_usize(value.len());
            shown += 1;
        };
        match &self.place {
            Place::Header(name) => head.headers.get_all(name).iter().for_each(|value| add(value.as_bytes())),
            Place::Query(name) => {
                head.query().filter(|(n, _)| n == name).for_each(|(_, value)| add(value.as_bytes()));
            }
        }
        shown > 0
    }

    async fn check(&self, head: &HttpHead) -> Result<Caller> {
        // A key that is there twice is refused: nobody knows which of them others have looked at.
        let right = match &self.place {
            Place::Header(name) => {
                let mut values = head.headers.get_all(name).iter();
                let found = (values.next(), values.next());
                matches!(found, (Some(value), None) if self.key.matches(value.as_bytes()))
            }
            Place::Query(name) => {
                let mut values = head.query().filter(|(n, _)| n == name).map(|(_, value)| value);
                let found = (values.next(), values.next());
                matches!(found, (Some(value), None) if self.key.matches(value.as_bytes()))
            }
        };
        match right {
            true => Ok(Caller::vouch(&self.username, &self.security, self.roles.clone())),
            false => Err(self.wrong()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn params(header: Option<&str>, query: Option<&str>, key: &str) -> Params {
        let (header, query) = (header.map(Into::into), query.map(Into::into));
        Params { header, query, key: Secret::new(key), username: None, roles: Vec::new(), rate: None }
    }

    fn head(uri: &str, headers: &[(&str, &str)]) -> HttpHead {
        let mut head = HttpHead {
            method: http::Method::GET,
            uri: uri.parse().expect("a URI"),
            headers: http::HeaderMap::new(),
            peer: ([127, 0, 0, 1], 1).into(),
            certificates: None,
            params: Vec::new(),
        };
        for (name, value) in headers {
            let (name, value): (HeaderName, _) =
                (name.parse().expect("a name"), value.parse().expect("a value"));
            head.headers.append(name, value);
        }
        head
    }

    fn check(place: Place) -> Check {
        let key = Fingerprint::of(b"k3y&").expect("random numbers");
        Check { place, key, username: "partner".into(), security: "sec".into(), roles: Vec::new() }
    }

    #[test]
    fn one_place_and_a_key_that_fits_it() {
        for fine in [
            params(None, None, "k3y"),
            params(Some("X-Key"), None, "k3y"),
            params(None, Some("key"), "schlüssel\n"),
            params(None, None, SEALED_TEXT),
        ] {
            assert_eq!(ApiKey::check(&fine), []);
        }
        for (wrong, at) in [
            (params(Some("X-Key"), Some("key"), "k3y"), "query"),
            (params(Some("X Key"), None, "k3y"), "header"),
            (params(None, None, ""), "key"),
            (params(None, None, "two\nlines"), "key"),
        ] {
            assert_eq!(ApiKey::check(&wrong)[0].at, at);
        }
    }

    #[tokio::test]
    async fn the_key_is_known_in_its_place_only() {
        let by_header = check(Place::Header(DEFAULT_HEADER));
        let caller = by_header.check(&head("/", &[("X-API-Key", "k3y&")])).await.expect("known");
        assert_eq!((caller.name(), caller.security()), ("partner", "sec"));
        for wrong in [
            head("/", &[]),
            head("/", &[("X-API-Key", "other")]),
            head("/", &[("X-API-Key", "k3y&"), ("X-API-Key", "k3y&")]),
            head("/?X-API-Key=k3y%26", &[]),
        ] {
            let error = by_header.check(&wrong).await.expect_err("unknown");
            assert_eq!(error.kind(), sdk::ErrorKind::Unauthenticated);
            assert!(!error.to_string().contains("k3y"), "{error}");
        }
        let by_query = check(Place::Query("key".into()));
        assert!(by_query.check(&head("/?a=b&key=k3y%26", &[])).await.is_ok());
        assert!(by_query.check(&head("/?key=k3y%26&key=k3y%26", &[])).await.is_err());
    }
}
