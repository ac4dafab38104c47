//! A definition: one named thing that is wanted, with its secrets sealed; and a draft, one that is being proposed.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::name::{DefId, KindTag, Revision};
use crate::small_set::SmallSet;

/// The key that marks a sealed secret inside stored parameters: `{"$sealed": "<token>"}`.
pub const SEALED_KEY: &str = "$sealed";
/// What a reader sees in place of a secret; applying it keeps what is there.
pub const SEALED_TEXT: &str = "(sealed)";

/// The parameters of a definition as they are stored: every secret in them is sealed.
#[derive(Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Params(pub(crate) Map<String, Value>);

impl Params {
    /// The parameters for a reader, with [`SEALED_TEXT`] in place of each secret.
    pub fn masked(&self) -> Map<String, Value> {
        fn mask(value: &Value) -> Value {
            match value {
                Value::Object(map) if is_sealed(map) => Value::String(SEALED_TEXT.into()),
                Value::Object(map) => Value::Object(map.iter().map(|(k, v)| (k.clone(), mask(v))).collect()),
                Value::Array(items) => Value::Array(items.iter().map(mask).collect()),
                plain => plain.clone(),
            }
        }
        self.0.iter().map(|(k, v)| (k.clone(), mask(v))).collect()
    }
}

/// Whether this object stands for a sealed secret.
pub(crate) fn is_sealed(map: &Map<String, Value>) -> bool {
    map.len() == 1 && map.contains_key(SEALED_KEY)
}

impl fmt::Debug for Params {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.masked(), f)
    }
}

/// Parameters with their secrets in clear: on the way in from a draft, or on the way to the part that needs them.
/// They are never printed.
#[derive(Clone, PartialEq, Default)]
pub struct Clear(pub Map<String, Value>);

impl fmt::Debug for Clear {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Clear({} parameters, not shown)", self.0.len())
    }
}

/// One named thing that is wanted, as the store keeps it.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Definition {
    /// Family and name.
    pub id: DefId,
    /// Family and type.
    pub kind: KindTag,
    /// Whether it runs; a definition that is not enabled is kept.
    pub enabled: bool,
    /// Its parameters, secrets sealed.
    pub params: Params,
    /// The definitions it refers to. They start before it, and cannot be deleted while it is there.
    #[serde(default)]
    pub needs: SmallSet<DefId>,
    /// What it holds alone among the enabled ones, such as a route.
    #[serde(default)]
    pub claims: SmallSet<String>,
    /// The revision that changed it last; the store sets it.
    #[serde(default)]
    pub changed_at: Revision,
}

impl Definition {
    /// The definition for a reader, as a bundle would write it: secrets masked.
    pub fn masked(&self) -> Map<String, Value> {
        self.written(self.params.masked())
    }

    /// The definition as a bundle writes it, with these parameters.
    pub fn written(&self, params: Map<String, Value>) -> Map<String, Value> {
        let mut out = Map::new();
        out.insert("name".into(), self.id.name.as_str().into());
        out.insert("type".into(), self.kind.r#type.clone().into());
        if !self.enabled {
            out.insert("enabled".into(), false.into());
        }
        out.extend(params);
        out
    }

    /// Whether nothing but the revision differs.
    pub fn same_as(&self, other: &Self) -> bool {
        let Self { id, kind, enabled, params, needs, claims, changed_at: _ } = self;
        (id, kind, enabled, params, needs, claims)
            == (&other.id, &other.kind, &other.enabled, &other.params, &other.needs, &other.claims)
    }
}

/// Where a draft was written.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Place {
    /// File, or another word for the source.
    pub source: Option<String>,
    /// Line and column, from 1.
    pub position: Option<(u64, u64)>,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.source, self.position) {
            (Some(source), Some((line, column))) => write!(f, "{source}:{line}:{column} "),
            (Some(source), None) => write!(f, "{source} "),
            (None, Some((line, column))) => write!(f, "{line}:{column} "),
            (None, None) => Ok(()),
        }
    }
}

/// A definition that is being proposed: secrets still in clear, not checked yet.
#[derive(Clone, PartialEq, Debug)]
pub struct Draft {
    /// Family and name.
    pub id: DefId,
    /// Family and type.
    pub kind: KindTag,
    /// Whether it is to run.
    pub enabled: bool,
    /// Its parameters.
    pub params: Clear,
    /// Where it was written.
    pub place: Place,
}

impl Draft {
    /// The head of a fault's place: the file position and the id.
    pub fn at(&self) -> String {
        format!("{}{}", self.place, self.id)
    }
}
