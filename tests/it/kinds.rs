//! The contract of every kind of definition there is, walked through the registry: a new kind is tested as it is entered.

use actors::registry::KINDS;
use actors::{AnyKind, Registry};
use config::{Clear, Draft, Family, Fault, Keyring, KindTag, Place, Pointer, Rules as _};
use serde_json::{Map, Value};
use zeugma::reference;

use crate::kit::node::TestNode;

/// What stands for a secret in these tests.
const SECRET: &str = "aVerySecretWord4711";

fn registry() -> Registry {
    Registry::new(&[], &[]).expect("a registry")
}

/// A draft of this kind.
fn draft(kind: &dyn AnyKind, params: Map<String, Value>) -> Draft {
    let tag: KindTag = kind.tag().parse().expect("a tag");
    let id = format!("{}/zeugma.ping", tag.family).parse().expect("an id"); // a service that is compiled in
    Draft { id, kind: tag, enabled: true, params: Clear(params), place: Place::default() }
}

/// Everything that is wrong with these parameters.
fn faults(kind: &dyn AnyKind, params: Map<String, Value>) -> Vec<Fault> {
    registry().check(&draft(kind, params)).faults
}

/// The example, with a secret wherever one can be that is in it.
fn example(kind: &dyn AnyKind) -> Map<String, Value> {
    let mut params = kind.shape().example.clone();
    for pointer in kind.shape().secrets.clone() {
        if let Some(secret) = at(&mut params, &pointer) {
            *secret = SECRET.into();
        }
    }
    params
}

/// The value at a pointer, if it is there.
fn at<'p>(params: &'p mut Map<String, Value>, pointer: &Pointer) -> Option<&'p mut Value> {
    let (first, rest) = pointer.0.split_first()?;
    let step = |value: &'p mut Value, step: &String| match step.as_str() {
        "*" => value.as_object_mut()?.values_mut().next(),
        key => value.as_object_mut()?.get_mut(key),
    };
    rest.iter().try_fold(params.get_mut(first)?, step)
}

/// Puts a value at a path, making the maps on the way there.
fn put(params: &mut Map<String, Value>, path: &[String], value: Value) {
    let Some((first, rest)) = path.split_first() else { return };
    if rest.is_empty() {
        params.insert(first.clone(), value);
        return;
    }
    let inner = params.entry(first).or_insert_with(|| Value::Object(Map::new()));
    put(inner.as_object_mut().expect("a map"), rest, value);
}

#[test]
fn every_tag_is_a_family_and_a_type_of_its_own() {
    let mut seen = std::collections::BTreeSet::new();
    for kind in KINDS {
        let tag: KindTag = kind.tag().parse().unwrap_or_else(|fault| panic!("{}: {fault}", kind.tag()));
        assert_eq!(tag.to_string(), kind.tag());
        assert!(Family::ALL.contains(&tag.family), "{tag}");
        assert!(seen.insert(tag.clone()), "{tag} is there twice");
        assert!(registry().kind(&tag).is_ok_and(|found| found.tag() == kind.tag()), "{tag} is not found");
    }
}

#[test]
fn every_example_passes_the_check_and_comes_back_from_a_bundle_as_it_was() {
    for kind in KINDS {
        let params = example(*kind);
        assert_eq!(faults(*kind, params.clone()), [], "{}", kind.tag());
        let mut listed = Map::new();
        listed.insert("name".into(), "a name".into());
        listed.insert("type".into(), draft(*kind, params.clone()).kind.r#type.into());
        listed.extend(params.clone());
        let family = draft(*kind, Map::new()).id.family;
        for text in [
            config::bundle::write_yaml([(family, listed.clone())].into_iter()),
            config::bundle::write_json([(family, listed)].into_iter()),
        ] {
            let read = config::bundle::Bundle::read(&text, None).filled(&|_| None).sound();
            assert_eq!(read.expect("a bundle")[0].params, Clear(params.clone()), "{text}");
        }
    }
}

#[test]
fn an_unknown_parameter_is_a_fault_that_says_what_was_meant() {
    for kind in KINDS {
        let schema = &kind.shape().schema;
        let known = schema.get("properties").and_then(Value::as_object);
        let known: Vec<&String> = known.into_iter().flatten().map(|(name, _)| name).collect();
        for name in &known {
            let mut params = example(*kind);
            let typo = format!("{name}x");
            params.insert(typo.clone(), "anything".into());
            let found = faults(*kind, params);
            assert_eq!(found.len(), 1, "{}: {found:?}", kind.tag());
            assert_eq!(found[0].at, typo, "{}", kind.tag());
            let hint = found[0].hint.as_deref().unwrap_or_default();
            let meant = known.iter().any(|other| hint == format!("did you mean {other:?}?"));
            assert!(meant, "{}.{typo}: {hint:?}", kind.tag());
        }
        let mut params = example(*kind);
        params.insert("zzzzzzzzzzzz".into(), Value::Null);
        assert_eq!(
            faults(*kind, params).len(),
            1,
            "{}: a parameter without a value is unknown, too",
            kind.tag()
        );
    }
}

#[test]
fn a_required_parameter_that_is_missing_is_named() {
    let mut tested = 0;
    for kind in KINDS {
        let schema = &kind.shape().schema;
        let required = schema.get("required").and_then(Value::as_array);
        for name in required.into_iter().flatten().filter_map(Value::as_str) {
            let mut params = example(*kind);
            params.remove(name).unwrap_or_else(|| panic!("{}: the example has no {name}", kind.tag()));
            let found = faults(*kind, params);
            assert!(found.iter().any(|fault| fault.at == name), "{}.{name}: {found:?}", kind.tag());
            tested += 1;
        }
        // All at once are all named.
        let named = faults(*kind, Map::new());
        let all = schema.get("required").and_then(Value::as_array);
        for name in all.into_iter().flatten().filter_map(Value::as_str) {
            assert!(named.iter().any(|fault| fault.at == name), "{}.{name}: {named:?}", kind.tag());
        }
    }
    assert!(tested > 5, "hardly anything is required: {tested}");
}

#[test]
fn a_value_of_the_wrong_type_is_a_fault_at_its_parameter_and_never_a_panic() {
    let wrong = [Value::Null, true.into(), (-1).into(), 1e300.into(), "".into(), "\u{0}\n".into()];
    let nested = [serde_json::json!([[]]), serde_json::json!({"x": {"y": []}})];
    for kind in KINDS {
        let schema = &kind.shape().schema;
        let known = schema.get("properties").and_then(Value::as_object);
        for (name, _) in known.into_iter().flatten() {
            for value in wrong.iter().chain(&nested) {
                let mut params = example(*kind);
                params.insert(name.clone(), value.clone());
                let found = faults(*kind, params);
                for fault in &found {
                    assert!(!fault.message.is_empty() && !fault.at.is_empty(), "{}: {fault:?}", kind.tag());
                }
                // A nested value fits no parameter but a map or a list.
                let place = |fault: &Fault| fault.at.starts_with(name.as_str());
                let text =
                    schema.get("properties").and_then(|all| all[name].get("type")) == Some(&"string".into());
                if text && !value.is_string() {
                    assert!(found.iter().any(place), "{}.{name} = {value}: {found:?}", kind.tag());
                }
            }
        }
    }
}

#[test]
fn a_span_of_time_that_nobody_can_reckon_with_is_a_fault() {
    let mut tested = 0;
    for kind in KINDS {
        for parameter in reference::parameters(&kind.shape().schema) {
            if parameter.r#type != "time" || parameter.name.contains("[]") {
                continue;
            }
            let pointer = Pointer(parameter.name.split('.').map(Into::into).collect());
            let mut params = example(*kind);
            put(&mut params, &pointer.0, "18446744073709551615s".into());
            let found = faults(*kind, params);
            assert_eq!(found.len(), 1, "{}.{}: {found:?}", kind.tag(), parameter.name);
            assert!(found[0].at.starts_with(&pointer.0[0]), "{}: {found:?}", kind.tag());
            tested += 1;
        }
    }
    assert!(tested > 5, "hardly any: {tested}");
}

#[test]
fn every_parameter_is_documented_wherever_people_look() {
    let page =
        std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/kinds.md")).expect("the page");
    let views = reference::kinds(&registry());
    assert_eq!(views.len(), KINDS.len());
    for view in views {
        let section = page.split_once(&format!("\n### `{}`\n", view.kind));
        let (_, section) = section.unwrap_or_else(|| panic!("docs/kinds.md does not speak of {}", view.kind));
        let section = section.split("\n### ").next().unwrap_or_default();
        assert!(!view.summary.is_empty(), "{}", view.kind);
        for parameter in reference::parameters(&view.schema) {
            let words = parameter.description.split_whitespace().count();
            assert!(words >= 2, "{}.{}: {:?}", view.kind, parameter.name, parameter.description);
            assert!(
                section.contains(&format!("| `{}` |", parameter.name)),
                "{}.{}",
                view.kind,
                parameter.name
            );
        }
    }
}

#[test]
fn secrets_are_masked_wherever_a_definition_is_shown() {
    let keyring = Keyring::generate();
    let mut found = 0;
    for kind in KINDS {
        let secrets = kind.shape().secrets.clone();
        let params = example(*kind);
        let holds_one = Value::Object(params.clone()).to_string().contains(SECRET);
        let draft = draft(*kind, params);
        let sealed = keyring.seal(&draft.params, &secrets, None).expect("sealed");
        let masked = Value::Object(sealed.masked()).to_string();
        let at_rest = serde_json::to_string(&sealed).expect("JSON");
        for shown in [format!("{draft:?}"), format!("{sealed:?}"), masked.clone(), at_rest] {
            assert!(!shown.contains(SECRET), "{}: {shown}", kind.tag());
        }
        if holds_one {
            assert!(masked.contains("(sealed)"), "{}: {masked}", kind.tag());
            found += 1;
        }
        let opened = keyring.open(&sealed).expect("opened");
        assert_eq!(opened, draft.params, "{}", kind.tag());
    }
    assert!(found >= 4, "hardly any example has a secret: {found}");
}

#[tokio::test]
async fn every_example_starts_or_says_why_not_and_nothing_panics() {
    let node = TestNode::start().await;
    // What the examples refer to.
    node.apply(
        "security:
        - {name: clerk, type: basic, username: clerk, password: hush-hush}
        - {name: partner, type: api-key, key: hush-hush}
connections: [{name: my.vault, type: vault, url: 'http://127.0.0.1:9/'}]",
    )
    .await;
    for kind in KINDS {
        let mut params = example(*kind);
        let draft = draft(*kind, params.clone());
        let name = if draft.id.family == Family::Service { "zeugma.ping" } else { "an example" };
        params.insert("name".into(), name.into());
        params.insert("type".into(), draft.kind.r#type.clone().into());
        if params.contains_key("service") {
            params.insert("service".into(), "zeugma.ping".into());
        }
        if params.contains_key("package") {
            params.insert("package".into(), "an example".into());
        }
        let bundle = config::bundle::write_json([(draft.id.family, params)].into_iter());
        match node.try_apply(&bundle).await {
            Ok(outcome) => {
                for fault in outcome.receipt.nodes.iter().flat_map(|node| &node.faults) {
                    assert!(!fault.message.contains("panic"), "{}: {fault}", kind.tag());
                }
            }
            Err(refused) => panic!("{}: {refused}", kind.tag()),
        }
    }
    let panics: Vec<String> = node
        .metrics()
        .lines()
        .filter(|line| line.starts_with("zeugma_panics_total") && !line.ends_with(" 0"))
        .map(Into::into)
        .collect();
    assert_eq!(panics, Vec::<String>::new());
    node.stop().await;
}
