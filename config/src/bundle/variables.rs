//! `${NAME}` inside the texts of parameters.

use serde_json::Value;

use crate::definition::{Clear, Draft};
use crate::fault::{Fault, Faults};

/// Replaces each `${NAME}` in the texts of all parameters by what `lookup` knows of it, and `$${` by `${`.
///
/// # Errors
/// One fault for each text that names a variable `lookup` does not know, or that is no name at all.
pub fn substitute(drafts: Vec<Draft>, lookup: &dyn Fn(&str) -> Option<String>) -> Result<Vec<Draft>, Faults> {
    let mut faults = Vec::new();
    let filled = fill(drafts, lookup, &mut faults);
    Faults(faults).unless_any(filled)
}

/// The same, with the faults put into a list. A text with a fault stays as it is.
pub(super) fn fill(
    drafts: Vec<Draft>,
    lookup: &dyn Fn(&str) -> Option<String>,
    faults: &mut Vec<Fault>,
) -> Vec<Draft> {
    let mut replaced = Vec::with_capacity(drafts.len());
    for draft in drafts {
        let at = draft.at();
        let params = draft.params.0.into_iter().map(|(key, value)| {
            let value = walk(value, &format!("{at}.{key}"), lookup, faults);
            (key, value)
        });
        let params = Clear(params.collect());
        replaced.push(Draft { params, ..draft });
    }
    replaced
}

fn walk(value: Value, at: &str, lookup: &dyn Fn(&str) -> Option<String>, faults: &mut Vec<Fault>) -> Value {
    match value {
        Value::String(text) if text.contains("${") => match replace(&text, lookup) {
            Ok(text) => Value::String(text),
            Err((message, hint)) => {
                faults.push(Fault::new(at, message).hint(hint));
                Value::String(text)
            }
        },
        Value::Array(items) => {
            let item = |(index, value)| walk(value, &format!("{at}[{index}]"), lookup, faults);
            Value::Array(items.into_iter().enumerate().map(item).collect())
        }
        Value::Object(map) => {
            let entry = |(key, value)| {
                let value = walk(value, &format!("{at}.{key}"), lookup, faults);
                (key, value)
            };
            Value::Object(map.into_iter().map(entry).collect())
        }
        plain => plain,
    }
}

/// The text with its variables filled in, or what is wrong and what to do.
fn replace(text: &str, lookup: &dyn Fn(&str) -> Option<String>) -> Result<String, (String, String)> {
    const LITERAL: &str =
        "write ${NAME} with letters, digits and underscores, or $${ for the characters themselves";
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(dollar) = rest.find('$') {
        out.push_str(&rest[..dollar]);
        rest = &rest[dollar..];
        if let Some(after) = rest.strip_prefix("$${") {
            out.push_str("${");
            rest = after;
        } else if let Some(after) = rest.strip_prefix("${") {
            // What is between the braces is shown only if it is a name: anything else may be part of a secret.
            let Some((name, after)) = after.split_once('}').filter(|(name, _)| is_name(name)) else {
                return Err(("${ begins a variable, but no name and } follow".into(), LITERAL.into()));
            };
            let Some(value) = lookup(name) else {
                let hint =
                    format!("set {name} in the environment, or write $${{{name}}} if it is meant literally");
                return Err((format!("the variable {name} is not set"), hint));
            };
            out.push_str(&value);
            rest = after;
        } else {
            out.push('$');
            rest = &rest[1..];
        }
    }
    out.push_str(rest);
    Ok(out)
}

fn is_name(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

/// The texts of `value` written so that [`substitute`] gives them back.
pub(super) fn escaped(value: &Value) -> Value {
    match value {
        Value::String(text) => Value::String(text.replace("${", "$${")),
        Value::Array(items) => Value::Array(items.iter().map(escaped).collect()),
        Value::Object(map) => Value::Object(map.iter().map(|(k, v)| (k.clone(), escaped(v))).collect()),
        plain => plain.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(text: &str) -> Result<String, (String, String)> {
        replace(text, &|name| (name == "WHO").then(|| "you $${WHO}".into()))
    }

    #[test]
    fn a_variable_is_filled_in_wherever_it_stands_and_only_once() {
        let cases = [
            ("${WHO}", "you $${WHO}"),
            ("<${WHO}|${WHO}>", "<you $${WHO}|you $${WHO}>"),
            ("$${WHO}", "${WHO}"),
            ("$$${WHO}", "$${WHO}"),
            ("100$ $WHO $$", "100$ $WHO $$"),
            ("ü${WHO}ü", "üyou $${WHO}ü"),
        ];
        for (text, expected) in cases {
            assert_eq!(filled(text).as_deref(), Ok(expected), "{text}");
        }
    }

    #[test]
    fn what_is_no_name_is_a_fault_that_shows_nothing_of_it() {
        for text in ["${}", "${hush", "${hu sh}", "${9}", "${hush-hush}"] {
            let (message, hint) = filled(text).expect_err(text);
            assert!(!message.contains("hu") && !hint.contains("hu"), "{message} {hint}");
        }
        let (message, hint) = filled("${NOBODY}").expect_err("not set");
        assert!(message.contains("NOBODY") && hint.contains("$${NOBODY}"), "{message} {hint}");
    }
}
