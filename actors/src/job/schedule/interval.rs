//! Slots every so often, counted from the start: the slot of number n is start + n * every, so nothing adds up.

use std::time::Duration;

use chrono::{DateTime, Utc};
use config::slots::Micros;

use super::LAST;

/// The shortest interval.
pub const SHORTEST: Duration = Duration::from_millis(10);

/// See the module.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Interval {
    every: Micros,
    start: Option<Micros>,
    repeats: Option<u64>,
}

impl Interval {
    /// Every so often, which is at least [`SHORTEST`]; from a moment on, else from when the plan is made; so many times,
    /// else without end.
    pub fn new(every: Duration, start: Option<DateTime<Utc>>, repeats: Option<u64>) -> Self {
        let every = i64::try_from(every.max(SHORTEST).as_micros()).unwrap_or(i64::MAX);
        Self { every, start: start.map(|start| start.timestamp_micros()), repeats }
    }

    /// The number, from 0, of the first slot after a moment.
    pub(super) fn number_after(&self, after: Micros, anchor: Micros) -> Option<u64> {
        let start = self.start.unwrap_or(anchor);
        let number = match i128::from(after) - i128::from(start) {
            negative if negative < 0 => 0,
            passed => u64::try_from(passed / i128::from(self.every) + 1).ok()?,
        };
        self.repeats.is_none_or(|repeats| number < repeats).then_some(number)
    }

    /// The slot of a number.
    pub(super) fn at(&self, number: u64, anchor: Micros) -> Option<Micros> {
        let start = i128::from(self.start.unwrap_or(anchor));
        let at = start + i128::from(number) * i128::from(self.every);
        i64::try_from(at).ok().filter(|at| *at <= LAST)
    }

    /// From a slot to the last one that is not after `end`, and how many these are.
    pub(super) fn through(&self, first: Micros, end: Micros, anchor: Micros) -> (Micros, u64) {
        let start = self.start.unwrap_or(anchor);
        let number = |at: Micros| (at.saturating_sub(start) / self.every).max(0).unsigned_abs();
        let last = self.repeats.map_or(number(end), |repeats| number(end).min(repeats.saturating_sub(1)));
        let (from, last) = (number(first), last.max(number(first)));
        (self.at(last, anchor).unwrap_or(first), last - from + 1)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const DAY: i64 = 86_400_000_000;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]

        /// Against counting on from the start, one slot after the other.
        #[test]
        fn slots_are_those_that_counting_from_the_start_finds(
            start in 18_262 * DAY..25_567 * DAY,
            every in 10_000..3 * DAY,
            repeats in proptest::option::of(1_u64..400),
            given in any::<bool>(),
            after in -5..300_i64,
            shift in -1..=1_i64,
        ) {
            let interval = Interval {
                every, start: given.then_some(start), repeats,
            };
            // A moment at, just before or just after one of the slots.
            let after = start + after * every + shift;
            let slots: Vec<i64> = std::iter::successors(Some(start), |at| Some(at + every))
                .take(usize::try_from(repeats.unwrap_or(400)).unwrap_or(400))
                .collect();
            let wanted = slots.iter().copied().find(|at| *at > after);
            let found = interval.number_after(after, start).and_then(|n| interval.at(n, start));
            prop_assert_eq!(found, wanted);
            if let Some(first) = found {
                let end = first + 17 * every + shift;
                let passed: Vec<i64> = slots.into_iter().filter(|at| *at >= first && *at <= end).collect();
                let expected = (*passed.last().unwrap_or(&first), passed.len().max(1) as u64);
                prop_assert_eq!(interval.through(first, end, start), expected);
            }
        }
    }

    #[test]
    fn a_century_of_weeks_and_the_end_of_time_do_not_overflow() {
        let ages = Interval::new(Duration::from_secs(36_500 * 86_400), None, None);
        assert_eq!(ages.number_after(i64::MAX, i64::MIN), Some(5_850));
        assert_eq!(ages.at(u64::MAX, 0), None);
        assert_eq!(ages.at(100, LAST - 1), None);
        let short = Interval::new(Duration::ZERO, None, Some(1));
        assert_eq!(short.number_after(-1, 0), Some(0));
        assert_eq!(short.number_after(0, 0), None);
    }
}
