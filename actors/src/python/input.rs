//! From a request to the declared input of a service: body, query and path become one object, checked and converted.

use sdk::request::malformed;
use sdk::{Error, Request, Result};
use serde_json::{Map, Value};

use super::schema::Shape;

/// The input of a service, ready for it. The path is laid over the query, the query over the body; of the body only what
/// is declared counts.
///
/// # Errors
/// Invalid, if the body is no JSON object, or the input is not as declared.
pub(super) fn read(shape: &Shape, request: &Request) -> Result<Map<String, Value>> {
    let mut input = match body(request)? {
        Value::Object(map) => map,
        Value::Null => Map::new(),
        _ => return Err(Error::invalid("the body is not a JSON object")),
    };
    input.retain(|name, _| shape.has(name));
    if let Some(head) = &request.http {
        let mut query = Map::new();
        for (name, text) in head.query() {
            let value = Value::String(text);
            match query.get_mut(&name) {
                Some(Value::Array(values)) => values.push(value),
                Some(first) => *first = Value::Array(vec![first.take(), value]),
                None if shape.is_list(&name) => drop(query.insert(name, Value::Array(vec![value]))),
                None => drop(query.insert(name, value)),
            }
        }
        input.extend(query);
        for (name, text) in &head.params {
            input.insert(name.to_string(), Value::String(text.clone()));
        }
    }
    shape.check(&mut input)?;
    Ok(input)
}

fn body(request: &Request) -> Result<Value> {
    if request.raw.trim_ascii().is_empty() {
        return Ok(Value::Null);
    }
    serde_json::from_slice(&request.raw).map_err(|e| malformed(&e))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use sdk::HttpHead;
    use serde_json::json;

    use super::*;

    fn shape() -> Shape {
        let schema = json!({
            "type": "object",
            "properties": {
                "cust_id": {"type": "integer"},
                "is_active": {"type": "boolean", "default": ""},
                "tags": {"type": "array", "items": {"type": "string"}, "default": ""},
                "codes": {"type": "array", "items": {"type": "string"}, "x-zeugma-type": "csv", "default": ""},
                "day": {"type": "string", "format": "date", "default": ""},
                "phones": {"type": "array", "items": {"$ref": "#/$defs/Phone"}, "default": ""},
            },
            "required": ["cust_id"],
            "$defs": {"Phone": {"type": "object", "properties": {"number": {"type": "string"}}, "required": ["number"]}},
        });
        Shape::of(&schema).expect("of an object")
    }

    fn request(uri: &str, path: &[(&str, &str)], body: &str) -> Request {
        let head = HttpHead {
            method: http::Method::GET,
            uri: uri.parse().expect("a URI"),
            headers: http::HeaderMap::new(),
            peer: ([127, 0, 0, 1], 1).into(),
            certificates: None,
            params: path.iter().map(|(name, value)| ((*name).into(), (*value).to_owned())).collect(),
        };
        Request { http: Some(Arc::new(head)), ..Request::new(body.to_owned()) }
    }

    #[test]
    fn path_beats_query_beats_body_and_texts_become_what_is_declared() {
        let request = request(
            "/x?cust_id=2&is_active=yes&tags=a&codes=x,%20y&else=1",
            &[("cust_id", "3")],
            r#"{"cust_id": 1, "unknown": 1, "day": "2026-02-21", "phones": [{"number": 5}]}"#,
        );
        let read = read(&shape(), &request).expect("it is right");
        let expected = json!({"cust_id": 3, "is_active": true, "tags": ["a"], "codes": ["x", "y"], "else": "1",
            "day": "2026-02-21", "phones": [{"number": "5"}]});
        assert_eq!(Value::Object(read), expected);
    }

    #[test]
    fn everything_that_is_wrong_is_told_with_its_place_and_what_came() {
        let body = r#"{"is_active": "perhaps", "day": "soon", "phones": [{"number": "1"}, {}]}"#;
        let error = read(&shape(), &request("/x", &[], body)).expect_err("it is wrong");
        let details: Vec<_> = error.details().iter().map(|d| format!("{} {}", d.at, d.message)).collect();
        assert_eq!(
            details,
            [
                "/cust_id is to be an integer; it is missing",
                "/is_active is to be a boolean, not \"perhaps\"",
                "/day is to be a date such as 2026-02-21, not \"soon\"",
                "/phones/1/number is to be a text; it is missing",
            ]
        );
        for body in ["[]", "7", "{", "\u{feff}{}"] {
            let error = read(&shape(), &request("/x", &[], body)).expect_err(body);
            assert_eq!(error.kind(), sdk::ErrorKind::Invalid, "{body}");
        }
    }
}
