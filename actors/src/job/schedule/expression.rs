//! Cron expressions: five fields as crontab knows them, six with seconds in front, the short forms such as `@daily`, and
//! on demand what the crate `cron` accepts. Each fault says in which field and column it is.

use std::str::FromStr as _;

use config::Fault;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::field::{DAY, Field, HOUR, MINUTE, MONTH, Meaning, SECOND, WEEKDAY, Wrong, YEAR};

/// How an expression is written.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Syntax {
    /// Minute, hour, day of month, month, day of week; a sixth field in front is the second. Weekdays count from 0 for
    /// Sunday; 7 is Sunday, too. If day of month and day of week are both restricted, either is enough, but both are
    /// needed if one of them begins with `*`. `L`, `W` and `#` are understood.
    #[default]
    Crontab,
    /// What the Rust crate `cron` accepts: second, minute, hour, day of month, month, day of week and, if wanted, the year.
    /// Weekdays count from 1 for Sunday to 7 for Saturday. Day of month and day of week are both needed.
    CronCrate,
}

/// An expression that is understood.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Expression {
    /// As it is shown: short forms written out, one blank between fields.
    shown: String,
    /// Six or seven fields, in numbers only.
    pub(super) canonical: String,
    /// Whether both the day of the month and of the week have to fit.
    pub(super) both_days: bool,
    /// Whether it means every hour of the day.
    pub(super) hourly: bool,
}

/// The short forms.
const SHORT: [(&str, &str); 7] = [
    ("@yearly", "0 0 1 1 *"),
    ("@annually", "0 0 1 1 *"),
    ("@monthly", "0 0 1 * *"),
    ("@weekly", "0 0 * * 0"),
    ("@daily", "0 0 * * *"),
    ("@midnight", "0 0 * * *"),
    ("@hourly", "0 * * * *"),
];

/// The longest expression, in characters.
const LONGEST: usize = 1_000;

impl Expression {
    /// Reads an expression.
    ///
    /// # Errors
    /// All that is wrong with it, as faults of the parameter `cron`.
    pub fn parse(text: &str, syntax: Syntax) -> Result<Self, Vec<Fault>> {
        let fault = |what: String| vec![Fault::new("cron", what)];
        let count = text.chars().count();
        if count > LONGEST {
            return Err(fault(format!("it has {count} characters, more than {LONGEST}")));
        }
        let trimmed = text.trim();
        if trimmed.starts_with('@') {
            let short = SHORT.iter().find(|(name, _)| name.eq_ignore_ascii_case(trimmed));
            let names = SHORT.iter().map(|(name, _)| *name);
            let unknown = || {
                Fault::new("cron", format!("there is no short form {trimmed:?}"))
                    .maybe_hint(config::fault::suggest(trimmed, names))
            };
            let (_, long) = short.ok_or_else(|| vec![unknown()])?;
            return Self::parse(long, Syntax::Crontab);
        }
        let words = words(text);
        let fields: Vec<Field> = match (syntax, words.len()) {
            (Syntax::Crontab, 5) => vec![MINUTE, HOUR, DAY, MONTH, WEEKDAY],
            (Syntax::Crontab, 6) | (Syntax::CronCrate, 6) => vec![SECOND, MINUTE, HOUR, DAY, MONTH, WEEKDAY],
            (Syntax::CronCrate, 7) => vec![SECOND, MINUTE, HOUR, DAY, MONTH, WEEKDAY, YEAR],
            (Syntax::Crontab, n) => {
                let form = "5 are expected (minute, hour, day of month, month, day of week), or 6 with the second in front";
                return Err(fault(format!("it has {n} fields; {form}")));
            }
            (Syntax::CronCrate, n) => {
                let form = "6 are expected in this syntax (second, minute, hour, day of month, month, day of week), or 7 \
                            with the year";
                return Err(fault(format!("it has {n} fields; {form}")));
            }
        };
        let read = fields.iter().zip(&words).enumerate().map(|(n, (field, (at, word)))| {
            field.read(word, syntax).map_err(|wrong| place(n + 1, field, *at, &wrong))
        });
        let (meanings, faults): (Vec<_>, Vec<_>) = read.partition(Result::is_ok);
        let faults: Vec<Fault> = faults.into_iter().filter_map(Result::err).collect();
        if !faults.is_empty() {
            return Err(faults);
        }
        let mut meanings: Vec<Meaning> = meanings.into_iter().filter_map(Result::ok).collect();
        if syntax == Syntax::CronCrate
            && let Err(error) = cron::Schedule::from_str(text)
        {
            return Err(fault(format!("the crate cron does not accept it: {error}")));
        }
        let shown = words.iter().map(|(_, word)| *word).collect::<Vec<_>>().join(" ");
        if meanings.len() == 5 {
            let zero = Meaning { text: "0".to_owned(), values: vec![0], ..Meaning::default() };
            meanings.insert(0, zero);
        }
        Self::from_meanings(shown, &meanings, syntax)
    }

    fn from_meanings(shown: String, meanings: &[Meaning], syntax: Syntax) -> Result<Self, Vec<Fault>> {
        let (day, month, weekday) = (&meanings[3], &meanings[4], &meanings[5]);
        let both_days = syntax == Syntax::CronCrate || day.star || weekday.star;
        if both_days && let Some(fault) = never(day, month) {
            return Err(vec![fault]);
        }
        let canonical = meanings.iter().map(|meaning| meaning.text.as_str()).collect::<Vec<_>>().join(" ");
        Ok(Self { shown, canonical, both_days, hourly: meanings[2].values.len() == 24 })
    }

    /// As it is shown: short forms written out, one blank between fields.
    pub fn shown(&self) -> &str {
        &self.shown
    }
}

/// The words of a text, each with its column, from 1.
fn words(text: &str) -> Vec<(usize, &str)> {
    let mut words = Vec::new();
    let mut begun = None;
    for (column, (at, character)) in text.char_indices().enumerate() {
        match (character.is_whitespace(), begun) {
            (false, None) => begun = Some((column + 1, at)),
            (true, Some((column, from))) => {
                words.push((column, &text[from..at]));
                begun = None;
            }
            _ => {}
        }
    }
    words.extend(begun.map(|(column, from)| (column, &text[from..])));
    words
}

fn place(number: usize, field: &Field, column: usize, wrong: &Wrong) -> Fault {
    let column = column + wrong.at;
    Fault::new("cron", format!("field {number} ({}): {}, at column {column}", field.name, wrong.what))
}

/// Whether no month has one of the days.
fn never(day: &Meaning, month: &Meaning) -> Option<Fault> {
    let days_of = |month: u16| match month {
        2 => 29,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    };
    let longest = month.values.iter().map(|month| days_of(*month)).max()?;
    // The nearest weekday of a day needs the day to be there.
    let nearest = day.text.split(',').filter_map(|item| item.strip_suffix('W')?.parse().ok());
    let earliest = day.values.iter().copied().chain(nearest).min()?;
    let has_last = day.special && day.text.split(',').any(|item| item.starts_with('L'));
    if has_last || earliest <= longest {
        return None;
    }
    let what = format!("it never fires: none of its months has a day {earliest}");
    Some(Fault::new("cron", what).hint("write L for the last day of a month"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults(text: &str, syntax: Syntax) -> Vec<String> {
        let faults = Expression::parse(text, syntax).expect_err(text);
        faults.into_iter().map(|fault| fault.message).collect()
    }

    #[test]
    fn each_fault_names_its_field_and_column() {
        let cases = [
            ("0 1 32 * *", "field 3 (day of month): 32 is out of 1-31, at column 5"),
            ("  60 * * * *", "field 1 (minute): 60 is out of 0-59, at column 3"),
            ("0 24 * * *", "field 2 (hour): 24 is out of 0-23, at column 3"),
            ("0 0 1,2,0 * *", "field 3 (day of month): 0 is out of 1-31, at column 9"),
            ("0 0 * 13 *", "field 4 (month): 13 is out of 1-12, at column 7"),
            (
                "0 0 * foo *",
                "field 4 (month): \"foo\" is no value: write a number, 1 to 12 or a name, jan to dec, at column 7",
            ),
            ("0 0 * * 8", "field 5 (day of week): 8 is out of 0-7, at column 9"),
            ("0 0 * * 5#6", "field 5 (day of week): \"6\" is out of 1-5, at column 11"),
            ("*/0 * * * *", "field 1 (minute): a step of 0 never gets anywhere, at column 3"),
            (
                "*/61 * * * *",
                "field 1 (minute): a step of 61 is longer than the field: at most 60, at column 3",
            ),
            (
                "0 22-2 * * *",
                "field 2 (hour): 22-2 goes backwards: write two ranges, with a comma between them, at column 3",
            ),
            ("0 0 * * 1,", "field 5 (day of week): a value is missing, at column 11"),
            ("0 ? * * *", "field 2 (hour): ? is only allowed as day of month or day of week, at column 3"),
            ("0 0 -3 * *", "field 3 (day of month): \"\" is no value: write a number, 1 to 31, at column 5"),
            ("0 0 99999999999 * *", "field 3 (day of month): 99999999999 is out of 1-31, at column 5"),
            ("é 0 * * *", "field 1 (minute): \"é\" is no value: write a number, 0 to 59, at column 1"),
        ];
        for (text, message) in cases {
            assert_eq!(faults(text, Syntax::Crontab), [message], "{text}");
        }
        assert_eq!(faults("60 24 * * *", Syntax::Crontab).len(), 2, "all that is wrong is told");
        assert!(faults("* * * *", Syntax::Crontab)[0].starts_with("it has 4 fields; 5 are expected"));
        assert!(faults("", Syntax::Crontab)[0].starts_with("it has 0 fields"));
        assert!(faults("* * * * *", Syntax::CronCrate)[0].starts_with("it has 5 fields; 6 are expected"));
        assert!(faults("0 0 0 * * 0", Syntax::CronCrate)[0].contains("0 is out of 1-7"));
        assert!(faults("0 0 0 L * *", Syntax::CronCrate)[0].contains("not known in this syntax"));
        assert!(faults(&"*".repeat(2_000), Syntax::Crontab)[0].contains("more than 1000"));
        let daily = Expression::parse("@dayly", Syntax::Crontab).expect_err("none");
        assert_eq!(daily[0].hint.as_deref(), Some("did you mean \"@daily\"?"));
    }

    #[test]
    fn a_date_that_is_in_no_year_never_fires() {
        for text in ["0 0 30 2 *", "0 0 31 2,4,6,9,11 *", "0 0 30,31 feb ?", "0 0 30W 2 *", "0 0 31 2 */2"] {
            let messages = faults(text, Syntax::Crontab);
            assert!(messages[0].starts_with("it never fires"), "{text}: {messages:?}");
        }
        for text in ["0 0 29 2 *", "0 0 L 2 *", "0 0 31 2,3 *", "0 0 30 2 1", "0 0 31,1 2 *", "0 0 LW 2 *"] {
            Expression::parse(text, Syntax::Crontab).expect(text);
        }
        assert!(faults("0 0 0 30 2 1", Syntax::CronCrate)[0].starts_with("it never fires"));
    }

    #[test]
    fn names_short_forms_and_steps_come_down_to_numbers() {
        let canonical = |text: &str, syntax| {
            let read = Expression::parse(text, syntax).expect(text);
            (read.canonical, read.both_days)
        };
        let cases = [
            ("@daily", "0 0 0 * * *", true),
            ("@WEEKLY", "0 0 0 * * 0", true),
            ("5/15 * * * *", "0 5-59/15 * * * *", true),
            ("0 0 1 jan,Feb mon-sun", "0 0 0 1 1,2 1-7", false),
            ("0 0 1 * 7", "0 0 0 1 * 7", false),
            ("30 0 0 15W,L * FRI#2,5L", "30 0 0 15W,L * 5#2,5L", false),
            ("0 0 */2 * 1", "0 0 0 */2 * 1", true),
        ];
        for (text, expected, both_days) in cases {
            assert_eq!(canonical(text, Syntax::Crontab), (expected.to_owned(), both_days), "{text}");
        }
        assert_eq!(canonical("0 0 12 ? * 2-6 2030-2040", Syntax::CronCrate).0, "0 0 12 * * 1-5 2030-2040");
        assert_eq!(canonical("0 0 12 * Jan Sun", Syntax::CronCrate).0, "0 0 12 * 1 0");
        assert_eq!(canonical("@hourly", Syntax::CronCrate).0, "0 0 * * * *");
        let shown = Expression::parse("@daily", Syntax::Crontab).expect("a short form");
        assert_eq!(shown.shown(), "0 0 * * *");
        assert!(Expression::parse("0 0-23 * * *", Syntax::Crontab).expect("hours").hourly);
    }
}
