//! What a change makes different, for people: every parameter, secrets masked.

use config::{DefId, Definition, Family, Keyring};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};

/// What becomes of a definition.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum What {
    /// It was not there.
    Created,
    /// It was there, and is different now.
    Changed,
    /// It is not there any more.
    Deleted,
}

/// One definition that a change makes different.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Changed {
    /// Which.
    pub id: DefId,
    /// What becomes of it.
    pub change: What,
    /// Each parameter that differs.
    pub fields: Vec<Field>,
}

/// One parameter that differs.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Field {
    /// The parameter, such as `path` or `tls.verify`.
    pub at: String,
    /// What it was, if it was there. A secret is `(sealed)` before and after: that it is listed says that it differs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<Value>,
    /// What it is now, if it is there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<Value>,
}

impl Changed {
    /// The difference between two states of one definition; none if it is in neither.
    pub(super) fn between(
        before: Option<&Definition>,
        after: Option<&Definition>,
        keyring: &Keyring,
    ) -> Option<Self> {
        let change = match (before, after) {
            (None, Some(_)) => What::Created,
            (Some(_), Some(_)) => What::Changed,
            (Some(_), None) => What::Deleted,
            (None, None) => return None,
        };
        let id = before.or(after)?.id.clone();
        let side = |d: Option<&Definition>| d.map(|d| Side::of(d, keyring)).unwrap_or_default();
        let mut fields = Vec::new();
        maps("", &side(before), &side(after), &mut fields);
        if id.family == Family::Package {
            fields.iter_mut().flat_map(|f| [&mut f.before, &mut f.after]).flatten().for_each(brief);
        }
        Some(Self { id, change, fields })
    }
}

/// What is shown of the texts of files: a difference is told, not both texts as a whole.
fn brief(value: &mut Value) {
    match value {
        Value::String(text) if text.contains('\n') => {
            let hash = Sha256::digest(text.as_bytes());
            let hash: String = hash.iter().take(4).map(|byte| format!("{byte:02x}")).collect();
            let lines = text.lines().count();
            *text = format!("{lines} line{}, {hash}", if lines == 1 { "" } else { "s" });
        }
        Value::Object(map) => map.values_mut().for_each(brief),
        Value::Array(items) => items.iter_mut().for_each(brief),
        _ => {}
    }
}

/// One state, twice: in clear to be compared, masked to be shown.
#[derive(Default)]
struct Side {
    clear: Map<String, Value>,
    masked: Map<String, Value>,
}

impl Side {
    fn of(definition: &Definition, keyring: &Keyring) -> Self {
        let clear = match (keyring.open(&definition.params), serde_json::to_value(&definition.params)) {
            (Ok(clear), _) => clear.0,
            // A secret whose key is lost is compared as it is sealed.
            (Err(_), Ok(Value::Object(sealed))) => sealed,
            (Err(_), _) => Map::new(),
        };
        let mut side = Self { clear: definition.written(clear), masked: definition.masked() };
        for map in [&mut side.clear, &mut side.masked] {
            map.shift_remove("name");
        }
        side
    }

    fn get(&self, key: &str) -> (Option<&Value>, Option<&Value>) {
        (self.clear.get(key), self.masked.get(key))
    }
}

fn maps(path: &str, before: &Side, after: &Side, out: &mut Vec<Field>) {
    let new = after.clear.keys().filter(|key| !before.clear.contains_key(*key));
    for key in before.clear.keys().chain(new) {
        let ((old, old_masked), (new, new_masked)) = (before.get(key), after.get(key));
        if old == new {
            continue;
        }
        let at = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
        match (nested(old, old_masked), nested(new, new_masked)) {
            (Some(old), Some(new)) => maps(&at, &old, &new, out),
            _ => out.push(Field { at, before: old_masked.cloned(), after: new_masked.cloned() }),
        }
    }
}

fn nested(clear: Option<&Value>, masked: Option<&Value>) -> Option<Side> {
    match (clear?, masked?) {
        (Value::Object(clear), Value::Object(masked)) => {
            Some(Side { clear: clear.clone(), masked: masked.clone() })
        }
        _ => None,
    }
}
