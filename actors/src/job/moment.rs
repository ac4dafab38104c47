//! Moments as people write them: with the offset from UTC, or without one, which is UTC.

use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, Datelike as _, NaiveDate, NaiveDateTime, SecondsFormat, Utc};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// A moment of the years 1970 to 9999, such as `2026-12-01T09:00:00Z`, `2026-12-01T10:00:00+01:00` or, in UTC,
/// `2026-12-01 09:00`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment(DateTime<Utc>);

/// The forms without an offset.
const FORMS: [&str; 4] = ["%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%d %H:%M:%S%.f", "%Y-%m-%dT%H:%M", "%Y-%m-%d %H:%M"];

impl Moment {
    /// In UTC.
    pub fn get(self) -> DateTime<Utc> {
        self.0
    }
}

impl From<DateTime<Utc>> for Moment {
    fn from(at: DateTime<Utc>) -> Self {
        Self(at)
    }
}

impl FromStr for Moment {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let text = text.trim();
        let with_offset = DateTime::parse_from_rfc3339(text).ok().map(|at| at.with_timezone(&Utc));
        let naive = || FORMS.iter().find_map(|form| NaiveDateTime::parse_from_str(text, form).ok());
        let day = || NaiveDate::parse_from_str(text, "%Y-%m-%d").ok()?.and_hms_opt(0, 0, 0);
        let at = with_offset.or_else(|| naive().or_else(day).map(|at| at.and_utc()));
        let at = at.ok_or_else(|| {
            format!("{text:?} is no date that exists, with a time; write 2030-01-15T09:00:00Z, always in this order")
        })?;
        if !(1970..=9999).contains(&at.year()) {
            return Err(format!("{text:?} is not in the years 1970 to 9999"));
        }
        Ok(Self(at))
    }
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.to_rfc3339_opts(SecondsFormat::AutoSi, true))
    }
}

impl fmt::Debug for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl Serialize for Moment {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Moment {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

impl JsonSchema for Moment {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Moment".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "format": "date-time" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_read_in_the_forms_people_write_and_no_others() {
        let same =
            ["2026-12-01T09:00:00Z", "2026-12-01T10:00:00+01:00", "2026-12-01 09:00", "2026-12-01T09:00:00"];
        for text in same {
            let read: Moment = text.parse().expect(text);
            assert_eq!(read.to_string(), "2026-12-01T09:00:00Z", "{text}");
        }
        assert_eq!("2026-12-01".parse::<Moment>().expect("a day").to_string(), "2026-12-01T00:00:00Z");
        let with_parts: Moment = "2026-12-01T09:00:00.250Z".parse().expect("milliseconds");
        assert_eq!(with_parts.to_string(), "2026-12-01T09:00:00.250Z");
        for text in ["2026-02-30T00:00:00Z", "tomorrow", "", "01.12.2026", "2026-12-01T25:00"] {
            assert!(text.parse::<Moment>().expect_err(text).contains("no date that exists"));
        }
        for text in ["1969-12-31T23:59:59Z", "0001-01-01"] {
            assert!(text.parse::<Moment>().expect_err(text).contains("1970 to 9999"));
        }
        assert!("292277026596-12-04T15:30:07Z".parse::<Moment>().is_err());
    }
}
