//! When a job is due: its slots, computed and nothing else. Nothing here knows what time it is.
//!
//! A slot is a moment in UTC that follows from the definition alone. So every node finds the same slots, whenever and
//! however often it asks, and nothing drifts.

mod clockwork;
mod expression;
mod field;
mod interval;
mod preview;
mod zone;

#[cfg(test)]
mod slow;

use chrono::{DateTime, NaiveDateTime, Utc};
use config::slots::Micros;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use self::clockwork::{Clockwork, Fold, Gap};
pub use self::expression::{Expression, Syntax};
pub use self::interval::{Interval, SHORTEST};
pub use self::zone::Zone;
use crate::scheduler::job::Timetable;

/// After this there is no slot: the end of the year 9999.
pub(crate) const LAST: Micros = 253_402_300_799_999_999;

/// When a job is due.
#[derive(Clone, Debug)]
pub enum Schedule {
    /// Once; none: when the plan is made.
    Once(Option<DateTime<Utc>>),
    /// Every so often.
    Interval(Interval),
    /// At local times that an expression describes, but not before a moment, if there is one.
    Cron(Box<Clockwork>, Option<DateTime<Utc>>),
}

/// A moment at which a job is due.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Slot {
    /// The moment.
    pub at: DateTime<Utc>,
    /// Which one it is of those that the definition describes, from 1; none if nobody counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub number: Option<u64>,
    /// The local time that the definition asks for; in UTC, if it has no zone.
    pub local: NaiveDateTime,
    /// What the zone makes of it.
    pub mark: Mark,
}

/// What a time zone makes of a local time that a job is due at.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Mark {
    /// It exists, once.
    Normal,
    /// It does not exist: clocks were put forward. The job is due at the moment when they were.
    GapShifted,
    /// It does not exist, and the job is not due.
    GapSkipped,
    /// It comes twice: clocks are put back. This is the first.
    FoldFirst,
    /// It comes twice. This is the second.
    FoldLast,
}

impl Schedule {
    /// The first slot after a moment. `anchor` is when the plan was made: a start that is left out.
    pub fn next_after(&self, after: DateTime<Utc>, anchor: DateTime<Utc>) -> Option<Slot> {
        let (after, anchor) = (after.timestamp_micros(), anchor.timestamp_micros());
        match self {
            Self::Once(start) => {
                let at = start.map_or(anchor, |start| start.timestamp_micros());
                (at > after).then(|| plain(at, Some(1)))
            }
            Self::Interval(interval) => {
                let number = interval.number_after(after, anchor)?;
                Some(plain(interval.at(number, anchor)?, number.checked_add(1)))
            }
            Self::Cron(clockwork, start) => {
                let start = start.map_or(i64::MIN, |start| start.timestamp_micros() - 1);
                clockwork.slot_after(after.max(start))
            }
        }
    }

    /// The slots after a moment, up to and with another one; at most `limit` of them.
    pub fn slots_between(
        &self,
        after: DateTime<Utc>,
        until: DateTime<Utc>,
        anchor: DateTime<Utc>,
        limit: usize,
    ) -> Vec<Slot> {
        let next = |after| self.next_after(after, anchor).filter(|slot: &Slot| slot.at <= until);
        std::iter::successors(next(after), |slot| next(slot.at)).take(limit).collect()
    }
}

impl Timetable for Schedule {
    fn next(&self, after: Micros, anchor: Micros) -> Option<Micros> {
        match self {
            Self::Once(start) => {
                Some(start.map_or(anchor, |start| start.timestamp_micros())).filter(|at| *at > after)
            }
            Self::Interval(interval) => interval.at(interval.number_after(after, anchor)?, anchor),
            Self::Cron(clockwork, start) => {
                let start = start.map_or(i64::MIN, |start| start.timestamp_micros() - 1);
                Some(clockwork.slot_after(after.max(start))?.at.timestamp_micros())
            }
        }
    }

    fn through(&self, first: Micros, end: Micros, anchor: Micros) -> (Micros, u64) {
        if let Self::Interval(interval) = self {
            return interval.through(first, end, anchor);
        }
        let (mut last, mut count) = (first, 1);
        while count < COUNTED
            && let Some(next) = self.next(last, anchor).filter(|next| *next <= end)
        {
            (last, count) = (next, count + 1);
        }
        (last, count)
    }

    fn left_out(&self, after: Micros, until: Micros) -> Option<(Micros, u64)> {
        let Self::Cron(clockwork, start) = self else { return None };
        let start = start.map_or(i64::MIN, |start| start.timestamp_micros() - 1);
        clockwork.left_out(after.max(start), until)
    }
}

/// How many slots are counted at once where they cannot be computed.
const COUNTED: u64 = 10_000;

/// A slot that no zone has a say in.
fn plain(at: Micros, number: Option<u64>) -> Slot {
    let at = moment(at);
    Slot { at, number, local: at.naive_utc(), mark: Mark::Normal }
}

/// A moment that is known to be in the years that there are.
fn moment(at: Micros) -> DateTime<Utc> {
    DateTime::from_timestamp_micros(at).unwrap_or_default()
}
