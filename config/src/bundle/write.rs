//! A bundle as an export writes it: the same definitions always give the same text.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::{Map, Value};

use super::variables::escaped;
use crate::name::Family;

/// The keys that come first, in this order. They hold no variables.
const HEAD: [&str; 3] = ["name", "type", "enabled"];

/// Definitions, each as [`crate::Definition::masked`] gives it, as a YAML bundle sorted by family and name.
pub fn write_yaml(definitions: impl Iterator<Item = (Family, Map<String, Value>)>) -> String {
    let options = serde_saphyr::ser_options! {
        // A folded text is hard to compare and to copy; only texts of several lines become blocks.
        folded_wrap_chars: usize::MAX,
    };
    // The only errors are those of the sink, and a String has none.
    serde_saphyr::to_string_with_options(&bundle(definitions), options).unwrap_or_default()
}

/// The same as JSON.
pub fn write_json(definitions: impl Iterator<Item = (Family, Map<String, Value>)>) -> String {
    let mut text = serde_json::to_string_pretty(&bundle(definitions)).unwrap_or_default();
    text.push('\n');
    text
}

fn bundle(definitions: impl Iterator<Item = (Family, Map<String, Value>)>) -> impl Serialize {
    let mut families: BTreeMap<Family, BTreeMap<String, Value>> = BTreeMap::new();
    for (family, mut definition) in definitions {
        let name = definition.get("name").and_then(Value::as_str).unwrap_or_default().to_owned();
        let head =
            HEAD.iter().filter_map(|key| definition.remove(*key).map(|value| ((*key).to_owned(), value)));
        let mut written: Map<String, Value> = head.collect();
        definition.values_mut().for_each(|value| *value = escaped(value));
        definition.values_mut().for_each(Value::sort_all_objects);
        definition.sort_keys();
        written.extend(definition);
        families.entry(family).or_default().insert(name, Value::Object(written));
    }
    let lists = families
        .into_iter()
        .map(|(family, list)| (family.plural().to_owned(), Value::Array(list.into_values().collect())));
    Value::Object(lists.collect())
}
