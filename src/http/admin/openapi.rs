//! The description of the admin API, OpenAPI 3.1, made of the table that routes it.

use std::sync::Arc;

use actors::worker::Verb;
use config::{Family, Name};
use schemars::SchemaGenerator;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};

use super::endpoint::{Content, Endpoint, SchemaOf, schema_of};
use super::shapes::ErrorBody;

/// Describes these endpoints.
pub(super) fn document(endpoints: &[Arc<Endpoint>]) -> Value {
    let settings = SchemaSettings::draft2020_12().with(|s| s.definitions_path = "/components/schemas".into());
    let mut schemas = settings.into_generator();
    let failure = json!({
        "description": "Something is wrong; 422 if definitions are.",
        "content": { "application/json": { "schema": schema_of::<ErrorBody>(&mut schemas) } },
    });
    let mut paths: Map<String, Value> = Map::new();
    for endpoint in endpoints {
        let operation = operation(endpoint, &mut schemas);
        let path = paths.entry(endpoint.path).or_insert_with(|| json!({}));
        path[endpoint.method.as_str().to_lowercase()] = operation;
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Zeugma admin API",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "Changes and shows what a node of Zeugma does. Every answer carries X-Zeugma-CID.",
            "license": { "name": "Apache-2.0", "identifier": "Apache-2.0" },
        },
        "servers": [{ "url": "/" }],
        "security": [{ "token": [] }],
        "paths": paths,
        "components": {
            "securitySchemes": {
                "token": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "An admin token: the one that the first start of a node writes to admin.token, or one made by `zeugma admin-token create`. x-role says what it must allow.",
                },
            },
            "responses": { "Failure": failure },
            "schemas": schemas.take_definitions(true),
        },
    })
}

fn operation(endpoint: &Endpoint, schemas: &mut SchemaGenerator) -> Value {
    let mut operation = json!({
        "operationId": endpoint.operation,
        "summary": endpoint.summary,
        "responses": {
            "200": { "description": endpoint.summary, "content": content(&endpoint.answer, schemas) },
            "default": { "$ref": "#/components/responses/Failure" },
        },
    });
    for other in &endpoint.others {
        let schema = (other.schema)(schemas);
        operation["responses"][other.status.to_string()] = json!({
            "description": other.summary,
            "content": { "application/json": { "schema": schema } },
        });
    }
    let in_path = endpoint.path_params().map(|name| {
        let schema = path_schema(name)(schemas);
        json!({ "name": name, "in": "path", "required": true, "schema": schema })
    });
    let mut parameters: Vec<Value> = in_path.collect();
    for param in &endpoint.query {
        let (name, schema) = (param.name, (param.schema)(schemas));
        parameters
            .push(json!({ "name": name, "in": "query", "description": param.summary, "schema": schema }));
    }
    if !parameters.is_empty() {
        operation["parameters"] = parameters.into();
    }
    if let Some(body) = &endpoint.body {
        operation["requestBody"] =
            json!({ "required": endpoint.needs_body(), "content": content(body, schemas) });
    }
    match endpoint.role {
        Some(role) => operation["x-role"] = role.as_str().into(),
        None => operation["security"] = json!([]),
    }
    operation
}

fn content(content: &Content, schemas: &mut SchemaGenerator) -> Value {
    let schema = content.schema.map(|schema| schema(schemas));
    let one = |media: &&str| {
        let described = schema.as_ref().map_or_else(|| json!({}), |schema| json!({ "schema": schema }));
        ((*media).to_owned(), described)
    };
    Value::Object(content.media.iter().map(one).collect())
}

/// The type of a segment of a path, by its name.
fn path_schema(name: &str) -> SchemaOf {
    match name {
        "family" => schema_of::<Family>,
        "name" => schema_of::<Name>,
        "verb" => schema_of::<Verb>,
        _ => schema_of::<String>,
    }
}
