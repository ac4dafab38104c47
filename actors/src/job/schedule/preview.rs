//! The next slots for people: with what a time zone makes fall out, which is none of a job's slots.

use chrono::{DateTime, Utc};

use super::clockwork::Cursor;
use super::{Schedule, Slot};

impl Schedule {
    /// The next slots after a moment, and among them the local times that are left out.
    pub fn preview(&self, after: DateTime<Utc>, anchor: DateTime<Utc>, count: usize) -> Vec<Slot> {
        match self {
            Self::Cron(clockwork, start) => {
                let start = start.map_or(i64::MIN, |start| start.timestamp_micros() - 1);
                let cursor = Cursor::after(after.timestamp_micros().max(start));
                let first = clockwork.next(cursor, true);
                let all = std::iter::successors(first, |(_, cursor)| clockwork.next(*cursor, true));
                all.take(count).map(|(slot, _)| slot).collect()
            }
            Self::Once(_) | Self::Interval(_) => {
                let next = |after| self.next_after(after, anchor);
                std::iter::successors(next(after), |slot| next(slot.at)).take(count).collect()
            }
        }
    }
}
