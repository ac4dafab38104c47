//! Spans of time and sizes as people write them: `10s`, `250ms`, `16MB`.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// The keyword that says in a JSON schema what a text or number is an amount of: `time` or `size`.
pub const UNIT_KEYWORD: &str = "x-unit";

/// A span of time, written as a number and a unit (`ms`, `s`, `m`, `h`, `d`), such as `10s` or `1m 30s`.
/// A bare number is seconds.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Span(Duration);

impl Span {
    /// That many milliseconds.
    pub const fn millis(n: u64) -> Self {
        Self(Duration::from_millis(n))
    }

    /// That many seconds.
    pub const fn secs(n: u64) -> Self {
        Self(Duration::from_secs(n))
    }

    /// As the standard library's type.
    pub const fn get(self) -> Duration {
        self.0
    }
}

/// The longest span: a hundred years. A point in time that is much further away cannot be computed, and whoever tries
/// panics.
const LONGEST: Span = Span::secs(36_500 * 24 * 60 * 60);

impl FromStr for Span {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let span = match text.trim().parse::<u64>() {
            Ok(seconds) => Self::secs(seconds),
            Err(_) => humantime::parse_duration(text)
                .map(Self)
                .map_err(|e| format!("{text:?} is not a span of time: {e}; write 250ms, 10s, 5m or 2h"))?,
        };
        if span > LONGEST {
            return Err(format!("{text:?} is longer than a hundred years"));
        }
        Ok(span)
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        humantime::format_duration(self.0).fmt(f)
    }
}

impl fmt::Debug for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// A number of bytes, written as a number and a unit (`B`, `kB`, `MB`, `GB` in thousands, `KiB`, `MiB`, `GiB` in
/// 1024s), such as `16MB`. A bare number is bytes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Size(u64);

/// Unit and factor, larger ones first, so that a size is written with the largest that divides it.
const SIZE_UNITS: [(&str, u64); 7] = [
    ("GiB", 1 << 30),
    ("GB", 1_000_000_000),
    ("MiB", 1 << 20),
    ("MB", 1_000_000),
    ("KiB", 1 << 10),
    ("kB", 1_000),
    ("B", 1),
];

impl Size {
    /// That many bytes.
    pub const fn bytes(n: u64) -> Self {
        Self(n)
    }

    /// The number of bytes.
    pub const fn get(self) -> u64 {
        self.0
    }

    /// The number of bytes as a length in memory.
    pub fn as_len(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }
}

impl FromStr for Size {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let bad = || format!("{text:?} is not a size; write 500kB, 16MB or 2GiB");
        let text = text.trim();
        let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
        let number: u64 = text[..digits].parse().map_err(|_| bad())?;
        let unit = text[digits..].trim();
        let factor = match unit {
            "" => 1,
            unit => SIZE_UNITS.iter().find(|(u, _)| u.eq_ignore_ascii_case(unit)).ok_or_else(bad)?.1,
        };
        number.checked_mul(factor).map(Self).ok_or_else(bad)
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (unit, factor) = SIZE_UNITS
            .iter()
            .find(|(_, factor)| self.0 >= *factor && self.0.is_multiple_of(*factor))
            .unwrap_or(&("B", 1));
        write!(f, "{}{unit}", self.0 / factor)
    }
}

impl fmt::Debug for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

macro_rules! text_or_number {
    ($type:ident, $unit:literal, $description:literal, $pattern:literal) => {
        impl Serialize for $type {
            fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
                s.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
                struct Visitor;
                impl de::Visitor<'_> for Visitor {
                    type Value = $type;
                    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                        f.write_str($description)
                    }
                    fn visit_str<E: de::Error>(self, text: &str) -> Result<$type, E> {
                        text.parse().map_err(E::custom)
                    }
                    fn visit_u64<E: de::Error>(self, n: u64) -> Result<$type, E> {
                        self.visit_str(&n.to_string())
                    }
                    fn visit_i64<E: de::Error>(self, n: i64) -> Result<$type, E> {
                        self.visit_str(&n.to_string())
                    }
                }
                d.deserialize_any(Visitor)
            }
        }

        impl JsonSchema for $type {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($type).into()
            }
            fn inline_schema() -> bool {
                true
            }
            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({
                    "type": ["string", "integer"], "minimum": 0, "pattern": $pattern, UNIT_KEYWORD: $unit
                })
            }
        }
    };
}
text_or_number!(
    Span,
    "time",
    "a span of time such as 250ms, 10s or 5m",
    r"^\s*[0-9]{1,9}\s*((ms|s|m|h|d)\s*([0-9]{1,9}\s*(ms|s|m|h|d)\s*)*)?$"
);
text_or_number!(Size, "size", "a size such as 500kB, 16MB or 2GiB", r"^\s*[0-9]+\s*[kKMGiB]*\s*$");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_reads_back() {
        for text in ["250ms", "10s", "1m 30s", "2h"] {
            assert_eq!(text.parse::<Span>().map(|s| s.to_string()), Ok(text.into()));
        }
        for text in ["500kB", "16MB", "2GiB", "17B", "0B"] {
            assert_eq!(text.parse::<Size>().map(|s| s.to_string()), Ok(text.into()));
        }
        assert_eq!("7".parse(), Ok(Span::secs(7)));
        assert!("soon".parse::<Span>().is_err());
        assert!("18446744073709551615".parse::<Span>().is_err());
        assert!("18446744073709551615s".parse::<Span>().is_err());
        assert!("99999999999GiB".parse::<Size>().is_err());
    }
}
