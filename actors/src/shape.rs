//! What the parameters of each kind look like, found out once: making a schema takes longer than checking a definition.

use std::any::TypeId;
use std::collections::HashMap;
use std::sync::{LazyLock, PoisonError, RwLock};

use config::Pointer;
use schemars::{Schema, schema_for};
use serde_json::{Map, Value};

use crate::check;
use crate::kind::Kind;

/// See the module.
#[derive(Debug)]
pub struct Shape {
    /// The JSON schema, for people, forms and checks.
    pub schema: Schema,
    /// The parameters of a typical definition.
    pub example: Map<String, Value>,
    /// Where secrets are.
    pub secrets: Vec<Pointer>,
}

/// One for each kind of the program, of which there are as many as there are types: they are kept for good.
static SHAPES: LazyLock<RwLock<HashMap<TypeId, &'static Shape>>> = LazyLock::new(RwLock::default);

/// The shape of a kind's parameters.
pub(crate) fn of<K: Kind>() -> &'static Shape {
    let known = SHAPES.read().unwrap_or_else(PoisonError::into_inner).get(&TypeId::of::<K>()).copied();
    known.unwrap_or_else(|| {
        let mut shapes = SHAPES.write().unwrap_or_else(PoisonError::into_inner);
        shapes.entry(TypeId::of::<K>()).or_insert_with(|| Box::leak(Box::new(found_out::<K>())))
    })
}

fn found_out<K: Kind>() -> Shape {
    let schema = schema_for!(K::Params);
    let secrets = check::secrets(&schema);
    let example = match serde_json::to_value(K::example()) {
        Ok(Value::Object(map)) => map.into_iter().filter(|(_, value)| !value.is_null()).collect(),
        _ => Map::new(),
    };
    Shape { schema, example, secrets }
}
