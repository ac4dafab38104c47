//! References to secrets that are kept elsewhere: `vault:CONNECTION/PATH#FIELD` in place of the secret itself.

use std::fmt;

use percent_encoding::percent_decode_str;
use serde_json::{Map, Value};

use crate::definition::{Clear, SEALED_TEXT};
use crate::fault::Fault;
use crate::name::{DefId, Family, Name};
use crate::rules::{Need, Pointer};

/// What a reference begins with.
const SCHEME: &str = "vault:";
/// How it is written.
const HINT: &str =
    "such as vault:my.vault/secret/my-app#password; a slash in the connection's name is written %2F";

/// A secret that a connection reads whenever the definition that it is in starts. The reference itself is no secret.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Reference {
    /// The connection that reads it.
    pub connection: DefId,
    /// Where it is there.
    pub path: String,
    /// Which of the fields there.
    pub field: String,
}

impl Reference {
    /// Reads one; none, if the text is not meant to be one.
    ///
    /// # Errors
    /// If it is meant to be one and is none.
    pub fn parse(text: &str) -> Option<Result<Self, Fault>> {
        let rest = text.strip_prefix(SCHEME)?;
        let fault =
            |what: &str| Fault::new("", format!("a secret that begins with {SCHEME} is a reference: {what}"));
        let parsed = rest.split_once('/').and_then(|(connection, rest)| {
            let (path, field) = rest.rsplit_once('#')?;
            let path = path.trim_matches('/');
            let sound = !path.split('/').any(|step| matches!(step, "" | "." | ".."));
            (sound && !field.is_empty()).then_some((connection, path, field))
        });
        let Some((connection, path, field)) = parsed else {
            return Some(Err(fault("it needs a connection, a path and a field").hint(HINT)));
        };
        let name = percent_decode_str(connection).decode_utf8_lossy();
        Some(match name.parse::<Name>() {
            Ok(name) => {
                let connection = DefId::new(Family::Connection, name);
                Ok(Self { connection, path: path.to_owned(), field: field.to_owned() })
            }
            Err(_) => Err(fault("the name of its connection is none").hint(HINT)),
        })
    }

    /// Whether a text is one.
    pub fn is(text: &str) -> bool {
        matches!(Self::parse(text), Some(Ok(_)))
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let connection = self.connection.name.as_str().replace('%', "%25").replace('/', "%2F");
        write!(f, "{SCHEME}{connection}/{}#{}", self.path, self.field)
    }
}

/// The references among the secrets of some parameters.
#[derive(Debug, Default)]
pub struct References {
    /// Each with its place, a path of keys and indexes.
    pub found: Vec<(Pointer, Reference)>,
    /// What is wrong with those that are none.
    pub faults: Vec<Fault>,
}

impl References {
    /// Those at `secrets`.
    pub fn among(params: &Clear, secrets: &[Pointer]) -> Self {
        let mut all = Self::default();
        let mut root = Value::Object(params.0.clone());
        for pointer in secrets {
            visit(&mut root, &pointer.0, &mut Vec::new(), &mut |place, text| {
                match Reference::parse(text) {
                    Some(Ok(reference)) => all.found.push((Pointer(place.to_vec()), reference)),
                    Some(Err(fault)) => all.faults.push(fault.under(&place.join("."))),
                    None => {}
                }
                None
            });
        }
        all
    }

    /// The definitions that read them.
    pub fn needs(&self) -> impl Iterator<Item = Need> {
        self.found
            .iter()
            .map(|(place, reference)| Need { at: place.0.join("."), id: reference.connection.clone() })
    }

    /// The parameters as a kind checks them: with the word for a secret that is kept in place of each reference.
    pub fn masked(&self, params: &Clear) -> Clear {
        self.replaced(params, |_| SEALED_TEXT.to_owned())
    }

    /// The parameters with another text in place of each reference; `value` is told its number.
    pub fn replaced(&self, params: &Clear, value: impl Fn(usize) -> String) -> Clear {
        let mut root = Value::Object(params.0.clone());
        for (number, (place, _)) in self.found.iter().enumerate() {
            visit(&mut root, &place.0, &mut Vec::new(), &mut |_, _| Some(value(number)));
        }
        match root {
            Value::Object(map) => Clear(map),
            _ => Clear(Map::new()),
        }
    }
}

/// Shows each text at `rest`, where `*` stands for every element, and puts in what comes back.
fn visit(
    value: &mut Value,
    rest: &[String],
    place: &mut Vec<String>,
    see: &mut impl FnMut(&[String], &str) -> Option<String>,
) {
    let Some((step, rest)) = rest.split_first() else {
        if let Value::String(text) = value
            && let Some(other) = see(place, text)
        {
            *text = other;
        }
        return;
    };
    let children: Vec<(String, &mut Value)> = match value {
        Value::Object(map) => map.iter_mut().map(|(key, child)| (key.clone(), child)).collect(),
        Value::Array(items) => {
            items.iter_mut().enumerate().map(|(at, child)| (at.to_string(), child)).collect()
        }
        _ => return,
    };
    for (key, child) in children.into_iter().filter(|(key, _)| step == "*" || step == key) {
        place.push(key);
        visit(child, rest, place, see);
        place.pop();
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_reference_is_a_connection_a_path_and_a_field() {
        let read = |text| Reference::parse(text).expect("meant to be one").expect("one");
        let one = read("vault:my.vault/secret/my-app#password");
        assert_eq!(
            (one.connection.to_string().as_str(), &*one.path, &*one.field),
            ("connection/my.vault", "secret/my-app", "password")
        );
        assert_eq!(one.to_string(), "vault:my.vault/secret/my-app#password");
        let slash = read("vault:our%2Fvault/a/b#c#d");
        assert_eq!(
            (slash.connection.name.as_str(), &*slash.path, &*slash.field),
            ("our/vault", "a/b#c", "d")
        );
        assert_eq!(read(&slash.to_string()), slash);
        for wrong in [
            "vault:",
            "vault:a",
            "vault:a/b",
            "vault:a/b#",
            "vault:/b#c",
            "vault:a/#c",
            "vault:a/../b#c",
            "vault:a/b//c#d",
        ] {
            let fault = Reference::parse(wrong).expect("meant to be one").expect_err("none");
            assert!(fault.hint.is_some(), "{wrong}");
        }
        for other in ["", "s3cret", "Vault:a/b#c", "(sealed)"] {
            assert!(Reference::parse(other).is_none(), "{other}");
        }
    }

    #[test]
    fn references_are_found_at_secrets_only() {
        let params = json!({"a": "vault:v/p#1", "b": {"x": "vault:v/p#2", "y": "plain"}, "c": "vault:v/p#3"});
        let Value::Object(map) = params else { unreachable!() };
        let params = Clear(map);
        let pointers = [Pointer(vec!["a".into()]), Pointer(vec!["b".into(), "*".into()])];
        let found = References::among(&params, &pointers);
        let places: Vec<String> = found.found.iter().map(|(place, _)| place.0.join(".")).collect();
        assert_eq!(places, ["a", "b.x"]);
        let replaced = found.replaced(&params, |number| format!("value {number}"));
        assert_eq!(
            Value::Object(replaced.0),
            json!({"a": "value 0", "b": {"x": "value 1", "y": "plain"}, "c": "vault:v/p#3"})
        );
    }
}
