//! Checks input by a declared JSON schema, and makes of texts what the schema wants.

use std::collections::HashMap;
use std::sync::Arc;

use chrono::{DateTime, NaiveDate, NaiveDateTime};
use sdk::Error;
use serde_json::{Map, Value};

/// How deep a schema may be nested; deeper is not checked.
const DEPTH: usize = 32;

/// What a value is to be.
#[derive(Clone, Debug)]
enum Kind {
    Any,
    Text,
    Int,
    Float,
    Bool,
    Csv,
    Date,
    DateTime,
    Decimal,
    Uuid,
    Choice(Vec<Value>),
    /// A list; one value that is no list counts as a list of one, unless the items are declared.
    List(Option<Box<Kind>>),
    Object(Arc<Object>),
    /// An object declared by name.
    Named(Arc<str>),
}

/// The elements of an object.
#[derive(Clone, Debug, Default)]
struct Object {
    elements: Vec<(String, Kind, bool)>,
}

/// The declared input of a service.
#[derive(Clone, Debug)]
pub(super) struct Shape {
    top: Object,
    named: HashMap<Arc<str>, Object>,
}

/// What is wrong with one value: where, below it, and what.
struct Wrong {
    at: String,
    message: String,
}

impl Wrong {
    fn below(mut self, at: &str) -> Self {
        self.at.insert_str(0, at);
        self
    }
}

impl Shape {
    /// From a schema; none, if it is not one of an object.
    pub(super) fn of(schema: &Value) -> Option<Self> {
        schema.get("properties")?;
        let definitions = schema.get("$defs").and_then(Value::as_object);
        let named = definitions.into_iter().flatten();
        let named = named.map(|(name, schema)| (name.as_str().into(), object(schema))).collect();
        Some(Self { top: object(schema), named })
    }

    /// Whether a value of a query that comes once is a list all the same.
    pub(super) fn is_list(&self, name: &str) -> bool {
        self.top.elements.iter().any(|(element, kind, _)| element == name && matches!(kind, Kind::List(_)))
    }

    /// Whether there is such an element.
    pub(super) fn has(&self, name: &str) -> bool {
        self.top.elements.iter().any(|(element, ..)| element == name)
    }

    /// Checks the input, and turns its values into what they are to be. What is optional and not there is left out.
    ///
    /// # Errors
    /// Invalid, with everything that is wrong.
    pub(super) fn check(&self, input: &mut Map<String, Value>) -> Result<(), Error> {
        let mut faults = Vec::new();
        for (name, kind, required) in &self.top.elements {
            let value = input.get_mut(name).filter(|value| !value.is_null());
            let nothing = |value: &Value| !required && value == "" && !matches!(kind, Kind::Text);
            match value {
                Some(value) if !nothing(value) => {
                    if let Err(wrong) = self.convert(kind, value, 0) {
                        faults.push(wrong.below(&format!("/{name}")));
                    }
                }
                _ if *required => {
                    let message = format!("is to be {}; it is missing", expected(kind));
                    faults.push(Wrong { at: format!("/{name}"), message });
                }
                _ => drop(input.shift_remove(name)),
            }
        }
        if faults.is_empty() {
            return Ok(());
        }
        let error = Error::invalid("the input is not as declared");
        Err(faults.into_iter().fold(error, |error, Wrong { at, message }| error.detail(at, message)))
    }

    fn convert(&self, kind: &Kind, value: &mut Value, depth: usize) -> Result<(), Wrong> {
        if depth > DEPTH {
            return Ok(());
        }
        let wrong = |value: &Value| {
            let message = format!("is to be {}, not {}", expected(kind), said(value));
            Err(Wrong { at: String::new(), message })
        };
        let ok = match (kind, &mut *value) {
            (Kind::Any, _) => true,
            (Kind::Text, Value::String(_)) => true,
            (Kind::Text, Value::Number(_) | Value::Bool(_)) => {
                *value = Value::String(value.to_string());
                true
            }
            (Kind::Int, found) => whole(found).map(|number| *value = number).is_some(),
            (Kind::Float, Value::Number(_)) => true,
            (Kind::Float, Value::String(text)) => {
                let number = text.trim().parse().ok().and_then(serde_json::Number::from_f64);
                number.map(|number| *value = Value::Number(number)).is_some()
            }
            (Kind::Bool, found) => truth(found).map(|truth| *value = Value::Bool(truth)).is_some(),
            (Kind::Csv, Value::String(text)) => {
                let parts = text.split(',').map(|part| Value::String(part.trim().to_owned()));
                *value = if text.is_empty() { Value::Array(Vec::new()) } else { parts.collect() };
                true
            }
            (Kind::Csv, Value::Array(_)) => true,
            (Kind::Date, Value::String(text)) => is_date(text),
            (Kind::DateTime, Value::String(text)) => is_time(text),
            (Kind::Decimal, Value::Number(_)) => true,
            (Kind::Decimal, Value::String(text)) => {
                text.trim().parse::<f64>().is_ok_and(f64::is_finite) && !text.contains(['x', 'X'])
            }
            (Kind::Uuid, Value::String(text)) => is_uuid(text),
            (Kind::Choice(values), found) => {
                let text = |value: &Value| match value {
                    Value::String(text) => text.clone(),
                    other => other.to_string(),
                };
                let given = text(found);
                values.iter().any(|value| text(value) == given)
            }
            (Kind::List(items), Value::Array(values)) => {
                for (index, value) in values.iter_mut().enumerate() {
                    if let Some(items) = items {
                        let converted = self.convert(items, value, depth + 1);
                        converted.map_err(|wrong| wrong.below(&format!("/{index}")))?;
                    }
                }
                true
            }
            (Kind::List(None), Value::Object(_)) => false,
            (Kind::List(None), found) => {
                *value = Value::Array(vec![found.take()]);
                true
            }
            (Kind::Object(object), Value::Object(map)) => {
                self.object(object, map, depth)?;
                true
            }
            (Kind::Named(name), Value::Object(map)) => {
                if let Some(object) = self.named.get(name) {
                    self.object(object, map, depth)?;
                }
                true
            }
            _ => false,
        };
        if ok { Ok(()) } else { wrong(value) }
    }

    fn object(&self, object: &Object, map: &mut Map<String, Value>, depth: usize) -> Result<(), Wrong> {
        for (name, kind, required) in &object.elements {
            match map.get_mut(name) {
                Some(value) if !value.is_null() => {
                    let converted = self.convert(kind, value, depth + 1);
                    converted.map_err(|wrong| wrong.below(&format!("/{name}")))?;
                }
                _ if *required => {
                    let message = format!("is to be {}; it is missing", expected(kind));
                    return Err(Wrong { at: format!("/{name}"), message });
                }
                _ => {}
            }
        }
        Ok(())
    }
}

fn object(schema: &Value) -> Object {
    let required = schema.get("required").and_then(Value::as_array);
    let is_required = |name: &str| required.is_some_and(|names| names.iter().any(|n| n == name));
    let properties = schema.get("properties").and_then(Value::as_object);
    let element = |(name, schema): (&String, &Value)| (name.clone(), kind(schema, 0), is_required(name));
    Object { elements: properties.into_iter().flatten().map(element).collect() }
}

fn kind(schema: &Value, depth: usize) -> Kind {
    let text = |key: &str| schema.get(key).and_then(Value::as_str).unwrap_or_default();
    if let Some(name) = text("$ref").strip_prefix("#/$defs/") {
        return Kind::Named(name.into());
    }
    if let Some(Value::Array(values)) = schema.get("enum") {
        return Kind::Choice(values.clone());
    }
    match (text("type"), text("format"), text("x-zeugma-type")) {
        (_, _, "csv") => Kind::Csv,
        ("string", "date", _) => Kind::Date,
        ("string", "date-time", _) => Kind::DateTime,
        ("string", "decimal", _) => Kind::Decimal,
        ("string", "uuid", _) => Kind::Uuid,
        ("string", ..) => Kind::Text,
        ("integer", ..) => Kind::Int,
        ("number", ..) => Kind::Float,
        ("boolean", ..) => Kind::Bool,
        ("array", ..) => {
            let items = schema.get("items").filter(|_| depth < DEPTH);
            Kind::List(items.map(|items| Box::new(kind(items, depth + 1))))
        }
        ("object", ..) if depth < DEPTH => Kind::Object(Arc::new(object(schema))),
        _ => Kind::Any,
    }
}

fn expected(kind: &Kind) -> &'static str {
    match kind {
        Kind::Any => "anything",
        Kind::Text => "a text",
        Kind::Int => "an integer",
        Kind::Float => "a number",
        Kind::Bool => "a boolean",
        Kind::Csv => "texts with commas between them",
        Kind::Date => "a date such as 2026-02-21",
        Kind::DateTime => "a time such as 2026-02-21T23:10:11",
        Kind::Decimal => "a decimal number",
        Kind::Uuid => "a UUID",
        Kind::Choice(_) => "one of the values that are declared",
        Kind::List(_) => "a list",
        Kind::Object(_) | Kind::Named(_) => "an object",
    }
}

/// What came, in a few words.
fn said(value: &Value) -> String {
    match value {
        Value::Null => "null".into(),
        Value::Bool(_) => "a boolean".into(),
        Value::Number(_) => "a number".into(),
        Value::String(text) if text.chars().count() <= 40 => format!("{text:?}"),
        Value::String(_) => "a text".into(),
        Value::Array(_) => "a list".into(),
        Value::Object(_) => "an object".into(),
    }
}

fn whole(value: &Value) -> Option<Value> {
    match value {
        Value::Number(number) if number.is_i64() || number.is_u64() => Some(value.clone()),
        Value::Number(number) => {
            let float = number.as_f64().filter(|float| float.fract() == 0.0 && float.abs() < 9e15)?;
            format!("{float:.0}").parse::<i64>().ok().map(Value::from)
        }
        Value::String(text) => {
            let text = text.trim();
            text.parse::<i64>().map(Value::from).or_else(|_| text.parse::<u64>().map(Value::from)).ok()
        }
        _ => None,
    }
}

fn truth(value: &Value) -> Option<bool> {
    match value {
        Value::Bool(truth) => Some(*truth),
        Value::Number(number) => match number.as_u64() {
            Some(0) => Some(false),
            Some(1) => Some(true),
            _ => None,
        },
        Value::String(text) => match text.to_ascii_lowercase().as_str() {
            "true" | "1" | "yes" | "on" | "y" | "t" => Some(true),
            "false" | "0" | "no" | "off" | "n" | "f" => Some(false),
            _ => None,
        },
        _ => None,
    }
}

fn is_date(text: &str) -> bool {
    text.get(..10).is_some_and(|day| NaiveDate::parse_from_str(day, "%Y-%m-%d").is_ok())
}

fn is_time(text: &str) -> bool {
    let text = text.trim().replacen(' ', "T", 1);
    let naive = |form: &str| NaiveDateTime::parse_from_str(&text, form).is_ok();
    DateTime::parse_from_rfc3339(&text).is_ok()
        || naive("%Y-%m-%dT%H:%M:%S%.f")
        || naive("%Y-%m-%dT%H:%M")
        || DateTime::parse_from_str(&text, "%Y-%m-%dT%H:%M:%S%.f%#z").is_ok()
        || DateTime::parse_from_str(&text, "%Y-%m-%dT%H:%M%#z").is_ok()
        || (text.len() == 10 && is_date(&text))
}

fn is_uuid(text: &str) -> bool {
    let text = text.trim().trim_start_matches("urn:uuid:").trim_matches(['{', '}']);
    let digits = text.chars().filter(|c| *c != '-');
    digits.clone().count() == 32 && digits.into_iter().all(|c| c.is_ascii_hexdigit())
}
