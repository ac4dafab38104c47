//! Slots at local times: an expression says which local times, a zone when these are, and two policies what happens
//! when clocks are put forward or back.
//!
//! The expression is computed on local times as if clocks were never changed. They are laid over stretches of time with
//! one offset, so that what happens at a change is decided here and nowhere else, and slots come in order.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex, PoisonError, Weak};

use chrono::DateTime;
use config::Fault;
use config::slots::Micros;
use croner::Cron;
use croner::parser::{CronParser, Seconds};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::expression::Expression;
use super::zone::{Change, Secs, Zone};
use super::{COUNTED, LAST, Mark, Slot, moment};

/// What to do about local times that do not exist, since clocks are put forward.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Gap {
    /// They are left out.
    Skip,
    /// The job is due once, at the moment when clocks are put forward.
    Shift,
}

/// What to do about local times that come twice, since clocks are put back.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Fold {
    /// The first counts.
    First,
    /// The second counts.
    Last,
    /// Both do.
    Both,
}

/// See the module.
#[derive(Clone, Debug)]
pub struct Clockwork {
    cron: Arc<Cron>,
    zone: Zone,
    gap: Gap,
    fold: Fold,
}

/// How far changes of clocks are looked for at once.
const AHEAD: Secs = 48 * 3_600;
/// More than any two clocks of the world are apart, and less than half of what is looked ahead by.
const APART: Secs = 36 * 3_600;
/// How long clocks that are put back can make times come twice: a day was once repeated.
const FOLDED: Secs = 25 * 3_600;

/// Where a search has come to: the first second that was not looked at, and whether the gap that ends there was.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cursor {
    from: Secs,
    gap_seen: bool,
}

impl Cursor {
    pub(super) fn after(after: Micros) -> Self {
        Self { from: after.div_euclid(1_000_000).saturating_add(1).max(0), gap_seen: false }
    }
}

impl Clockwork {
    /// Of an expression in a zone. A policy that is left out is made for the expression: one that means every hour goes
    /// by the time that passes, so that nothing is made up for and nothing is left out; any other is due once.
    ///
    /// # Errors
    /// If the expression cannot be computed, or never comes true.
    pub fn new(
        expression: &Expression,
        zone: Zone,
        gap: Option<Gap>,
        fold: Option<Fold>,
    ) -> Result<Self, Fault> {
        let cron = computed(expression).map_err(|error| Fault::new("cron", error))?;
        let gap = gap.unwrap_or(if expression.hourly { Gap::Skip } else { Gap::Shift });
        let fold = fold.unwrap_or(if expression.hourly { Fold::Both } else { Fold::First });
        let clockwork = Self { cron, zone, gap, fold };
        match clockwork.local(0) {
            Some(_) => Ok(clockwork),
            None => Err(Fault::new("cron", "it never fires: there is no such date")),
        }
    }

    /// The first slot after a moment.
    pub(super) fn slot_after(&self, after: Micros) -> Option<Slot> {
        self.next(Cursor::after(after), false).map(|(slot, _)| slot)
    }

    /// The first slot from a cursor on, and where to go on from; with `skipped` also what the zone lets fall out.
    pub(super) fn next(&self, mut cursor: Cursor, skipped: bool) -> Option<(Slot, Cursor)> {
        loop {
            let Cursor { from, gap_seen } = cursor;
            if from > LAST / 1_000_000 {
                return None;
            }
            let offset = self.zone.offset(from);
            if !gap_seen && let Some(found) = self.in_gap(from, offset, skipped) {
                return Some(found);
            }
            let local = self.local(from + offset);
            let change = self.zone.change(from, from + AHEAD);
            let at = local.map(|local| local - offset);
            match (at, change) {
                (Some(at), None) if at <= from + AHEAD => match self.folded(at, offset, None) {
                    Some(mark) => return Some((slot(at, at + offset, mark), beyond(at))),
                    None => cursor = beyond(at),
                },
                (Some(at), Some(change)) if at < change.at => match self.folded(at, offset, Some(change)) {
                    Some(mark) => return Some((slot(at, at + offset, mark), beyond(at))),
                    None => cursor = beyond(at),
                },
                (_, Some(change)) => cursor = Cursor { from: change.at, gap_seen: false },
                // Nothing before that local time, whatever clocks do meanwhile.
                (Some(_), None) => {
                    let near = local.map_or(from, |local| local - APART);
                    cursor = Cursor { from: near.max(from + AHEAD), gap_seen: false };
                }
                (None, None) => return None,
            }
        }
    }

    /// The first time between two moments that clocks are put forward over local times that are left out: the last moment
    /// before, which is never a slot, and how many they are.
    pub(super) fn left_out(&self, after: Micros, until: Micros) -> Option<(Micros, u64)> {
        if self.gap == Gap::Shift {
            return None;
        }
        let seconds = |at: Micros| at.saturating_add(1).div_euclid(1_000_000);
        let (mut from, until) = (seconds(after).max(0), seconds(until));
        loop {
            let change = self.zone.change(from, until)?;
            let next = |local: Secs| self.local(local).filter(|local| *local < change.at + change.after);
            let all = std::iter::successors(next(change.at + change.before), |local| next(local + 1));
            match all.zip(0..COUNTED).count() {
                0 => from = change.at,
                count => return Some((change.at * 1_000_000 - 1, count as u64)),
            }
        }
    }

    /// What was to happen at local times that do not exist, if a gap ends here.
    fn in_gap(&self, at: Secs, offset: Secs, skipped: bool) -> Option<(Slot, Cursor)> {
        let before = self.zone.offset(at - 1);
        if before >= offset || (self.gap == Gap::Skip && !skipped) {
            return None;
        }
        let local = self.local(at + before).filter(|local| *local < at + offset)?;
        let seen = Cursor { from: at, gap_seen: true };
        match self.gap {
            Gap::Skip => Some((slot(at, local, Mark::GapSkipped), seen)),
            // What is due at that moment anyway is not due twice.
            Gap::Shift if self.local(at + offset) == Some(at + offset) => None,
            Gap::Shift => Some((slot(at, local, Mark::GapShifted), beyond(at))),
        }
    }

    /// Whether the local time of a moment comes twice; none if this one does not count.
    fn folded(&self, at: Secs, offset: Secs, next: Option<Change>) -> Option<Mark> {
        let local = at + offset;
        let next = next.or_else(|| self.zone.change(at, at + FOLDED));
        if next.is_some_and(|change| change.after < change.before && local >= change.at + change.after) {
            return (self.fold != Fold::Last).then_some(Mark::FoldFirst);
        }
        let last = self.zone.change_before(at, at - FOLDED);
        if last.is_some_and(|change| change.after < change.before && local < change.at + change.before) {
            return (self.fold != Fold::First).then_some(Mark::FoldLast);
        }
        Some(Mark::Normal)
    }

    /// The first local time from one on, in seconds as if it were UTC.
    fn local(&self, from: Secs) -> Option<Secs> {
        let from = DateTime::from_timestamp(from, 0)?;
        self.cron.find_next_occurrence(&from, true).ok().map(|local| local.timestamp())
    }
}

fn beyond(at: Secs) -> Cursor {
    Cursor { from: at + 1, gap_seen: false }
}

fn slot(at: Secs, local: Secs, mark: Mark) -> Slot {
    let local = moment(local * 1_000_000).naive_utc();
    Slot { at: moment(at * 1_000_000), number: None, local, mark }
}

/// By the canonical expression, and whether both kinds of days must fit.
type Known = HashMap<(String, bool), Weak<Cron>>;

/// What computes an expression. It takes kilobytes, so all jobs that say the same share it.
fn computed(expression: &Expression) -> Result<Arc<Cron>, String> {
    static KNOWN: LazyLock<Mutex<Known>> = LazyLock::new(Mutex::default);
    let key = (expression.canonical.clone(), expression.both_days);
    let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(cron) = known.get(&key).and_then(Weak::upgrade) {
        return Ok(cron);
    }
    let parser = CronParser::builder().seconds(Seconds::Required).dom_and_dow(expression.both_days).build();
    let cron = Arc::new(parser.parse(&expression.canonical).map_err(|error| error.to_string())?);
    if known.len().is_power_of_two() {
        known.retain(|_, cron| cron.strong_count() > 0);
    }
    known.insert(key, Arc::downgrade(&cron));
    Ok(cron)
}
