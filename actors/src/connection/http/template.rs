//! The address of a request: the URL of a connection with its `{name}` parts filled, and the query.

use std::collections::BTreeMap;

use config::Fault;
use percent_encoding::{AsciiSet, CONTROLS, NON_ALPHANUMERIC, utf8_percent_encode};
use sdk::{Error, Result};
use url::Url;

/// What is encoded in a value: everything that could be more than data.
const VALUE: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
/// What is encoded in text that is a path already; `\` would be read as `/`.
const PATH: &AsciiSet = &CONTROLS
    .add(b' ')
    .add(b'"')
    .add(b'#')
    .add(b'<')
    .add(b'>')
    .add(b'?')
    .add(b'`')
    .add(b'{')
    .add(b'}')
    .add(b'\\');
/// What is encoded in text that is a query already.
const QUERY: &AsciiSet = &CONTROLS.add(b' ').add(b'"').add(b'#').add(b'<').add(b'>').add(b'{').add(b'}');

/// A URL, some parts of which are filled by each request.
#[derive(Debug)]
pub(super) struct Template {
    /// Scheme, host and port.
    origin: String,
    path: Vec<Piece>,
    query: Vec<Piece>,
}

#[derive(Clone, PartialEq, Debug)]
enum Piece {
    Text(String),
    Name(String),
}

impl Template {
    /// Reads a URL. Faults do not repeat it: it may hold what should not be seen.
    pub(super) fn parse(text: &str) -> Result<Self, Fault> {
        let fault = |message: &str| Fault::new("url", message);
        if text.contains(|c: char| c.is_control() || c.is_whitespace()) {
            return Err(fault("the URL holds a blank").hint("write %20 where one is meant"));
        }
        if text.contains('#') {
            return Err(fault("the part after # is never sent to a server").hint("leave it out"));
        }
        let start = text.find("://").map_or(0, |at| at + 3);
        let end = text[start..].find(['/', '?', '\\']).map_or(text.len(), |at| start + at);
        let (server, rest) = text.split_at(end);
        if server.contains('{') {
            return Err(fault("only the path and the query can hold {name}")
                .hint("a host that a request could choose would be sent the credentials of this one"));
        }
        if server.contains('@') {
            return Err(fault("the URL holds credentials, which would be seen by everyone")
                .hint("make a security definition of type basic, and name it in `security`"));
        }
        let url = Url::parse(server).ok().filter(|url| url.has_host());
        let url = url.filter(|url| matches!(url.scheme(), "http" | "https"));
        let Some(url) = url else {
            return Err(fault("this is not a URL").hint("such as https://erp.example/api"));
        };
        let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
        let parsed = |text, set| pieces(text, set).map_err(|message| fault(&message));
        let (path, query) = (parsed(path, PATH)?, parsed(query, QUERY)?);
        Ok(Self { origin: url.origin().ascii_serialization(), path, query })
    }

    /// Whether it is an `https` URL.
    pub(super) fn is_tls(&self) -> bool {
        self.origin.starts_with("https:")
    }

    /// The URL of a path from the root of the server; none: the template's own, up to the first name in it.
    pub(super) fn plain(&self, path: Option<&str>) -> Result<Url> {
        let own = match self.path.first() {
            Some(Piece::Text(text)) => text,
            _ => "/",
        };
        self.url(path.unwrap_or(own))
    }

    /// The URL of one request: `more` is appended to the path, `params` fill the names, and those left over become
    /// the query, together with those of `fixed` that they do not replace.
    ///
    /// # Errors
    /// Invalid, if a parameter is missing, or the path would lead elsewhere.
    pub(super) fn fill(
        &self,
        more: &str,
        params: Vec<(String, String)>,
        fixed: &BTreeMap<String, String>,
    ) -> Result<Url> {
        let (more_path, more_query) = more.split_once('?').unwrap_or((more, ""));
        let more_path = pieces(more_path, PATH).map_err(Error::invalid)?;
        let mut used = Vec::new();
        let mut path = fill(&self.path, &params, &mut used, true)?;
        let more = fill(&more_path, &params, &mut used, true)?;
        if !more.is_empty() && !more.starts_with('/') && !path.ends_with('/') {
            path.push('/');
        }
        path.push_str(if path.ends_with('/') { more.trim_start_matches('/') } else { &more });
        if path.split('/').any(is_dots) {
            return Err(Error::invalid("`.` and `..` cannot be steps of the path"));
        }
        let mut query = fill(&self.query, &params, &mut used, false)?;
        let mut append = |text: &str| {
            if !text.is_empty() && !query.is_empty() {
                query.push('&');
            }
            query.push_str(text);
        };
        append(&utf8_percent_encode(more_query, QUERY).to_string());
        let mut pairs = form_urlencoded::Serializer::new(String::new());
        pairs.extend_pairs(fixed.iter().filter(|(name, _)| !params.iter().any(|(n, _)| n == *name)));
        pairs.extend_pairs(params.iter().filter(|(name, _)| !used.contains(name)));
        append(&pairs.finish());
        let mut url = self.url(&path)?;
        url.set_query(Some(query.as_str()).filter(|query| !query.is_empty()));
        Ok(url)
    }

    fn url(&self, path: &str) -> Result<Url> {
        let slash = if path.starts_with('/') { "" } else { "/" };
        let parsed = Url::parse(&format!("{}{slash}{path}", self.origin));
        parsed.map_err(|e| Error::invalid("the path cannot be part of a URL").because(e))
    }
}

/// Splits a text at its `{name}` parts; the text between them is encoded.
fn pieces(text: &str, set: &'static AsciiSet) -> Result<Vec<Piece>, String> {
    let mut pieces = Vec::new();
    let mut rest = text;
    while let Some(open) = rest.find('{') {
        let close = rest[open..].find('}').ok_or("a { without its }")? + open;
        let name = &rest[open + 1..close];
        if name.is_empty() || !name.chars().all(|c| c.is_alphanumeric() || "_-.".contains(c)) {
            return Err("between { and } is the name of a parameter: letters, digits, _, - and .".into());
        }
        if open > 0 {
            pieces.push(Piece::Text(utf8_percent_encode(&rest[..open], set).to_string()));
        }
        pieces.push(Piece::Name(name.into()));
        rest = &rest[close + 1..];
    }
    if rest.contains('}') {
        return Err("a } without its {".into());
    }
    if !rest.is_empty() {
        pieces.push(Piece::Text(utf8_percent_encode(rest, set).to_string()));
    }
    Ok(pieces)
}

/// Puts the values in. In a path an empty one is refused: `/orders/{id}` would become the address of all orders.
fn fill(
    pieces: &[Piece],
    params: &[(String, String)],
    used: &mut Vec<String>,
    in_path: bool,
) -> Result<String> {
    let mut filled = String::new();
    for piece in pieces {
        match piece {
            Piece::Text(text) => filled.push_str(text),
            Piece::Name(name) => {
                let value = params.iter().find(|(n, _)| n == name).map(|(_, value)| value);
                let value = value.filter(|value| !(in_path && value.is_empty()));
                let Some(value) = value else {
                    return Err(Error::invalid(format!("parameter {name:?} of the URL is missing")));
                };
                filled.extend(utf8_percent_encode(value, VALUE));
                used.push(name.clone());
            }
        }
    }
    Ok(filled)
}

/// Whether a step of a path, encoded or not, leads to where it is or up from there.
fn is_dots(step: &str) -> bool {
    matches!(&*step.replace("%2e", ".").replace("%2E", "."), "." | "..")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(url: &str, more: &str, params: &[(&str, &str)]) -> Result<String> {
        let fixed = BTreeMap::from([("lang".to_owned(), "en".to_owned())]);
        let params = params.iter().map(|(n, v)| (n.to_string(), v.to_string())).collect();
        Ok(Template::parse(url).expect("a URL").fill(more, params, &fixed)?.into())
    }

    #[test]
    fn names_are_filled_and_the_rest_becomes_the_query() {
        for (url, more, params, expected) in [
            ("http://h:1", "", &[][..], "http://h:1/?lang=en"),
            ("http://h/a", "b", &[], "http://h/a/b?lang=en"),
            ("http://h/a/", "/b", &[], "http://h/a/b?lang=en"),
            ("http://h/a/{id}", "", &[("id", "7"), ("x", "1 2")], "http://h/a/7?lang=en&x=1+2"),
            (
                "http://h/a/{id}?v={v}",
                "/b/{id}",
                &[("id", "7"), ("v", "&")],
                "http://h/a/7/b/7?v=%26&lang=en",
            ),
            ("http://h/a", "b?c=d%20e", &[("lang", "de")], "http://h/a/b?c=d%20e&lang=de"),
            ("http://h/a b".trim_end_matches(" b"), "b c", &[], "http://h/a/b%20c?lang=en"),
            ("http://h/{a}{b}", "", &[("a", "x"), ("b", "y")], "http://h/xy?lang=en"),
        ] {
            assert_eq!(filled(url, more, params).expect("a URL"), expected);
        }
    }

    #[test]
    fn a_value_is_only_ever_data() {
        let path = |value| filled("https://h/a/{id}/b", "", &[("id", value)]).expect("a URL");
        assert_eq!(path("1/2?x#y\\z%2e"), "https://h/a/1%2F2%3Fx%23y%5Cz%252e/b?lang=en");
        assert_eq!(path("ü\n@"), "https://h/a/%C3%BC%0A%40/b?lang=en");
    }

    #[test]
    fn what_would_lead_elsewhere_is_refused() {
        for (more, params) in [
            ("", &[][..]),
            ("", &[("id", "")]),
            ("", &[("id", "..")]),
            ("../x", &[("id", "1")]),
            ("x/%2E%2e/y", &[("id", "1")]),
            ("x\\..\\{id", &[("id", "1")]),
            ("{other}", &[("id", "1")]),
        ] {
            let error = filled("http://h/a/{id}", more, params).expect_err("refused");
            assert_eq!(error.kind(), sdk::ErrorKind::Invalid, "{more} {params:?}");
        }
        for more in ["@evil.example/", "//evil.example/", ":99/", "\\\\evil.example"] {
            let url = filled("http://h", more, &[]).expect("a URL");
            assert!(url.starts_with("http://h/"), "{url}");
        }
    }

    #[test]
    fn a_url_with_credentials_or_without_a_server_is_a_fault_that_does_not_repeat_it() {
        for url in [
            "http://user:s3cret@h/",
            "https://{host}/s3cret",
            "ftp://h/s3cret",
            "h/s3cret",
            "http:///s3cret",
            "http://h/s3cret#x",
            "http://h/s3cret{",
            "http://h/s3cret}",
            "http://h/{s3cret:7}",
            "http://h/ s3cret",
        ] {
            let fault = Template::parse(url).expect_err("a fault").to_string();
            assert!(!fault.contains("s3cret"), "{fault}");
        }
    }

    #[test]
    fn a_ping_goes_to_the_part_without_names() {
        let plain =
            |url: &str, path| Template::parse(url).expect("a URL").plain(path).expect("a URL").to_string();
        assert_eq!(plain("http://h/erp/{id}", None), "http://h/erp/");
        assert_eq!(plain("http://h", None), "http://h/");
        assert_eq!(plain("http://h/erp", Some("/health?deep=1")), "http://h/health?deep=1");
    }
}
