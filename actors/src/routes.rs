//! Routes: from host, path, method and Accept to a channel. Changed with each change, read by every request.

mod path;
mod shard;

use std::collections::BTreeMap;
use std::sync::Arc;

use config::{Fault, Name};
use http::header::{ACCEPT, ALLOW, HOST};
use http::{HeaderMap, HeaderValue, Method, Uri};
use sdk::{Error, ErrorKind};

use self::shard::{Edit, Paths};
use crate::engine::Route;

/// Where a channel is mounted.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Mount {
    /// The `Host` it answers to, in lower case and without a port; none: any.
    pub host: Option<String>,
    /// The verb; none: any.
    pub method: Option<Method>,
    /// The path, with the names of its parameters replaced by their number, so that two paths that differ in nothing
    /// else are seen to be the same.
    pattern: String,
    /// The names of the path parameters, in order.
    names: Arc<[Arc<str>]>,
    /// The media type that the caller must accept; none: any.
    pub accept: Option<mime::Mime>,
}

impl Mount {
    /// Reads a path such as `/customer/{id}` or `/files/{*rest}`.
    ///
    /// # Errors
    /// If it does not begin with a slash, or its parameters are not written like that.
    pub fn parse(
        host: Option<&str>,
        method: Option<Method>,
        path: &str,
        accept: Option<mime::Mime>,
    ) -> Result<Self, Fault> {
        let fault =
            |message: String| Fault::new("path", message).hint("such as /customer/{id} or /files/{*rest}");
        if !path.starts_with('/') || path.contains(['?', '#']) || path.chars().any(char::is_whitespace) {
            return Err(fault(format!("{path:?} is not a path")));
        }
        let mut pattern = String::with_capacity(path.len());
        let mut names: Vec<Arc<str>> = Vec::new();
        let mut rest = path;
        while let Some(open) = rest.find('{') {
            let Some(close) = rest[open..].find('}').map(|i| open + i) else {
                return Err(fault(format!("{path:?} has a brace that is not closed")));
            };
            let name = &rest[open + 1..close];
            let (star, name) = name.strip_prefix('*').map_or(("", name), |name| ("*", name));
            let plain = |c: char| c.is_alphanumeric() || c == '_' || c == '-';
            if name.is_empty() || !name.chars().all(plain) || names.iter().any(|n| **n == *name) {
                return Err(fault(format!("{path:?}: the parameter {name:?} is not a name, or comes twice")));
            }
            pattern.push_str(&path::canonical(&rest[..open]));
            pattern.push_str(&format!("{{{star}p{}}}", names.len()));
            names.push(name.into());
            rest = &rest[close + 1..];
        }
        pattern.push_str(&path::canonical(rest));
        let mount = Self { host: host.map(str::to_lowercase), method, pattern, names: names.into(), accept };
        // A router of its own shows what is wrong with the path alone.
        match matchit::Router::new().insert(mount.pattern.clone(), ()) {
            Ok(()) => Ok(mount),
            Err(error) => Err(fault(format!("{path:?}: {error}"))),
        }
    }

    /// What the mount holds alone, in words.
    pub fn claim(&self) -> String {
        let method = self.method.as_ref().map_or("any method", Method::as_str);
        let mut claim =
            format!("route {method} {}{}", self.host.as_deref().unwrap_or_default(), self.pattern);
        if let Some(accept) = &self.accept {
            claim.push_str(&format!(" accepting {accept}"));
        }
        claim
    }

    /// The names of the path parameters.
    pub fn names(&self) -> &[Arc<str>] {
        &self.names
    }

    /// Host and pattern of a claim.
    pub(crate) fn place_of_claim(claim: &str) -> Option<(&str, &str)> {
        let place = text_of_place(claim)?;
        Some(place.split_at(place.find('/')?))
    }

    /// The part of a claim that says which others it can conflict with: the host, and what the path begins with.
    pub(crate) fn scope_of_claim(claim: &str) -> Option<&str> {
        let place = text_of_place(claim)?;
        let (host, pattern) = place.split_at(place.find('/')?);
        Some(&place[..host.len() + shard::key(pattern).len()])
    }
}

/// Host and pattern as [`Mount::claim`] has written them.
fn text_of_place(claim: &str) -> Option<&str> {
    let place = claim.strip_prefix("route ")?;
    let place = place.strip_prefix("any method ").or_else(|| place.split_once(' ').map(|(_, p)| p))?;
    Some(place.split_once(" accepting ").map_or(place, |(place, _)| place))
}

/// See the module.
#[derive(Clone, Default)]
pub struct Routes {
    any_host: Paths,
    hosts: imbl::HashMap<String, Paths>,
}

/// What is at the place that a request asks for.
pub enum Found<'r> {
    /// A channel for it.
    Route(Matched<'r>),
    /// Channels, none of which answers `OPTIONS` itself.
    Options {
        /// The verbs that they answer.
        allow: String,
    },
}

/// The channel of a request.
pub struct Matched<'r> {
    /// The channel and what it is bound to.
    pub route: &'r Arc<Route>,
    /// The path parameters, decoded.
    pub params: Vec<(Arc<str>, String)>,
}

impl Routes {
    /// The same without those of some channels, which are named with where they were mounted, and with others.
    pub fn changed<'a>(
        &self,
        gone: impl IntoIterator<Item = (&'a Name, &'a Mount)>,
        new: &'a [Arc<Route>],
    ) -> Self {
        let mut edits: BTreeMap<(Option<&str>, &str), Edit<'_>> = BTreeMap::new();
        let place = |mount: &'a Mount| (mount.host.as_deref(), shard::key(&mount.pattern));
        for (name, mount) in gone {
            edits.entry(place(mount)).or_default().gone.insert(name);
        }
        for route in new {
            edits.entry(place(route.channel.mount())).or_default().new.push(route);
        }
        let mut changed = self.clone();
        for ((host, key), edit) in edits {
            let Some(host) = host else {
                changed.any_host.edit(key, edit);
                continue;
            };
            let mut paths = changed.hosts.remove(host).unwrap_or_default();
            paths.edit(key, edit);
            if paths.len() > 0 {
                changed.hosts.insert(host.to_owned(), paths);
            }
        }
        changed
    }

    fn all(&self) -> impl Iterator<Item = &Paths> {
        self.hosts.values().chain([&self.any_host])
    }

    /// The channels whose routes could not be entered, with the reason; the others are there.
    pub fn refused(&self) -> impl Iterator<Item = &(Name, String)> {
        self.all().flat_map(Paths::refused)
    }

    /// How many routes there are.
    pub fn len(&self) -> usize {
        self.all().map(Paths::len).sum()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The channel for a request. A host of its own beats any host; a literal path segment beats a parameter; a verb
    /// of its own beats any; `HEAD` falls back to `GET`.
    ///
    /// # Errors
    /// Not found; method not allowed, with the header Allow; not acceptable.
    pub fn find(&self, method: &Method, uri: &Uri, headers: &HeaderMap) -> Result<Found<'_>, Error> {
        let of_host =
            if self.hosts.is_empty() { None } else { host(uri, headers).and_then(|h| self.hosts.get(&*h)) };
        let path = &*path::canonical(uri.path());
        let found = of_host.and_then(|paths| paths.at(path)).or_else(|| self.any_host.at(path));
        let Some(found) = found else {
            return Err(Error::not_found("no channel is mounted at this path"));
        };
        let shared: &[Arc<Route>] = found.value;
        let route = match choose(shared, method, headers)? {
            Some(route) => route,
            None if *method == Method::OPTIONS => return Ok(Found::Options { allow: allow(shared) }),
            None => return Err(not_allowed(method, shared)),
        };
        let names = &route.channel.mount().names;
        let params = if names.is_empty() {
            Vec::new()
        } else {
            names.iter().cloned().zip(found.params.iter().map(|(_, value)| decode(value))).collect()
        };
        Ok(Found::Route(Matched { route, params }))
    }
}

/// The first of these that answers the verb and whose media type the caller accepts; none if no one has the verb.
fn choose<'r>(
    shared: &'r [Arc<Route>],
    method: &Method,
    headers: &HeaderMap,
) -> Result<Option<&'r Arc<Route>>, Error> {
    let has = |route: &Arc<Route>, verb: &Method| match &route.channel.mount().method {
        Some(own) => own == verb,
        // OPTIONS is answered for the path as a whole, unless a channel names it.
        None => *verb != Method::OPTIONS,
    };
    let own = |verb: Method| shared.iter().any(|route| route.channel.mount().method == Some(verb.clone()));
    let head_as_get = *method == Method::HEAD && !own(Method::HEAD) && own(Method::GET);
    let verb = if head_as_get { &Method::GET } else { method };
    let mut unacceptable = false;
    for route in shared.iter().filter(|route| has(route, verb)) {
        if route.channel.mount().accept.as_ref().is_none_or(|wanted| accepts(headers, wanted)) {
            return Ok(Some(route));
        }
        unacceptable = true;
    }
    match unacceptable {
        true => Err(Error::new(ErrorKind::NotAcceptable, "no channel here answers what Accept asks for")),
        false => Ok(None),
    }
}

fn not_allowed(method: &Method, shared: &[Arc<Route>]) -> Error {
    let error = Error::new(ErrorKind::MethodNotAllowed, format!("{method} is not allowed at this path"));
    match HeaderValue::from_str(&allow(shared)) {
        Ok(value) => error.header(ALLOW, value),
        Err(_) => error, // verbs are tokens, which always are header values
    }
}

fn decode(text: &str) -> String {
    percent_encoding::percent_decode_str(text).decode_utf8_lossy().into_owned()
}

/// The host that a request is for: the one of its target, as HTTP/2 and proxies write it, before the header (RFC 9112, 3.2.2).
fn host(uri: &Uri, headers: &HeaderMap) -> Option<String> {
    if let Some(host) = uri.host() {
        return Some(host.to_lowercase());
    }
    let host = headers.get(HOST)?.to_str().ok()?;
    let without_port = host.rsplit_once(':').filter(|(_, port)| port.bytes().all(|b| b.is_ascii_digit()));
    Some(without_port.map_or(host, |(host, _)| host).to_lowercase())
}

/// The verbs that are answered where these routes are.
fn allow(shared: &[Arc<Route>]) -> String {
    let verbs = shared.iter().map(|route| route.channel.mount().method.clone());
    let mut all: Vec<String> = Vec::new();
    for verb in verbs {
        match verb {
            Some(Method::GET) => all.extend(["GET".into(), "HEAD".into()]),
            Some(verb) => all.push(verb.to_string()),
            None => all.extend(["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"].map(Into::into)),
        }
    }
    all.push("OPTIONS".into());
    let mut seen = std::collections::HashSet::new();
    all.retain(|verb| seen.insert(verb.clone()));
    all.join(", ")
}

/// Whether a request accepts a media type (RFC 9110, 12.5.1). A weight of zero is a no.
pub fn accepts(headers: &HeaderMap, wanted: &mime::Mime) -> bool {
    let mut any = false;
    for value in headers.get_all(ACCEPT) {
        for range in value.to_str().unwrap_or_default().split(',') {
            any = true;
            let Ok(range) = range.trim().parse::<mime::Mime>() else { continue };
            let fits = |a: mime::Name<'_>, b: mime::Name<'_>| a == mime::STAR || a == b;
            let zero = range.get_param("q").is_some_and(|q| q.as_str().parse() == Ok(0.0));
            if fits(range.type_(), wanted.type_()) && fits(range.subtype(), wanted.subtype()) && !zero {
                return true;
            }
        }
    }
    !any
}
