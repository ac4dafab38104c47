//! What an unquoted text means: the core schema of YAML 1.2.

use serde_json::{Number, Value};

use super::document::Problem;

const NOT_FINITE: Problem = Problem {
    message: "infinity and not-a-number are no values of a parameter",
    hint: "put it in quotes if it is meant as text",
};
const TOO_LARGE: Problem = Problem {
    message: "the number is too large to be kept exactly",
    hint: "put it in quotes if it is an identifier and not a quantity",
};
const BAD_TAG: Problem = Problem {
    message: "the value does not fit its tag",
    hint: "take the tag out, or put the value in quotes",
};
/// What is said about `<<: *other`.
pub(super) const MERGE: Problem = Problem {
    message: "merge keys (<<) are not part of YAML 1.2",
    hint: "write the parameters out; \"<<\" in quotes is a text like any other",
};

/// The value of an unquoted text.
pub(super) fn plain(text: &str) -> Result<Value, Problem> {
    Ok(match text {
        "" | "~" | "null" | "Null" | "NULL" => Value::Null,
        "true" | "True" | "TRUE" => Value::Bool(true),
        "false" | "False" | "FALSE" => Value::Bool(false),
        _ => match number(text) {
            Some(number) => number?,
            None => Value::String(text.into()),
        },
    })
}

/// The value of a text that is marked as `kind`.
pub(super) fn tagged(text: &str, kind: &str) -> Result<Value, Problem> {
    let value = plain(text)?;
    match (kind, &value) {
        ("null", Value::Null) | ("bool", Value::Bool(_)) => Ok(value),
        ("int", Value::Number(n)) if !n.is_f64() => Ok(value),
        ("float", Value::Number(n)) => {
            n.as_f64().and_then(Number::from_f64).map(Value::Number).ok_or(BAD_TAG)
        }
        _ => Err(BAD_TAG),
    }
}

/// The number this text stands for, if it is one.
fn number(text: &str) -> Option<Result<Value, Problem>> {
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    if !unsigned.starts_with(|c: char| c.is_ascii_digit() || c == '.') {
        return None;
    }
    for (prefix, radix) in [("0x", 16), ("0o", 8)] {
        // These carry no sign; and `from_str_radix` would take one after the prefix.
        if let Some(digits) = text.strip_prefix(prefix)
            && !digits.is_empty()
            && digits.chars().all(|c| c.is_digit(radix))
        {
            return Some(u64::from_str_radix(digits, radix).map(Value::from).map_err(|_| TOO_LARGE));
        }
    }
    if !unsigned.is_empty() && unsigned.bytes().all(|b| b.is_ascii_digit()) {
        let value = text.parse::<i64>().map(Value::from).or_else(|_| text.parse::<u64>().map(Value::from));
        return Some(value.map_err(|_| TOO_LARGE));
    }
    if matches!(unsigned, ".inf" | ".Inf" | ".INF") || matches!(text, ".nan" | ".NaN" | ".NAN") {
        return Some(Err(NOT_FINITE));
    }
    if !is_float(unsigned) {
        return None;
    }
    let value = text.parse::<f64>().ok()?;
    Some(Number::from_f64(value).map(Value::Number).ok_or(TOO_LARGE))
}

/// `( \. [0-9]+ | [0-9]+ ( \. [0-9]* )? ) ( [eE] [-+]? [0-9]+ )?`
fn is_float(text: &str) -> bool {
    let digits = |s: &str| s.bytes().all(|b| b.is_ascii_digit());
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent.strip_prefix(['+', '-']).unwrap_or(exponent))),
        None => (text, None),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let some_digits = !whole.is_empty() || !fraction.is_empty();
    some_digits && digits(whole) && digits(fraction) && exponent.is_none_or(|e| !e.is_empty() && digits(e))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_unquoted_text_means_what_the_core_schema_says() {
        let cases = [
            ("", json!(null)),
            ("~", json!(null)),
            ("Null", json!(null)),
            ("TRUE", json!(true)),
            ("yes", json!("yes")),
            ("on", json!("on")),
            ("12", json!(12)),
            ("+12", json!(12)),
            ("-12", json!(-12)),
            ("007", json!(7)),
            ("0x1F", json!(31)),
            ("0o17", json!(15)),
            ("-0x1F", json!("-0x1F")),
            ("0x+1", json!("0x+1")),
            ("0x", json!("0x")),
            ("18446744073709551615", json!(u64::MAX)),
            ("1.5", json!(1.5)),
            ("1.", json!(1.0)),
            (".5", json!(0.5)),
            ("1e3", json!(1000.0)),
            ("-1E-3", json!(-0.001)),
            ("1e", json!("1e")),
            (".", json!(".")),
            ("+", json!("+")),
            ("-", json!("-")),
            ("1_000", json!("1_000")),
            ("1:30", json!("1:30")),
            ("10s", json!("10s")),
            ("127.0.0.1", json!("127.0.0.1")),
            ("2026-12-01T09:00:00Z", json!("2026-12-01T09:00:00Z")),
            ("infinity", json!("infinity")),
            ("nan", json!("nan")),
        ];
        for (text, value) in cases {
            assert_eq!(plain(text), Ok(value), "{text}");
        }
        for text in [".inf", "-.Inf", ".nan", "1e999", "18446744073709551616", "-9223372036854775809"] {
            assert!(plain(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_tag_must_fit() {
        assert_eq!(tagged("3", "float"), Ok(json!(3.0)));
        assert!(tagged("x", "int").is_err());
        assert!(tagged("3.5", "int").is_err());
    }
}
