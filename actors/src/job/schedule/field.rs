//! One field of a cron expression: what it may say, what is wrong with it and in which column, and which values it means.

use super::expression::Syntax;

/// A field: what it is called, and what is allowed in it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Field {
    pub(super) name: &'static str,
    min: u16,
    max: u16,
    names: &'static [&'static str],
    kind: Kind,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Kind {
    Plain,
    Days,
    Weekdays,
}

const MONTHS: &[&str] = &[
    "january",
    "february",
    "march",
    "april",
    "may",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
];
const WEEKDAYS: &[&str] = &["sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday"];

const fn plain(name: &'static str, min: u16, max: u16) -> Field {
    Field { name, min, max, names: &[], kind: Kind::Plain }
}

pub(super) const SECOND: Field = plain("second", 0, 59);
pub(super) const MINUTE: Field = plain("minute", 0, 59);
pub(super) const HOUR: Field = plain("hour", 0, 23);
pub(super) const DAY: Field = Field { kind: Kind::Days, ..plain("day of month", 1, 31) };
pub(super) const MONTH: Field = Field { names: MONTHS, ..plain("month", 1, 12) };
pub(super) const WEEKDAY: Field =
    Field { names: WEEKDAYS, kind: Kind::Weekdays, ..plain("day of week", 0, 7) };
pub(super) const YEAR: Field = plain("year", 1970, 2100);

/// What a field means.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Meaning {
    /// In numbers only, weekdays from 0 for Sunday, as the one who computes reads it.
    pub(super) text: String,
    /// The values, without those that `L`, `W` and `#` stand for.
    pub(super) values: Vec<u16>,
    /// Whether `L`, `W` or `#` is in it.
    pub(super) special: bool,
    /// Whether it begins with `*` or `?`.
    pub(super) star: bool,
}

/// What is wrong, and the place in the field, in characters from 0.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Wrong {
    pub(super) at: usize,
    pub(super) what: String,
}

/// A piece of a field, and its place in it.
#[derive(Clone, Copy)]
struct Piece<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Piece<'a> {
    fn wrong(self, what: impl Into<String>) -> Wrong {
        Wrong { at: self.at, what: what.into() }
    }

    fn split(self, by: char) -> Option<(Piece<'a>, Piece<'a>)> {
        let (left, right) = self.text.split_once(by)?;
        let at = self.at + left.chars().count() + 1;
        Some((Piece { text: left, at: self.at }, Piece { text: right, at }))
    }
}

impl Field {
    /// What a field's text means.
    pub(super) fn read(&self, text: &str, syntax: Syntax) -> Result<Meaning, Wrong> {
        let mut meaning = Meaning { star: text.starts_with(['*', '?']), ..Meaning::default() };
        let mut at = 0;
        for item in text.split(',') {
            let piece = Piece { text: item, at };
            at += item.chars().count() + 1;
            if !meaning.text.is_empty() {
                meaning.text.push(',');
            }
            self.item(piece, syntax, &mut meaning)?;
        }
        meaning.values.sort_unstable();
        meaning.values.dedup();
        Ok(meaning)
    }

    fn item(&self, piece: Piece<'_>, syntax: Syntax, meaning: &mut Meaning) -> Result<(), Wrong> {
        if piece.text.is_empty() {
            return Err(piece.wrong("a value is missing"));
        }
        if self.special(piece, syntax, meaning)? {
            meaning.special = true;
            return Ok(());
        }
        let (range, step) = match piece.split('/') {
            Some((range, step)) => (range, Some(self.step(step)?)),
            None => (piece, None),
        };
        let whole = range.text == "*" || range.text == "?";
        if range.text == "?" && self.kind == Kind::Plain {
            return Err(range.wrong("? is only allowed as day of month or day of week"));
        }
        let (from, to) = if whole {
            (self.first(), self.last())
        } else if let Some((from, to)) = range.split('-') {
            let (low, high) = (self.value(from, syntax, false)?, self.value(to, syntax, true)?);
            if low > high {
                let range = range.text;
                return Err(piece
                    .wrong(format!("{range} goes backwards: write two ranges, with a comma between them")));
            }
            (low, high)
        } else {
            let from = self.value(range, syntax, false)?;
            (from, if step.is_some() { self.last().max(from) } else { from })
        };
        let values = (from..=to).step_by(usize::from(step.unwrap_or(1)));
        meaning
            .values
            .extend(values.map(|value| if self.kind == Kind::Weekdays { value % 7 } else { value }));
        meaning.text += &match (whole, from == to, step) {
            (true, _, None) => "*".to_owned(),
            (true, _, Some(step)) => format!("*/{step}"),
            (false, true, _) => from.to_string(),
            (false, false, None) => format!("{from}-{to}"),
            (false, false, Some(step)) => format!("{from}-{to}/{step}"),
        };
        Ok(())
    }

    /// The last and nearest days: `L`, `LW`, `15W` of a month, `5L` and `5#2` of a week.
    fn special(&self, piece: Piece<'_>, syntax: Syntax, meaning: &mut Meaning) -> Result<bool, Wrong> {
        let text = piece.text.to_ascii_uppercase();
        let found = match self.kind {
            Kind::Days if text == "L" || text == "LW" => text,
            Kind::Days if text.ends_with('W') && text.len() > 1 => {
                let day = Piece { text: &piece.text[..piece.text.len() - 1], ..piece };
                format!("{}W", self.value(day, syntax, false)?)
            }
            Kind::Weekdays if text.contains('#') => {
                let Some((day, nth)) = piece.split('#') else { return Ok(false) };
                let day = self.value(day, syntax, false)? % 7;
                match nth.text.parse::<u16>() {
                    Ok(n @ 1..=5) => format!("{day}#{n}"),
                    _ => return Err(nth.wrong(format!("{:?} is out of 1-5", nth.text))),
                }
            }
            Kind::Weekdays if text.ends_with('L') && text.len() > 1 => {
                let day = Piece { text: &piece.text[..piece.text.len() - 1], ..piece };
                format!("{}L", self.value(day, syntax, false)? % 7)
            }
            _ => return Ok(false),
        };
        if syntax == Syntax::CronCrate {
            return Err(piece.wrong(format!("{:?} is not known in this syntax", piece.text)));
        }
        meaning.text += &found;
        Ok(true)
    }

    fn step(&self, piece: Piece<'_>) -> Result<u16, Wrong> {
        let most = self.last() - self.first() + 1;
        match piece.text.parse::<u16>() {
            Ok(0) => Err(piece.wrong("a step of 0 never gets anywhere")),
            Ok(step) if step <= most => Ok(step),
            Ok(_) => {
                Err(piece.wrong(format!("a step of {} is longer than the field: at most {most}", piece.text)))
            }
            Err(_) => Err(piece.wrong(format!("{:?} is no step: write a number", piece.text))),
        }
    }

    fn first(&self) -> u16 {
        self.min
    }

    /// The last value that is not another way to write the first one.
    fn last(&self) -> u16 {
        if self.kind == Kind::Weekdays { 6 } else { self.max }
    }

    /// One value. Sunday is 0; at the end of a range it is 7.
    fn value(&self, piece: Piece<'_>, syntax: Syntax, ends: bool) -> Result<u16, Wrong> {
        let from_one = self.kind == Kind::Weekdays && syntax == Syntax::CronCrate;
        let (min, max) = if from_one { (1, 7) } else { (self.min, self.max) };
        if !piece.text.is_empty() && piece.text.bytes().all(|byte| byte.is_ascii_digit()) {
            return match piece.text.parse::<u16>() {
                Ok(value) if (min..=max).contains(&value) => Ok(value - u16::from(from_one)),
                _ => Err(piece.wrong(format!("{} is out of {min}-{max}", piece.text))),
            };
        }
        let word = piece.text.to_ascii_lowercase();
        let found = self.names.iter().position(|name| word == *name || word == name[..3]);
        if let Some(at) = found {
            let at = u16::try_from(at).unwrap_or_default();
            let is_last_sunday = self.kind == Kind::Weekdays && ends && !from_one && at == 0;
            return Ok(if is_last_sunday {
                7
            } else {
                at + if self.kind == Kind::Weekdays { 0 } else { self.min }
            });
        }
        let names = match self.names {
            [] => String::new(),
            [first, .., last] => format!(" or a name, {} to {}", &first[..3], &last[..3]),
            [one] => format!(" or {one}"),
        };
        Err(piece.wrong(format!("{:?} is no value: write a number, {min} to {max}{names}", piece.text)))
    }
}
