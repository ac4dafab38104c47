//! Secrets: masked wherever they could be seen, sealed with Fernet wherever they rest.

pub mod reference;
#[cfg(test)]
mod tests;
pub mod whole;

use std::fmt;
use std::path::Path;

use fernet::Fernet;
use hmac::{Hmac, Mac as _};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value, json};
use sha2::Sha256;
use zeroize::Zeroizing;

use crate::definition::{Clear, Params, SEALED_KEY, SEALED_TEXT, is_sealed};
use crate::fault::Fault;
use crate::rules::Pointer;
use reference::Reference;

/// The keyword that marks a secret in a JSON schema.
pub const SECRET_KEYWORD: &str = "x-secret";

/// A password, key or token. `Debug`, `Display` and `Serialize` show [`SEALED_TEXT`]; the text comes out with
/// [`Secret::reveal`] only, and is overwritten in memory when dropped.
#[derive(Clone)]
pub struct Secret(SecretString);

impl Secret {
    /// Wraps a text.
    pub fn new(text: impl Into<String>) -> Self {
        Self(SecretString::from(text.into()))
    }

    /// The text in clear.
    pub fn reveal(&self) -> &str {
        self.0.expose_secret()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(SEALED_TEXT)
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(SEALED_TEXT)
    }
}

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str(SEALED_TEXT)
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        String::deserialize(d).map(Self::new)
    }
}

impl JsonSchema for Secret {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Secret".into()
    }
    fn inline_schema() -> bool {
        true
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "writeOnly": true, SECRET_KEYWORD: true })
    }
}

/// Why a key or a secret could not be used.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The key file cannot be read or made.
    #[error("the key file {path}: {source}")]
    File {
        /// The file.
        path: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// The text is no key.
    #[error("{0}: line {1} is not a Fernet key (32 bytes in URL-safe base64)")]
    BadKey(String, usize),
    /// There is no key.
    #[error("{0} holds no key")]
    Empty(String),
    /// The nodes of a cluster would each seal with a key of their own.
    #[error(
        "the nodes of a cluster need the same sealing keys: set ZEUGMA_CLUSTER_SECRET to the same text on each of \
             them, or ZEUGMA_KEYS, or name the same --key-file"
    )]
    NothingInCommon,
    /// A key could not be derived from a secret.
    #[error("no key can be derived from the cluster secret: {0}")]
    Derive(String),
    /// None of the keys opens the secret.
    #[error(
        "none of the keys opens a sealed secret; the key it was sealed with is missing from the key file"
    )]
    CannotOpen,
}

/// The keys that seal secrets at rest: the first one seals, all of them open, so that keys can be rotated.
#[derive(Clone)]
pub struct Keyring(std::sync::Arc<[Fernet]>, std::sync::Arc<[Secret]>);

impl fmt::Debug for Keyring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Keyring({} keys)", self.0.len())
    }
}

impl Keyring {
    /// A new key, as a key file has it on a line.
    pub fn new_key() -> Secret {
        Secret::new(Fernet::generate_key())
    }

    /// A ring with one new key, for tests and throw-away nodes.
    pub fn generate() -> Self {
        loop {
            let text = Fernet::generate_key();
            if let Some(key) = Fernet::new(&text) {
                return Self([key].into(), [Secret::new(text)].into());
            }
        }
    }

    /// The keys in `text`, one a line, the sealing one first; `source` names the text in errors.
    ///
    /// # Errors
    /// If a line is no Fernet key, or there is none.
    pub fn parse(text: &str, source: &str) -> Result<Self, KeyError> {
        let lines = text.lines().enumerate().map(|(i, line)| (i + 1, line.trim()));
        let keys: Vec<Fernet> = lines
            .filter(|(_, line)| !line.is_empty() && !line.starts_with('#'))
            .map(|(i, line)| Fernet::new(line).ok_or_else(|| KeyError::BadKey(source.into(), i)))
            .collect::<Result<_, _>>()?;
        let texts = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
        let texts: Vec<Secret> = texts.map(Secret::new).collect();
        match texts.is_empty() {
            false => Ok(Self(keys.into(), texts.into())),
            true => Err(KeyError::Empty(source.into())),
        }
    }

    /// Reads the key file; if there is none, makes one with a new key and mode 0600.
    ///
    /// # Errors
    /// If the file cannot be read or made, or holds no key.
    pub fn open_or_create(path: &Path) -> Result<Self, KeyError> {
        let file_error = |source| KeyError::File { path: path.display().to_string(), source };
        match std::fs::read_to_string(path) {
            Ok(text) => Self::parse(&Zeroizing::new(text), &path.display().to_string()),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
                let key = Zeroizing::new(Fernet::generate_key());
                whole::make(path, &key).map_err(file_error)?;
                Self::parse(&key, &path.display().to_string())
            }
            Err(e) => Err(file_error(e)),
        }
    }

    /// A secret for another purpose, the same for everybody who has the first key, that does not give the key away.
    pub fn shared(&self, purpose: &str) -> Secret {
        let bytes = derived(&self.1[0], purpose);
        Secret::new(bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>())
    }

    /// Secrets for another purpose, 32 bytes of each key, in their order: what was made with an older key is still
    /// understood after a new one was put before it.
    pub fn shared_by_each(&self, purpose: &str) -> Vec<Zeroizing<[u8; 32]>> {
        self.1.iter().map(|key| derived(key, purpose)).collect()
    }

    /// Seals one text.
    pub fn seal_text(&self, clear: &str) -> String {
        self.0[0].encrypt(clear.as_bytes())
    }

    /// Opens one text.
    ///
    /// # Errors
    /// If none of the keys opens it.
    pub fn open_text(&self, sealed: &str) -> Result<String, KeyError> {
        let bytes = self.0.iter().find_map(|key| key.decrypt(sealed).ok()).ok_or(KeyError::CannotOpen)?;
        String::from_utf8(bytes).map_err(|_| KeyError::CannotOpen)
    }

    /// Whether the first key opens every secret in these parameters. One that an older key sealed is to be sealed anew,
    /// so that the older key can be taken out one day.
    pub fn is_current(&self, params: &Params) -> bool {
        params.0.values().all(|value| self.value_is_current(value))
    }

    fn value_is_current(&self, value: &Value) -> bool {
        match value {
            Value::Object(map) if is_sealed(map) => {
                let token = map.get(SEALED_KEY).and_then(Value::as_str).unwrap_or_default();
                self.0[0].decrypt(token).is_ok()
            }
            Value::Object(map) => map.values().all(|value| self.value_is_current(value)),
            Value::Array(items) => items.iter().all(|value| self.value_is_current(value)),
            _ => true,
        }
    }

    /// Seals the secrets at `secrets`. A reference is none itself, and stays as it is. One that is written as [`SEALED_TEXT`] is taken from `previous`, and sealed anew
    /// if that was with an older key.
    ///
    /// # Errors
    /// One fault for each [`SEALED_TEXT`] that has nothing to keep.
    pub fn seal(
        &self,
        clear: &Clear,
        secrets: &[Pointer],
        previous: Option<&Params>,
    ) -> Result<Params, Vec<Fault>> {
        let mut root = Value::Object(clear.0.clone());
        let mut faults = Vec::new();
        for pointer in secrets {
            let old = previous.map(|p| &p.0);
            self.seal_at(&mut root, &pointer.0, &mut Vec::new(), old, &mut faults);
        }
        match root {
            Value::Object(map) if faults.is_empty() => Ok(Params(map)),
            _ => Err(faults),
        }
    }

    fn seal_at(
        &self,
        value: &mut Value,
        rest: &[String],
        path: &mut Vec<String>,
        previous: Option<&Map<String, Value>>,
        faults: &mut Vec<Fault>,
    ) {
        if let Some((step, rest)) = rest.split_first() {
            let children: Vec<(String, &mut Value)> = match value {
                Value::Object(map) => map.iter_mut().map(|(k, v)| (k.clone(), v)).collect(),
                Value::Array(items) => {
                    items.iter_mut().enumerate().map(|(i, v)| (i.to_string(), v)).collect()
                }
                _ => return,
            };
            for (key, child) in children.into_iter().filter(|(key, _)| step == "*" || step == key) {
                path.push(key);
                self.seal_at(child, rest, path, previous, faults);
                path.pop();
            }
            return;
        }
        let Value::String(text) = value else { return };
        if Reference::is(text) {
            return;
        }
        let kept = |old: &Value| match old {
            Value::Object(map) => is_sealed(map),
            Value::String(text) => Reference::is(text),
            _ => false,
        };
        if text != SEALED_TEXT {
            *value = json!({ SEALED_KEY: self.seal_text(text) });
            return;
        }
        match previous.and_then(|map| at(map, path)).filter(|old| kept(old)) {
            // What no key opens is kept as it is: a key that comes back opens it again.
            Some(kept) => {
                *value = match (self.value_is_current(kept), self.open_value(kept)) {
                    (false, Ok(Value::String(text))) => json!({ SEALED_KEY: self.seal_text(&text) }),
                    _ => kept.clone(),
                };
            }
            None => faults.push(
                Fault::new(
                    path.join("."),
                    format!("{SEALED_TEXT} keeps the secret that is there, but there is none"),
                )
                .hint("give the secret itself, or ${NAME} to take it from the environment"),
            ),
        }
    }

    /// The parameters with their secrets in clear.
    ///
    /// # Errors
    /// If none of the keys opens a secret.
    pub fn open(&self, params: &Params) -> Result<Clear, KeyError> {
        let open = |map: &Map<String, Value>| -> Result<Map<String, Value>, KeyError> {
            map.iter().map(|(k, v)| Ok((k.clone(), self.open_value(v)?))).collect()
        };
        open(&params.0).map(Clear)
    }

    /// The same parameters, their secrets opened with `old` and sealed with the first of these keys.
    ///
    /// # Errors
    /// If none of the old keys opens a secret.
    pub fn resealed(&self, params: &Params, old: &Self) -> Result<Params, KeyError> {
        let entry = |(k, v): (&String, &Value)| Ok((k.clone(), self.resealed_value(v, old)?));
        params.0.iter().map(entry).collect::<Result<_, KeyError>>().map(Params)
    }

    fn resealed_value(&self, value: &Value, old: &Self) -> Result<Value, KeyError> {
        Ok(match value {
            Value::Object(map) if is_sealed(map) => {
                let Value::String(clear) = old.open_value(value)? else { return Err(KeyError::CannotOpen) };
                serde_json::json!({ SEALED_KEY: self.seal_text(&clear) })
            }
            Value::Object(map) => {
                let entry = |(k, v): (&String, &Value)| Ok((k.clone(), self.resealed_value(v, old)?));
                Value::Object(map.iter().map(entry).collect::<Result<_, KeyError>>()?)
            }
            Value::Array(items) => {
                Value::Array(items.iter().map(|v| self.resealed_value(v, old)).collect::<Result<_, _>>()?)
            }
            plain => plain.clone(),
        })
    }

    fn open_value(&self, value: &Value) -> Result<Value, KeyError> {
        Ok(match value {
            Value::Object(map) if is_sealed(map) => {
                let token = map.get(SEALED_KEY).and_then(Value::as_str).ok_or(KeyError::CannotOpen)?;
                Value::String(self.open_text(token)?)
            }
            Value::Object(map) => Value::Object(
                map.iter()
                    .map(|(k, v)| Ok((k.clone(), self.open_value(v)?)))
                    .collect::<Result<_, KeyError>>()?,
            ),
            Value::Array(items) => {
                Value::Array(items.iter().map(|v| self.open_value(v)).collect::<Result<_, _>>()?)
            }
            plain => plain.clone(),
        })
    }
}

/// What belongs to this purpose: nobody learns the key, or what belongs to another purpose, from it.
fn derived(key: &Secret, purpose: &str) -> Zeroizing<[u8; 32]> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key.reveal().as_bytes())
        .unwrap_or_else(|_| unreachable!("HMAC takes keys of any length"));
    mac.update(purpose.as_bytes());
    Zeroizing::new(mac.finalize().into_bytes().into())
}

/// The value at a path of keys and indexes.
fn at<'a>(map: &'a Map<String, Value>, path: &[String]) -> Option<&'a Value> {
    let (first, rest) = path.split_first()?;
    rest.iter().try_fold(map.get(first)?, |value, step| match value {
        Value::Object(map) => map.get(step),
        Value::Array(items) => items.get(step.parse::<usize>().ok()?),
        _ => None,
    })
}
