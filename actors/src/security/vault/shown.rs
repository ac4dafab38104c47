//! What a caller shows in the headers of a request, and which of it counts.

use std::collections::BTreeMap;

use http::HeaderMap;
use sdk::{Error, HttpHead, Result};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::authority::{Method, Proof};

const TOKEN: &str = "x-zato-vault-token";
const USERNAME: &str = "x-zato-vault-username";
const PASSWORD: &str = "x-zato-vault-password";
const MOUNT: &str = "x-zato-vault-mount-point";
const GITHUB: &str = "x-zato-vault-token-github";
/// All of them.
const ALL: [&str; 5] = [TOKEN, USERNAME, PASSWORD, MOUNT, GITHUB];

/// The credentials in a request.
#[derive(Default)]
pub(super) struct Shown(BTreeMap<&'static str, String>);

/// What a service that picks the method answers.
#[derive(Deserialize, Default)]
#[serde(default)]
pub(super) struct Picked {
    /// The method; none: by the headers.
    pub(super) method: Option<Method>,
    /// Headers in place of those of the request.
    pub(super) headers: Option<BTreeMap<String, Option<String>>>,
}

impl Shown {
    /// Reads them, and the mount point only where nobody else has said it. A header that is there twice is refused:
    /// nobody knows which of them others have looked at.
    ///
    /// # Errors
    /// If one is there twice, or is no text.
    pub(super) fn read(headers: &HeaderMap, pinned: bool) -> Result<Self> {
        let mut shown = Self::default();
        for name in ALL.into_iter().filter(|name| !pinned || *name != MOUNT) {
            let mut values = headers.get_all(name).iter();
            let Some(value) = values.next() else { continue };
            let text = std::str::from_utf8(value.as_bytes()).ok().filter(|_| values.next().is_none());
            let bad = || Error::unauthenticated(format!("header {name} is there twice, or is no text"));
            shown.0.insert(name, text.ok_or_else(bad)?.trim().to_owned());
        }
        Ok(shown)
    }

    /// With what a service wants to be looked at instead.
    pub(super) fn overlay(&mut self, headers: BTreeMap<String, Option<String>>) {
        for (name, value) in headers {
            let name = name.to_ascii_lowercase().replace('_', "-");
            let name = name.strip_prefix("http-").unwrap_or(&name);
            if let Some(known) = ALL.into_iter().find(|known| *known == name) {
                match value {
                    Some(value) => self.0.insert(known, value),
                    None => self.0.remove(known),
                };
            }
        }
    }

    fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str).filter(|text| !text.is_empty())
    }

    /// What counts, by this method or else by what is there. The mount point that was read goes before `mount`.
    pub(super) fn proof<'a>(&'a self, method: Option<Method>, mount: Option<&'a str>) -> Option<Proof<'a>> {
        let by_what_is_there = || {
            let order =
                [(TOKEN, Method::Token), (USERNAME, Method::UsernamePassword), (GITHUB, Method::Github)];
            order.into_iter().find(|(name, _)| self.get(name).is_some()).map(|(_, method)| method)
        };
        let method = method.or_else(by_what_is_there)?;
        let mount = self.get(MOUNT).filter(|_| method != Method::Token).or(mount);
        let (username, secret) = match method {
            Method::Token => ("", self.get(TOKEN)?),
            Method::Github => ("", self.get(GITHUB)?),
            Method::UsernamePassword | Method::Ldap => (self.get(USERNAME)?, self.get(PASSWORD)?),
        };
        Some(Proof { method, mount, username, secret })
    }
}

/// Whether there is a user name, without which there is no password.
pub(super) fn names_somebody(headers: &HeaderMap) -> bool {
    headers.contains_key(USERNAME)
}

/// Everything by which a request says who sends it, wherever a service may look for it; none if it does not say.
pub(super) fn credentials(headers: &HeaderMap) -> Option<Vec<(&'static str, &[u8])>> {
    let header = |name: &'static str| headers.get_all(name).iter().map(move |value| (name, value.as_bytes()));
    let all: Vec<_> = ALL.into_iter().chain(["authorization"]).flat_map(header).collect();
    all.iter().any(|(name, _)| *name != MOUNT).then_some(all)
}

/// What a service is told that picks the method. The body is null: callers are checked before it is read.
pub(super) fn question(definition: &str, head: &HttpHead) -> Value {
    let mut environ = Map::new();
    environ.insert("REQUEST_METHOD".into(), head.method.as_str().into());
    environ.insert("PATH_INFO".into(), head.path().into());
    environ.insert("QUERY_STRING".into(), head.uri.query().unwrap_or_default().into());
    environ.insert("REMOTE_ADDR".into(), head.peer.ip().to_string().into());
    for (name, value) in &head.headers {
        let name = format!("HTTP_{}", name.as_str().to_ascii_uppercase().replace('-', "_"));
        environ.insert(name, String::from_utf8_lossy(value.as_bytes()).into());
    }
    json!({"sec_def": definition, "body": null, "environ": environ})
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(headers: &[(&'static str, &str)]) -> Result<Shown> {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, value.parse().expect("a value"));
        }
        Shown::read(&map, false)
    }

    fn counts(shown: &Shown, method: Option<Method>) -> Option<(Method, Option<&str>, &str, &str)> {
        shown.proof(method, None).map(|p| (p.method, p.mount, p.username, p.secret))
    }

    #[test]
    fn without_a_method_a_token_counts_then_a_password_then_github() {
        let all = [(TOKEN, "t"), (USERNAME, "u"), (PASSWORD, "p"), (GITHUB, "g")];
        let found = |skip: usize| {
            let shown = shown(&all[skip..]).expect("read");
            counts(&shown, None)
                .map(|(method, _, username, secret)| (method, username.to_owned(), secret.to_owned()))
        };
        assert_eq!(found(0), Some((Method::Token, String::new(), "t".into())));
        assert_eq!(found(1), Some((Method::UsernamePassword, "u".into(), "p".into())));
        assert_eq!(found(3), Some((Method::Github, String::new(), "g".into())));
        assert_eq!(found(4), None);
    }

    #[test]
    fn a_method_counts_whatever_else_is_there() {
        let all = [(TOKEN, "t"), (USERNAME, "u"), (PASSWORD, "p"), (GITHUB, "g"), (MOUNT, "m")];
        let all = shown(&all).expect("read");
        assert_eq!(counts(&all, Some(Method::Ldap)), Some((Method::Ldap, Some("m"), "u", "p")));
        assert_eq!(counts(&all, Some(Method::Token)), Some((Method::Token, None, "", "t")));
        let half = shown(&[(USERNAME, "u"), (TOKEN, "t")]).expect("read");
        assert_eq!(counts(&half, Some(Method::UsernamePassword)), None, "a user name alone is no proof");
        assert_eq!(counts(&half, Some(Method::Github)), None);
        let empty = shown(&[(TOKEN, ""), (USERNAME, "u"), (PASSWORD, "p")]).expect("read");
        assert_eq!(counts(&empty, None), Some((Method::UsernamePassword, None, "u", "p")));
    }

    #[test]
    fn what_is_looked_at_to_tell_guesses_apart_are_credentials_alone() {
        let of = |headers: &[(&'static str, &'static str)]| {
            let pairs = headers.iter().map(|(name, value)| {
                (http::HeaderName::from_static(name), http::HeaderValue::from_static(value))
            });
            let map: HeaderMap = pairs.collect();
            credentials(&map).map(|all| all.len())
        };
        assert_eq!(of(&[("accept", "x"), (MOUNT, "m"), ("traceparent", "1")]), None);
        assert_eq!(of(&[("accept", "x"), ("authorization", "x")]), Some(1));
        assert_eq!(of(&[(USERNAME, "u"), (PASSWORD, "p"), (MOUNT, "m"), ("accept", "x")]), Some(3));
    }

    #[test]
    fn a_mount_point_that_is_pinned_is_not_the_callers_to_choose_but_a_service_may() {
        let mut map = HeaderMap::new();
        for (name, value) in [(USERNAME, "u"), (PASSWORD, "p"), (MOUNT, "userpass")] {
            map.insert(name, http::HeaderValue::from_static(value));
        }
        let mut pinned = Shown::read(&map, true).expect("read");
        let mount = |shown: &Shown, of: Option<&'static str>| {
            shown.proof(Some(Method::Ldap), of).expect("a proof").mount.map(str::to_owned)
        };
        assert_eq!(mount(&pinned, Some("staff")).as_deref(), Some("staff"));
        assert_eq!(mount(&pinned, None), None);
        pinned.overlay([(MOUNT.to_owned(), Some("other".to_owned()))].into());
        assert_eq!(mount(&pinned, Some("staff")).as_deref(), Some("other"));
        assert_eq!(mount(&Shown::read(&map, false).expect("read"), None).as_deref(), Some("userpass"));
    }

    #[test]
    fn a_header_that_is_there_twice_is_refused() {
        for name in ALL {
            assert!(shown(&[(name, "a"), (name, "a")]).is_err(), "{name}");
        }
    }

    #[test]
    fn a_service_may_put_in_other_headers() {
        let mut all = shown(&[(TOKEN, "t")]).expect("read");
        let other = [
            ("HTTP_X_ZATO_VAULT_TOKEN", None),
            ("X-Zato-Vault-Token-GitHub", Some("g")),
            ("Other", Some("x")),
        ];
        all.overlay(other.map(|(name, value)| (name.to_owned(), value.map(str::to_owned))).into());
        assert_eq!(counts(&all, None), Some((Method::Github, None, "", "g")));
    }
}
