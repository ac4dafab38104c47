//! One call of the admin API: what its endpoint reads path, query, headers and body with.

use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use bytes::Bytes;
use config::fault::suggest;
use config::{DefId, Family, Name, Note, Principal, Revision, Role, Span};
use http::HeaderMap;
use sdk::{Cid, Error, Result};
use serde::de::DeserializeOwned;

use super::Head;
use super::endpoint::{Deeds, Endpoint, Params};
use crate::app::App;

/// Who changes something, for the history; what the token proves is only that they may.
pub(super) const AUTHOR_HEADER: &str = "x-zeugma-author";
/// The longest that any endpoint waits.
const LONGEST_WAIT: Duration = Duration::from_secs(300);
/// The longest text of an author or a reason.
const LONGEST_NOTE: usize = 200;

/// See the module.
pub(super) struct Call {
    /// The node.
    pub(super) app: App,
    /// The correlation id.
    pub(super) cid: Cid,
    /// The headers.
    pub(super) headers: HeaderMap,
    /// The body.
    pub(super) body: Bytes,
    /// Who calls; none where no token is wanted.
    pub(super) by: Option<Principal>,
    /// Whether the history turns out to tell of what was done, so that the audit log needs no entry of its own.
    pub(super) in_history: Arc<AtomicBool>,
    endpoint: Arc<Endpoint>,
    params: Vec<(&'static str, String)>,
    query: Vec<(String, String)>,
}

impl Call {
    /// Decodes path and query.
    ///
    /// # Errors
    /// If they are not text, or the endpoint does not understand a parameter.
    pub(super) fn new(
        app: App,
        cid: Cid,
        endpoint: Arc<Endpoint>,
        by: Option<Principal>,
        params: &Params,
        head: &Head,
        body: Bytes,
    ) -> Result<Self> {
        let text = |(name, bytes): &(&'static str, Vec<u8>)| match String::from_utf8(bytes.clone()) {
            Ok(text) => Ok((*name, text)),
            Err(_) => Err(Error::invalid(format!("{name} in the path is not UTF-8"))),
        };
        let params = params.iter().map(text).collect::<Result<_>>()?;
        let query: Vec<(String, String)> =
            form_urlencoded::parse(head.query.as_bytes()).into_owned().collect();
        let known = || endpoint.query.iter().map(|param| param.name);
        if let Some((name, _)) = query.iter().find(|(name, _)| !known().any(|k| k == name)) {
            let hint = suggest(name, known()).map(|hint| format!("; {hint}")).unwrap_or_default();
            return Err(Error::invalid(format!("there is no parameter {name:?} here{hint}")));
        }
        let (headers, in_history) = (head.headers.clone(), Arc::default());
        Ok(Self { app, cid, headers, body, by, in_history, endpoint, params, query })
    }

    /// The name of the endpoint.
    pub(super) fn operation(&self) -> &'static str {
        self.endpoint.operation
    }

    /// Whether it belongs into the audit log by itself.
    ///
    /// # Errors
    /// If it depends on a parameter that is neither true nor false.
    pub(super) fn is_deed(&self) -> Result<bool> {
        match self.endpoint.deeds {
            Deeds::None => Ok(false),
            Deeds::All => Ok(true),
            Deeds::With(flag) => self.flag(flag),
        }
    }

    /// A segment of the path.
    pub(super) fn segment(&self, name: &str) -> &str {
        debug_assert!(self.endpoint.path_params().any(|p| p == name), "{name} is not in the path");
        self.params.iter().find(|(n, _)| *n == name).map(|(_, text)| text.as_str()).unwrap_or_default()
    }

    /// The definition that the path is about.
    ///
    /// # Errors
    /// If it has no such family, or the name is no name.
    pub(super) fn id(&self) -> Result<DefId> {
        let fault = |fault: config::Fault| Error::invalid(fault.message).detail(fault.at, "in the path");
        let family: Family =
            self.segment("family").parse().map_err(|f: config::Fault| Error::not_found(f.message))?;
        Ok(DefId::new(family, self.segment("name").parse::<Name>().map_err(fault)?))
    }

    /// A parameter of the query.
    ///
    /// # Errors
    /// If it is there and not what it should be.
    pub(super) fn query<T>(&self, name: &str) -> Result<Option<T>>
    where
        T: FromStr<Err: std::fmt::Display>,
    {
        debug_assert!(self.endpoint.query.iter().any(|p| p.name == name), "{name} is not described");
        let Some((_, text)) = self.query.iter().find(|(n, _)| n == name) else { return Ok(None) };
        let wrong = |error: T::Err| Error::invalid(format!("{name}={text:?} in the query: {error}"));
        text.parse().map(Some).map_err(wrong)
    }

    /// A parameter of the query that is there or not, such as `?dry_run` or `?dry_run=true`.
    ///
    /// # Errors
    /// If it is there and neither true nor false.
    pub(super) fn flag(&self, name: &str) -> Result<bool> {
        match self.query::<String>(name)?.as_deref() {
            None | Some("false" | "0") => Ok(false),
            Some("" | "true" | "1") => Ok(true),
            Some(_) => Err(Error::invalid(format!("{name} in the query is neither true nor false"))),
        }
    }

    /// A revision in the query.
    ///
    /// # Errors
    /// If it is there and no number.
    pub(super) fn revision(&self, name: &str) -> Result<Option<Revision>> {
        Ok(self.query::<u64>(name)?.map(Revision))
    }

    /// How long to wait for something, and not longer than is good for anybody.
    ///
    /// # Errors
    /// If it is no span of time.
    pub(super) fn wait(&self, name: &str, otherwise: Duration) -> Result<Duration> {
        let wait = self.query::<Span>(name)?.map_or(otherwise, Span::get);
        Ok(wait.min(LONGEST_WAIT))
    }

    /// The body as text.
    ///
    /// # Errors
    /// If it is not UTF-8.
    pub(super) fn text(&self) -> Result<String> {
        String::from_utf8(self.body.to_vec()).map_err(|_| Error::invalid("the body is not UTF-8"))
    }

    /// The body as JSON of this shape.
    ///
    /// # Errors
    /// If it is something else, with line and column.
    pub(super) fn json<T: DeserializeOwned>(&self) -> Result<T> {
        serde_json::from_slice(&self.body).map_err(|error| {
            Error::invalid("the body is not what is expected here").detail("", error.to_string())
        })
    }

    /// What the caller may do.
    pub(super) fn role(&self) -> Role {
        self.by.as_ref().map_or(Role::Viewer, |by| by.role)
    }

    /// Who changes something, and why.
    ///
    /// # Errors
    /// If the reason is not text.
    pub(super) fn note(&self) -> Result<Note> {
        let author =
            self.headers.get(AUTHOR_HEADER).map(|value| clean(&String::from_utf8_lossy(value.as_bytes())));
        let author = author
            .filter(|author| !author.is_empty())
            .unwrap_or_else(|| self.by.as_ref().map_or_else(|| "somebody".into(), |by| by.token.clone()));
        // Not every endpoint asks why.
        let reason = self.query.iter().find(|(name, _)| name == "reason").map(|(_, reason)| clean(reason));
        let reason = reason.filter(|reason| !reason.is_empty());
        Ok(Note { author, by: self.by.clone(), reason, address: None })
    }
}

/// What is kept of a text for the history: it is shown in lists and logs.
fn clean(text: &str) -> String {
    let printable: String = text.chars().filter(|c| !c.is_control()).take(LONGEST_NOTE).collect();
    printable.trim().to_owned()
}
