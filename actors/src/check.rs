//! Reading parameters so that every fault is found, not just the first; and finding the secrets in a schema.

use std::collections::BTreeMap;

use config::secret::SECRET_KEYWORD;
use config::{Clear, Fault, Pointer};
use schemars::Schema;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

/// Reads parameters as `T`. A reader of whole documents stops at the first fault, so if that fails each parameter is
/// put, alone, into the example, which is known to be right: whatever is wrong then is wrong with that parameter.
///
/// # Errors
/// Every fault, and what is left.
pub(crate) fn read<T: DeserializeOwned>(
    params: &Clear,
    schema: &Schema,
    example: &Map<String, Value>,
) -> Result<T, Broken<T>> {
    let whole =
        |map: &Map<String, Value>| serde_path_to_error::deserialize::<_, T>(Value::Object(map.clone()));
    let first = match whole(&params.0) {
        Ok(read) => return Ok(read),
        Err(error) => error,
    };
    // The reader's message quotes the value, which must not be seen where a secret may be: a password of digits, not
    // in quotes, is one.
    let secrets = secrets(schema);
    let fault = |error: &serde_path_to_error::Error<serde_json::Error>| {
        let at = error.path().to_string();
        let parameter = at.split(['.', '[']).next().unwrap_or_default();
        if secrets.iter().any(|secret| secret.0.first().is_some_and(|first| first == parameter)) {
            return Fault::new(
                at,
                "it is not of the right type; what it is is not shown, since it may be a secret",
            )
            .hint("a secret is a text: put it in quotes");
        }
        let message = error.inner().to_string();
        let quoted = message.starts_with("invalid type: string") && message.contains("expected");
        let hint =
            quoted.then(|| "write it without quotes; what a ${NAME} gives is always a text".to_owned());
        Fault::new(at, message).maybe_hint(hint)
    };
    let known = schema.get("properties").and_then(Value::as_object);
    let known: Vec<&str> = known.into_iter().flatten().map(|(name, _)| name.as_str()).collect();
    let (mut faults, mut sound, mut rest) = (Vec::new(), Vec::new(), example.clone());
    for (name, value) in &params.0 {
        if !known.contains(&name.as_str()) {
            let fault = Fault::new(name, format!("there is no parameter {name:?}"));
            faults.push(fault.maybe_hint(config::fault::suggest(name, known.iter().copied())));
            continue;
        }
        let mut tried = example.clone();
        tried.insert(name.clone(), value.clone());
        match whole(&tried) {
            Ok(_) => {
                rest.insert(name.clone(), value.clone());
                sound.push(name.clone());
            }
            Err(error) => faults.push(fault(&error)),
        }
    }
    let required = schema.get("required").and_then(Value::as_array);
    let required = required.into_iter().flatten().filter_map(Value::as_str);
    for name in required.filter(|name| !params.0.contains_key(*name)) {
        let hint = example.get(name).map(|value| format!("such as {name}: {value}"));
        faults.push(Fault::new(name, "this parameter is required").maybe_hint(hint));
    }
    if faults.is_empty() {
        faults.push(fault(&first));
    }
    Err(Broken { faults, rest: whole(&rest).ok(), sound })
}

/// Parameters that could not be read as a whole.
pub(crate) struct Broken<T> {
    /// What is wrong.
    pub(crate) faults: Vec<Fault>,
    /// The example with the sound parameters in it; none if these do not fit together.
    pub(crate) rest: Option<T>,
    /// The parameters that nothing is wrong with, each by itself.
    sound: Vec<String>,
}

impl<T> Broken<T> {
    /// Whether a place is inside a parameter that was given and is sound: what is said of it is meant.
    pub(crate) fn is_sound(&self, at: &str) -> bool {
        let parameter = at.split(['.', '[']).next().unwrap_or_default();
        self.sound.iter().any(|name| name == parameter)
    }
}

/// Where the secrets are, by the keyword that their type puts into the schema.
pub fn secrets(schema: &Schema) -> Vec<Pointer> {
    let definitions = schema.get("$defs").and_then(Value::as_object);
    let definitions: BTreeMap<&str, &Value> =
        definitions.into_iter().flatten().map(|(name, value)| (name.as_str(), value)).collect();
    let mut found = Vec::new();
    walk(schema.as_value(), &definitions, &mut Vec::new(), &mut found);
    found
}

/// Schemas may refer to themselves; parameters are not nested deeper than this.
const DEEPEST: usize = 8;

fn walk(
    schema: &Value,
    definitions: &BTreeMap<&str, &Value>,
    path: &mut Vec<String>,
    found: &mut Vec<Pointer>,
) {
    let Value::Object(map) = schema else { return };
    if path.len() > DEEPEST {
        return;
    }
    if map.get(SECRET_KEYWORD) == Some(&Value::Bool(true)) {
        let pointer = Pointer(path.clone());
        if !found.contains(&pointer) {
            found.push(pointer);
        }
        return;
    }
    let target = map.get("$ref").and_then(Value::as_str).and_then(|r| r.strip_prefix("#/$defs/"));
    if let Some(target) = target.and_then(|name| definitions.get(name)) {
        walk(target, definitions, path, found);
    }
    for keyword in ["anyOf", "oneOf", "allOf"] {
        for choice in map.get(keyword).and_then(Value::as_array).into_iter().flatten() {
            walk(choice, definitions, path, found);
        }
    }
    let mut step = |name: &str, schema: &Value| {
        path.push(name.into());
        walk(schema, definitions, path, found);
        path.pop();
    };
    for (name, property) in map.get("properties").and_then(Value::as_object).into_iter().flatten() {
        step(name, property);
    }
    for keyword in ["items", "additionalProperties"] {
        if let Some(element) = map.get(keyword) {
            step("*", element);
        }
    }
}
