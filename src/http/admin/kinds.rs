//! What there can be: the kinds of definitions, from the registry.

use actors::{AnyKind, Registry};
use config::KindTag;
use serde_json::Value;

use super::answer::Failure;
use super::call::Call;
use super::shapes::KindView;

/// Lists the kinds.
pub(super) async fn list(call: Call) -> Result<Vec<KindView>, Failure> {
    Ok(all(&call.app.registry))
}

/// Every kind of this registry, by tag.
pub(in crate::http) fn all(registry: &Registry) -> Vec<KindView> {
    registry.kinds().map(|(tag, kind)| view(tag, kind)).collect()
}

fn view(tag: &KindTag, kind: &dyn AnyKind) -> KindView {
    let schema = kind.schema();
    let summary = schema.get("description").and_then(Value::as_str).unwrap_or_default();
    let mut example = serde_json::Map::new();
    example.insert("name".into(), format!("my.{}", tag.r#type).into());
    example.insert("type".into(), tag.r#type.clone().into());
    example.extend(kind.example());
    KindView {
        kind: tag.clone(),
        family: tag.family,
        r#type: tag.r#type.clone(),
        summary: summary.split("\n\n").next().unwrap_or_default().replace('\n', " "),
        example,
        schema,
    }
}
