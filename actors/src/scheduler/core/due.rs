//! What to do about a job at a moment: wait, skip slots for a reason, or fire. Pure.

use std::time::Duration;

use config::slots::Micros;

use super::super::job::{Missed, Overlap, Policy, Timetable};

/// Slots are fired one by one if they are no later than this, in microseconds.
pub const PROMPT: Micros = 1_000_000;
/// A slot of a job that skips what it missed counts as missed if it is later than this: longer than it takes until
/// another node goes on where one has died.
pub const LATE: Micros = 10_000_000;

/// The reasons why a slot is not run, as they are written down.
pub mod why {
    /// Nobody could fire, and the job does not make up for it.
    pub const MISSED: &str = "missed: nobody could fire it in time";
    /// Nobody could fire, for longer than the job makes up for.
    pub const WINDOW: &str = "missed: it is older than the window";
    /// Several were missed, and the job makes up for the newest only.
    pub const NEWEST: &str = "missed: only the newest is made up for";
    /// The job still ran.
    pub const OVERLAP: &str = "overlap: the run before has not ended";
    /// The job still ran, and a newer slot waits.
    pub const QUEUED: &str = "overlap: a newer slot waits for the run to end";
    /// An operator has paused it.
    pub const PAUSED: &str = "paused";
    /// Clocks were put forward over its local time, and the plan leaves out what does not exist.
    pub const GAP: &str = "gap: clocks were put forward, and its local time did not exist";
    /// The plan was made after its last slot.
    pub const OVER: &str = "the plan has no slot after it was made";
}

/// See the module.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Due {
    /// There is no slot any more.
    Spent,
    /// Nothing is due before this.
    Wait(Micros),
    /// Skip these.
    Skip {
        /// The first.
        slot: Micros,
        /// The last.
        until: Micros,
        /// How many.
        slots: u64,
        /// Why.
        why: &'static str,
    },
    /// Fire this one, and end the run before if it has not ended.
    Fire(Micros),
    /// Fire this one once the run before has ended; at this time there is a newer one.
    Park(Micros, Option<Micros>),
}

/// How a job is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Situation {
    /// The last slot that is decided.
    pub last: Micros,
    /// When its plan was made.
    pub anchor: Micros,
    /// Whether it runs.
    pub busy: bool,
    /// Whether an operator has paused it.
    pub paused: bool,
    /// The slot that waits for the run before to end.
    pub parked: Option<Micros>,
}

/// When a slot is fired: its own time, and the span that it always has.
pub fn fire_at(policy: &Policy, slot: Micros, salt: u64) -> Micros {
    let jitter = micros(policy.jitter);
    if jitter == 0 {
        return slot;
    }
    // SplitMix64, so that every node finds the same.
    let mut x = slot.unsigned_abs() ^ salt;
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    slot + i64::try_from((x ^ (x >> 31)) % (jitter.unsigned_abs() + 1)).unwrap_or_default()
}

/// How far ahead it is looked for what is left out, in microseconds: what comes later is seen later.
const AHEAD: Micros = 400 * 86_400 * 1_000_000;

/// What the plan leaves out before its next slot.
pub(super) fn left_out(times: &dyn Timetable, after: Micros, next: Micros) -> Option<(Micros, u64)> {
    times.left_out(after, next.min(after.saturating_add(AHEAD)))
}

/// As microseconds.
pub(super) fn micros(span: Duration) -> Micros {
    i64::try_from(span.as_micros()).unwrap_or(i64::MAX)
}

/// See the module. `salt` is of the job's name.
pub(super) fn due(times: &dyn Timetable, policy: &Policy, salt: u64, at: &Situation, now: Micros) -> Due {
    let after = at.last.max(at.anchor - 1);
    let Some(first) = times.next(after, at.anchor) else { return Due::Spent };
    let fires = fire_at(policy, first, salt);
    match left_out(times, after, first) {
        Some((slot, slots)) if slot <= now => return Due::Skip { slot, until: slot, slots, why: why::GAP },
        Some((slot, _)) if fires > now => return Due::Wait(slot.min(fires)),
        None if fires > now => return Due::Wait(fires),
        _ => {}
    }
    let skip = |until: Micros, why| {
        // What is left out in between has a reason of its own.
        let until = times.left_out(first, until).map_or(until, |(gap, _)| until.min(gap));
        let (until, slots) = times.through(first, until, at.anchor);
        Due::Skip { slot: first, until, slots, why }
    };
    if at.paused {
        return skip(now.max(first), why::PAUSED);
    }
    let late = now - fires;
    let window = policy.window.map_or(i64::MAX, micros);
    if late > PROMPT && at.parked != Some(first) {
        let (newest, _) = times.through(first, now.max(first), at.anchor);
        let beyond = |limit: Micros| now - newest > limit;
        let newest_only = |why| {
            let (until, _) = times.through(first, (newest - 1).min(now - PROMPT).max(first), at.anchor);
            skip(until, why)
        };
        match policy.missed {
            Missed::Skip if beyond(LATE) => return skip(newest, why::MISSED),
            Missed::Skip if newest > first => return newest_only(why::MISSED),
            Missed::Once if beyond(window) => return skip(newest, why::WINDOW),
            Missed::Once if newest > first => return newest_only(why::NEWEST),
            Missed::All if late > window => return skip((now - window).max(first), why::WINDOW),
            _ => {}
        }
    }
    match policy.overlap {
        Overlap::Skip if at.busy => skip(first, why::OVERLAP),
        Overlap::QueueOne if at.busy => match times.next(first, at.anchor) {
            Some(next) if next <= now => {
                let (newest, _) = times.through(first, now, at.anchor);
                skip(newest - 1, why::QUEUED)
            }
            next => Due::Park(first, next),
        },
        _ => Due::Fire(first),
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::job::Every;
    use super::*;

    const S: Micros = 1_000_000;
    const SECOND: Every = Every { every: S, start: Some(0), repeats: None };

    fn at(last: Micros) -> Situation {
        Situation { last, anchor: 0, busy: false, paused: false, parked: None }
    }

    fn with(missed: Missed, window: Option<u64>, overlap: Overlap) -> Policy {
        Policy { missed, window: window.map(Duration::from_secs), overlap, ..Policy::default() }
    }

    fn skip(slot: Micros, until: Micros, why: &'static str) -> Due {
        let slots = (until - slot).unsigned_abs() + 1;
        Due::Skip { slot: slot * S, until: until * S, slots, why }
    }

    #[test]
    fn a_slot_that_is_nearly_on_time_is_fired_and_the_next_is_waited_for() {
        let policy = Policy::default();
        assert_eq!(due(&SECOND, &policy, 0, &at(4 * S), 5 * S + 900_000), Due::Fire(5 * S));
        assert_eq!(due(&SECOND, &policy, 0, &at(5 * S), 5 * S + 900_000), Due::Wait(6 * S));
        let three = Every { repeats: Some(3), ..SECOND };
        assert_eq!(due(&three, &policy, 0, &at(2 * S), 9 * S), Due::Spent);
        // What was before the plan was made is none of its slots.
        let young = Situation { anchor: 7 * S, ..at(0) };
        assert_eq!(due(&SECOND, &policy, 0, &young, 7 * S), Due::Fire(7 * S));
    }

    #[test]
    fn missed_slots_are_skipped_or_made_up_for() {
        let now = 60 * S + 1;
        let policy = |missed, window| with(missed, window, Overlap::Allow);
        let ask = |policy, last: Micros| due(&SECOND, &policy, 0, &at(last * S), now);
        // A takeover of some seconds loses no slot of a job that has only one then.
        let hour = Every { every: 3_600 * S, ..SECOND };
        assert_eq!(
            due(&hour, &policy(Missed::Skip, None), 0, &at(1), 3_600 * S + 9 * S),
            Due::Fire(3_600 * S)
        );
        let late = due(&hour, &policy(Missed::Skip, None), 0, &at(1), 3_600 * S + 11 * S);
        assert_eq!(late, Due::Skip { slot: 3_600 * S, until: 3_600 * S, slots: 1, why: why::MISSED });
        assert_eq!(ask(policy(Missed::Skip, None), 50), skip(51, 59, why::MISSED));
        assert_eq!(ask(policy(Missed::Skip, None), 59), Due::Fire(60 * S));
        assert_eq!(ask(policy(Missed::Once, None), 50), skip(51, 59, why::NEWEST));
        assert_eq!(
            due(&hour, &policy(Missed::Once, Some(5)), 0, &at(1), 3_606 * S).clone(),
            late_by_window()
        );
        assert_eq!(due(&hour, &policy(Missed::Once, None), 0, &at(1), 7_100 * S), Due::Fire(3_600 * S));
        assert_eq!(ask(policy(Missed::All, None), 2), Due::Fire(3 * S));
        assert_eq!(ask(policy(Missed::All, Some(10)), 2), skip(3, 50, why::WINDOW));
        assert_eq!(ask(policy(Missed::All, Some(10)), 50), Due::Fire(51 * S));
    }

    fn late_by_window() -> Due {
        Due::Skip { slot: 3_600 * S, until: 3_600 * S, slots: 1, why: why::WINDOW }
    }

    /// Slots every second, of which each tenth falls out.
    struct Holed;

    impl Timetable for Holed {
        fn next(&self, after: Micros, anchor: Micros) -> Option<Micros> {
            let next = SECOND.next(after, anchor)?;
            Some(if next % (10 * S) == 0 { next + S } else { next })
        }

        fn left_out(&self, after: Micros, until: Micros) -> Option<(Micros, u64)> {
            Some((after.div_euclid(10 * S) + 1) * 10 * S).filter(|at| *at <= until).map(|at| (at, 4))
        }
    }

    #[test]
    fn what_falls_out_has_a_reason_of_its_own_whatever_is_missed_around_it() {
        let ask = |missed, last: Micros, now: Micros| {
            due(&Holed, &with(missed, None, Overlap::Allow), 0, &at(last * S), now)
        };
        let gap = Due::Skip { slot: 10 * S, until: 10 * S, slots: 4, why: why::GAP };
        assert_eq!(ask(Missed::Skip, 9, 9 * S + 1), Due::Wait(10 * S));
        assert_eq!(ask(Missed::Skip, 9, 10 * S), gap);
        assert_eq!(ask(Missed::Skip, 10, 10 * S + 1), Due::Wait(11 * S));
        for (missed, why) in [(Missed::Skip, why::MISSED), (Missed::Once, why::NEWEST)] {
            assert_eq!(ask(missed, 5, 15 * S), skip(6, 9, why));
            assert_eq!(ask(missed, 9, 15 * S), gap);
            assert_eq!(ask(missed, 10, 15 * S), skip(11, 14, why));
        }
        assert_eq!(ask(Missed::All, 8, 15 * S), Due::Fire(9 * S));
        assert_eq!(ask(Missed::All, 9, 15 * S), gap);
    }

    #[test]
    fn a_run_that_has_not_ended_is_overlapped_or_waited_for() {
        let ask = |overlap, parked: Option<Micros>, now| {
            let at = Situation { busy: true, parked, ..at(4 * S) };
            due(&SECOND, &with(Missed::Skip, None, overlap), 0, &at, now)
        };
        assert_eq!(ask(Overlap::Allow, None, 5 * S), Due::Fire(5 * S));
        assert_eq!(ask(Overlap::CancelOld, None, 5 * S), Due::Fire(5 * S));
        assert_eq!(ask(Overlap::Skip, None, 5 * S), skip(5, 5, why::OVERLAP));
        assert_eq!(ask(Overlap::QueueOne, None, 5 * S), Due::Park(5 * S, Some(6 * S)));
        assert_eq!(ask(Overlap::QueueOne, Some(5 * S), 6 * S), skip(5, 5, why::QUEUED));
        // However late it gets, what waits for the run is fired after it.
        let free = Situation { parked: Some(5 * S), ..at(4 * S) };
        let hour = Every { every: 3_600 * S, start: Some(5 * S), repeats: None };
        let policy = with(Missed::Skip, None, Overlap::QueueOne);
        assert_eq!(due(&hour, &policy, 0, &free, 500 * S), Due::Fire(5 * S));
    }

    #[test]
    fn a_pause_skips_all_that_is_due_and_jitter_is_the_same_on_every_node() {
        let paused = Situation { paused: true, ..at(4 * S) };
        assert_eq!(due(&SECOND, &Policy::default(), 0, &paused, 7 * S), skip(5, 7, why::PAUSED));
        let policy = Policy { jitter: Duration::from_secs(30), ..Policy::default() };
        let all: Vec<_> = (0..50).map(|n| fire_at(&policy, n * S, 7) - n * S).collect();
        assert!(all.iter().all(|span| (0..=30 * S).contains(span)));
        assert!(all.iter().max() > Some(&(25 * S)) && all.iter().min() < Some(&(5 * S)));
        assert_eq!(fire_at(&policy, 9 * S, 7), fire_at(&policy, 9 * S, 7));
    }
}
