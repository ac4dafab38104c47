//! The reference of kinds, made from the registry: for the command line, and for the page in the docs.

use actors::Registry;
use actors::shape::Shape;
use config::secret::SECRET_KEYWORD;
use config::units::UNIT_KEYWORD;
use config::{Family, bundle};
use schemars::Schema;
use serde_json::{Map, Value};

use crate::http::admin::shapes::KindView;

/// How deep the parameters of parameters are shown.
const DEEPEST: usize = 4;

/// One parameter of a kind.
#[derive(Clone, PartialEq, Debug)]
pub struct Parameter {
    /// Its name, such as `path` or `tls.verify`.
    pub name: String,
    /// What can be written there.
    pub r#type: String,
    /// Whether it must be there.
    pub required: bool,
    /// What it is if it is left out.
    pub default: Option<Value>,
    /// What it does.
    pub description: String,
}

/// Every kind of this registry, by family and type.
pub fn kinds(registry: &Registry) -> Vec<KindView> {
    registry.kinds().map(|(tag, kind)| view(tag, kind)).collect()
}

fn view(tag: &config::KindTag, kind: &dyn actors::AnyKind) -> KindView {
    let Shape { schema, example: typical, .. } = kind.shape();
    let summary = schema.get("description").and_then(Value::as_str).unwrap_or_default();
    let mut example = Map::new();
    example.insert("name".into(), format!("my.{}", tag.r#type).into());
    example.insert("type".into(), tag.r#type.clone().into());
    example.extend(typical.clone());
    KindView {
        kind: tag.clone(),
        family: tag.family,
        r#type: tag.r#type.clone(),
        summary: first_paragraph(summary),
        example,
        schema: schema.clone(),
    }
}

/// A typical definition of a kind, as a bundle lists it. Secrets come from the environment, as they should.
pub fn example(kind: &KindView) -> String {
    let mut example = kind.example.clone();
    for secret in actors::check::secrets(&kind.schema) {
        let name = secret.0.iter().filter(|step| *step != "*").map(|step| step.to_uppercase());
        let variable = format!("${{{}}}", name.collect::<Vec<_>>().join("_").replace(['-', '.'], "_"));
        if let Some(value) = at(&mut example, &secret.0) {
            *value = variable.into();
        }
    }
    // The writer keeps a variable from being one; here it is meant to be.
    bundle::write_yaml([(kind.family, example)].into_iter()).replace("$${", "${")
}

/// The value at a path, if every step is a key.
fn at<'m>(map: &'m mut Map<String, Value>, path: &[String]) -> Option<&'m mut Value> {
    let (first, rest) = path.split_first()?;
    rest.iter().try_fold(map.get_mut(first)?, |value, step| value.as_object_mut()?.get_mut(step))
}

/// The parameters of a kind, in the order of its documentation; those of a nested parameter after it.
pub fn parameters(schema: &Schema) -> Vec<Parameter> {
    let root = schema.as_value();
    let mut found = Vec::new();
    walk(root, root, "", 0, &mut found);
    found
}

fn walk(root: &Value, schema: &Value, path: &str, depth: usize, found: &mut Vec<Parameter>) {
    let Some(properties) = schema.get("properties").and_then(Value::as_object) else { return };
    let required = schema.get("required").and_then(Value::as_array);
    for (name, property) in properties {
        let name_in_path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
        let description =
            text(property, "description").or_else(|| text(resolved(root, property), "description"));
        found.push(Parameter {
            name: name_in_path.clone(),
            r#type: type_of(root, property),
            required: required.is_some_and(|all| all.iter().any(|r| r == name)),
            default: property.get("default").filter(|default| !default.is_null()).cloned(),
            description: description.unwrap_or_default().replace('\n', " "),
        });
        if depth < DEEPEST {
            for choice in choices(root, property) {
                walk(root, choice, &name_in_path, depth + 1, found);
                if let Some(items) = choice.get("items") {
                    walk(root, resolved(root, items), &format!("{name_in_path}[]"), depth + 1, found);
                }
            }
        }
    }
}

fn text(schema: &Value, key: &str) -> Option<String> {
    schema.get(key).and_then(Value::as_str).map(Into::into)
}

/// What a reference leads to; the schema itself, if it is none.
fn resolved<'s>(root: &'s Value, schema: &'s Value) -> &'s Value {
    let target = schema.get("$ref").and_then(Value::as_str).and_then(|r| r.strip_prefix('#'));
    target.and_then(|pointer| root.pointer(pointer)).unwrap_or(schema)
}

/// The schemas of which a value has to fit one, without "null".
fn choices<'s>(root: &'s Value, schema: &'s Value) -> Vec<&'s Value> {
    let schema = resolved(root, schema);
    let several = ["anyOf", "oneOf"].iter().find_map(|key| schema.get(*key).and_then(Value::as_array));
    match several {
        Some(all) => all
            .iter()
            .flat_map(|choice| choices(root, choice))
            .filter(|choice| choice.get("type").is_none_or(|r#type| r#type != "null"))
            .collect(),
        None => vec![schema],
    }
}

/// What can be written for a value of this schema, in a few words.
fn type_of(root: &Value, schema: &Value) -> String {
    let mut words: Vec<String> = Vec::new();
    for choice in choices(root, schema) {
        let word = if choice.get(SECRET_KEYWORD).is_some() {
            "secret".into()
        } else if let Some(unit) = choice.get(UNIT_KEYWORD).and_then(Value::as_str) {
            unit.into()
        } else if let Some(constant) = choice.get("const") {
            plain(constant)
        } else if let Some(values) = choice.get("enum").and_then(Value::as_array) {
            values.iter().filter(|v| !v.is_null()).map(plain).collect::<Vec<_>>().join(" | ")
        } else if let Some(items) = choice.get("items") {
            format!("list of {}", type_of(root, items))
        } else if let Some(values) = choice.get("additionalProperties").filter(|v| v.is_object()) {
            format!("map to {}", type_of(root, values))
        } else {
            simple(choice)
        };
        if !words.contains(&word) {
            words.push(word);
        }
    }
    words.join(" | ")
}

fn simple(schema: &Value) -> String {
    let word = |r#type: &str| {
        match r#type {
            "string" => "text",
            "integer" => "whole number",
            "object" => "map",
            "array" => "list",
            "boolean" => "true | false",
            other => other,
        }
        .to_owned()
    };
    match schema.get("type") {
        Some(Value::String(one)) => word(one),
        Some(Value::Array(several)) => {
            let words: Vec<_> =
                several.iter().filter_map(Value::as_str).filter(|t| *t != "null").map(word).collect();
            words.join(" or ")
        }
        _ => "any".into(),
    }
}

/// A value as one writes it in a bundle, on one line.
pub fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

fn first_paragraph(text: &str) -> String {
    text.split("\n\n").next().unwrap_or_default().split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The page about all kinds, as the docs have it.
pub fn markdown(registry: &Registry) -> String {
    let mut page = String::from(
        "# Kinds of definitions\n\nWritten by `zeugma kinds --markdown` from the registry: do not edit it here.\n\nEvery \
         definition has a `name` and a `type`; `enabled: false` keeps it without running it. A time is written as \
         `250ms`, `10s` or `5m`, a size as `500kB` or `16MB`; a secret is best taken from the environment, as \
         `${NAME}`.\n",
    );
    let kinds = kinds(registry);
    for family in Family::ALL {
        let of_family = kinds.iter().filter(|kind| kind.family == family);
        for (index, kind) in of_family.enumerate() {
            if index == 0 {
                page.push_str(&format!("\n## {}\n", family.plural()));
            }
            page.push_str(&section(kind));
        }
    }
    page
}

fn section(kind: &KindView) -> String {
    let description = text(kind.schema.as_value(), "description").unwrap_or_default();
    let mut section = format!("\n### `{}`\n\n{description}\n", kind.kind);
    let parameters = parameters(&kind.schema);
    if !parameters.is_empty() {
        section.push_str("\n| parameter | type | default | what it is |\n|---|---|---|---|\n");
    }
    for Parameter { name, r#type, required, default, description } in parameters {
        let default = match (required, default) {
            (true, _) => "required".into(),
            (false, None) => String::new(),
            (false, Some(default)) => format!("`{}`", plain(&default)),
        };
        let cell = |text: &str| text.replace('|', "\\|");
        section.push_str(&format!(
            "| `{name}` | {} | {} | {} |\n",
            cell(&r#type),
            cell(&default),
            cell(&description)
        ));
    }
    section.push_str(&format!("\n```yaml\n{}```\n", example(kind)));
    section
}
