//! From a request to a service's typed input: path, query and body become one document.

use std::collections::HashMap;
use std::marker::PhantomData;

use schemars::{JsonSchema, Schema};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::request::{Request, malformed};
use crate::{Error, Result};

/// What a text from a path or a query is turned into before the input is read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Scalar {
    Number,
    Bool,
    List,
}

/// Reads inputs of type `T`.
#[derive(Debug)]
pub struct Decoder<T> {
    schema: Schema,
    scalars: HashMap<String, Scalar>,
    input: PhantomData<fn() -> T>,
}

impl<T: DeserializeOwned + JsonSchema> Default for Decoder<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T: DeserializeOwned + JsonSchema> Decoder<T> {
    /// Looks at the schema of `T` once.
    pub fn new() -> Self {
        let schema = schemars::schema_for!(T);
        let properties = schema.get("properties").and_then(Value::as_object);
        let scalars = properties
            .into_iter()
            .flatten()
            .filter_map(|(name, property)| Some((name.clone(), scalar(property)?)))
            .collect();
        Self { schema, scalars, input: PhantomData }
    }

    /// The schema of `T`.
    pub fn schema(&self) -> &Schema {
        &self.schema
    }

    /// Reads the input: the body's JSON object, over which the query and then the path are laid.
    ///
    /// # Errors
    /// Invalid, with line and column if the body is not JSON, with the element's path if it has another shape.
    pub fn decode(&self, request: &Request) -> Result<T> {
        let Some(head) = request.http.as_ref().filter(|h| !h.params.is_empty() || h.uri.query().is_some())
        else {
            let body: &[u8] = if request.raw.is_empty() { b"{}" } else { &request.raw };
            let mut deserializer = serde_json::Deserializer::from_slice(body);
            let input = serde_path_to_error::deserialize(&mut deserializer).map_err(|e| {
                match e.inner().classify() {
                    serde_json::error::Category::Data => mismatch(&e),
                    _ => malformed(e.inner()),
                }
            })?;
            deserializer.end().map_err(|e| malformed(&e))?;
            return Ok(input);
        };
        let mut document = match request.payload()? {
            Value::Object(map) => map,
            Value::Null => Map::new(),
            _ => return Err(Error::invalid("the body is not a JSON object")),
        };
        let mut from_query = Map::new();
        for (name, text) in head.query() {
            self.lay(&mut from_query, &name, text);
        }
        document.extend(from_query);
        for (name, text) in &head.params {
            document.insert(name.to_string(), self.value(name, text.clone()));
        }
        serde_path_to_error::deserialize(Value::Object(document)).map_err(|e| mismatch(&e))
    }

    fn value(&self, name: &str, text: String) -> Value {
        let parsed = match self.scalars.get(name) {
            Some(Scalar::Number) => text.parse().map(Value::Number).ok(),
            Some(Scalar::Bool) => text.parse().map(Value::Bool).ok(),
            Some(Scalar::List) | None => None,
        };
        parsed.unwrap_or(Value::String(text)) // the type's own error then says what was expected
    }

    /// A query parameter that comes twice, or whose element is a list, becomes a list.
    fn lay(&self, into: &mut Map<String, Value>, name: &str, text: String) {
        let value = self.value(name, text);
        match into.get_mut(name) {
            Some(Value::Array(items)) => items.push(value),
            Some(first) => *first = Value::Array(vec![first.take(), value]),
            None if self.scalars.get(name) == Some(&Scalar::List) => {
                into.insert(name.into(), Value::Array(vec![value]));
            }
            None => {
                into.insert(name.into(), value);
            }
        }
    }
}

fn mismatch<E: std::fmt::Display>(error: &serde_path_to_error::Error<E>) -> Error {
    let path = error.path().to_string();
    let path = if path == "." {
        String::new()
    } else {
        format!("/{}", path.replace(['.', '['], "/").replace(']', ""))
    };
    Error::invalid("the input does not have the expected shape").detail(path, error.inner().to_string())
}

fn scalar(property: &Value) -> Option<Scalar> {
    let types = property.get("type")?;
    let is = |t: &str| types == t || types.as_array().is_some_and(|all| all.iter().any(|x| x == t));
    if is("string") {
        None
    } else if is("integer") || is("number") {
        Some(Scalar::Number)
    } else if is("boolean") {
        Some(Scalar::Bool)
    } else if is("array") {
        Some(Scalar::List)
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::HttpHead;
    use std::sync::Arc;

    #[derive(serde::Deserialize, JsonSchema, PartialEq, Debug)]
    struct Input {
        cust_id: u32,
        name: Option<String>,
        #[serde(default)]
        tags: Vec<String>,
    }

    fn request(uri: &str, body: &'static str) -> Request {
        let http = HttpHead {
            method: http::Method::GET,
            uri: uri.parse().expect("a URI"),
            headers: http::HeaderMap::new(),
            peer: ([127, 0, 0, 1], 1).into(),
            certificates: None,
            params: vec![("cust_id".into(), "17".into())],
        };
        Request { http: Some(Arc::new(http)), ..Request::new(body.to_owned()) }
    }

    #[test]
    fn path_beats_query_beats_body_and_texts_become_what_the_type_wants() {
        let input = Decoder::<Input>::new()
            .decode(&request("/x?name=q&cust_id=2&tags=a", r#"{"cust_id": 1, "name": "b"}"#))
            .expect("decodes");
        assert_eq!(input, Input { cust_id: 17, name: Some("q".into()), tags: vec!["a".into()] });
    }

    #[test]
    fn what_is_wrong_is_said_with_its_place() {
        let decoder = Decoder::<Input>::new();
        let error = decoder.decode(&Request::new("{\n \"cust_id\": 1,,}")).expect_err("malformed");
        assert!(error.details()[0].message.contains("line 2 column"), "{error}");
        let error =
            decoder.decode(&Request::new(r#"{"cust_id": 1, "tags": ["a", 7]}"#)).expect_err("a number");
        assert_eq!(error.details()[0].at, "/tags/1");
    }
}
