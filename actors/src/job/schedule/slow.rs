//! Slots of cron jobs against a computation that shares nothing with the real one: every minute of a stretch of time is
//! asked for its local time, and every local minute whether an expression means it.

use std::collections::BTreeMap;

use chrono::{
    DateTime, Datelike as _, Duration, NaiveDate, NaiveDateTime, Offset as _, TimeZone as _, Timelike as _,
    Utc,
};
use chrono_tz::{TZ_VARIANTS, Tz};

use super::{Clockwork, Expression, Fold, Gap, Mark, Schedule, Syntax, Zone};
use crate::scheduler::job::Timetable as _;

/// What the day fields say, and the same for the slow side.
#[derive(Clone, Copy, Debug)]
enum Day {
    Any,
    Of(u32),
    Last,
    Near(u32),
    Weekday(u32),
    Nth(u32, u32),
    LastWeekday(u32),
    Either(u32, u32),
}

#[derive(Debug)]
struct Case {
    minutes: Vec<u32>,
    hours: Vec<u32>,
    day: Day,
    months: Vec<u32>,
    gap: Option<Gap>,
    fold: Option<Fold>,
}

impl Case {
    /// One that fires now and then.
    fn random(dice: &mut fastrand::Rng) -> Self {
        let cases = std::iter::repeat_with(|| Self::any(dice));
        let sound = |case: &Self| Expression::parse(&case.text(), Syntax::Crontab).is_ok();
        cases.take(1_000).find(sound).expect("most fire")
    }

    fn any(dice: &mut fastrand::Rng) -> Self {
        let mut some = |of: std::ops::RangeInclusive<u32>, most: usize| {
            let mut found: Vec<u32> = (0..dice.usize(1..=most)).map(|_| dice.u32(of.clone())).collect();
            found.sort_unstable();
            found.dedup();
            found
        };
        let (minutes, mut hours, months) = (some(0..=59, 4), some(0..=5, 4), some(1..=12, 11));
        let day = match dice.u32(0..14) {
            0 => Day::Of(dice.u32(1..=31)),
            1 => Day::Last,
            2 => Day::Near(dice.u32(1..=28)),
            3 => Day::Weekday(dice.u32(0..=6)),
            4 => Day::Nth(dice.u32(0..=6), dice.u32(1..=4)),
            5 => Day::LastWeekday(0),
            6 => Day::Either(dice.u32(1..=28), dice.u32(0..=6)),
            _ => Day::Any,
        };
        match dice.u32(0..4) {
            0 => hours = (0..24).collect(),
            1 => hours.extend([22, 23]),
            _ => {}
        }
        let months = if dice.u32(0..3) == 0 { months } else { (1..=12).collect() };
        let gap = [None, Some(Gap::Skip), Some(Gap::Shift)][dice.usize(0..3)];
        let fold = [None, Some(Fold::First), Some(Fold::Last), Some(Fold::Both)][dice.usize(0..4)];
        Self { minutes, hours, day, months, gap, fold }
    }

    fn text(&self) -> String {
        let list = |of: &[u32]| of.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
        let (day, weekday) = match self.day {
            Day::Any => ("*".to_owned(), "*".to_owned()),
            Day::Of(day) => (day.to_string(), "*".to_owned()),
            Day::Last => ("L".to_owned(), "*".to_owned()),
            Day::Near(day) => (format!("{day}W"), "?".to_owned()),
            Day::Weekday(day) => ("*".to_owned(), if day == 0 { "7".to_owned() } else { day.to_string() }),
            Day::Nth(day, n) => ("*".to_owned(), format!("{day}#{n}")),
            Day::LastWeekday(day) => ("?".to_owned(), format!("{day}L")),
            Day::Either(day, weekday) => (day.to_string(), weekday.to_string()),
        };
        format!("{} {} {day} {} {weekday}", list(&self.minutes), list(&self.hours), list(&self.months))
    }

    fn means(&self, local: NaiveDateTime) -> bool {
        self.minutes.contains(&local.minute())
            && self.hours.contains(&local.hour())
            && self.months.contains(&local.month())
            && self.means_day(local.date())
    }

    fn means_day(&self, date: NaiveDate) -> bool {
        let weekday = |date: NaiveDate| date.weekday().num_days_from_sunday();
        let same_month = |date: NaiveDate| date.month();
        match self.day {
            Day::Any => true,
            Day::Of(day) => date.day() == day,
            Day::Last => same_month(date + Duration::days(1)) != date.month(),
            Day::Weekday(day) => weekday(date) == day,
            Day::Nth(day, n) => weekday(date) == day && (date.day() - 1) / 7 + 1 == n,
            Day::LastWeekday(day) => {
                weekday(date) == day && same_month(date + Duration::days(7)) != date.month()
            }
            Day::Either(day, of_week) => date.day() == day || weekday(date) == of_week,
            Day::Near(day) => {
                let wanted = date.with_day(day).expect("every month has 28 days");
                let working =
                    |date: &NaiveDate| (1..=5).contains(&weekday(*date)) && date.month() == wanted.month();
                let around = [0, -1, 1, -2, 2].map(|days| wanted + Duration::days(days));
                around.into_iter().find(working) == Some(date)
            }
        }
    }

    /// The slots of a stretch of minutes, by going through all of them, and what is left out: how many at which moment.
    fn slowly(&self, zone: Tz, from: DateTime<Utc>, until: DateTime<Utc>) -> Found {
        let hourly = self.hours.len() == 24;
        let gap = self.gap.unwrap_or(if hourly { Gap::Skip } else { Gap::Shift });
        let fold = self.fold.unwrap_or(if hourly { Fold::Both } else { Fold::First });
        // More than is asked for, so that both times of a fold are seen.
        let margin = Duration::hours(2);
        let mut minutes: Vec<(DateTime<Utc>, NaiveDateTime)> = Vec::new();
        let mut at = from - margin;
        while at <= until + margin {
            minutes.push((at, local(zone, at)));
            at += Duration::minutes(1);
        }
        let mut times: BTreeMap<NaiveDateTime, Vec<DateTime<Utc>>> = BTreeMap::new();
        for (at, local) in &minutes {
            times.entry(*local).or_default().push(*at);
        }
        let mut due: BTreeMap<DateTime<Utc>, Mark> = BTreeMap::new();
        for (local, moments) in times.iter().filter(|(local, _)| self.means(**local)) {
            match (moments.as_slice(), fold, local) {
                ([one], _, _) => drop(due.insert(*one, Mark::Normal)),
                ([first, .., last], fold, _) => {
                    if fold != Fold::Last {
                        due.insert(*first, Mark::FoldFirst);
                    }
                    if fold != Fold::First {
                        due.insert(*last, Mark::FoldLast);
                    }
                }
                ([], _, _) => {}
            }
        }
        let mut left_out = Vec::new();
        for pair in minutes.windows(2) {
            let (mut missing, (at, next)) = (pair[0].1 + Duration::minutes(1), pair[1]);
            let mut wanted = 0;
            while missing < next {
                wanted += u64::from(self.means(missing));
                missing += Duration::minutes(1);
            }
            match gap {
                Gap::Shift if wanted > 0 => drop(due.entry(at).or_insert(Mark::GapShifted)),
                Gap::Skip if wanted > 0 => left_out.push((at - Duration::microseconds(1), wanted)),
                _ => {}
            }
        }
        let within = |at: &DateTime<Utc>| *at > from && *at <= until;
        left_out.retain(|(at, _)| within(at));
        (due.into_iter().filter(|(at, _)| within(at)).collect(), left_out)
    }

    fn quickly(&self, zone: Tz, from: DateTime<Utc>, until: DateTime<Utc>) -> Found {
        let expression = Expression::parse(&self.text(), Syntax::Crontab).expect("a sound expression");
        let zone: Zone = zone.name().parse().expect("a zone");
        let clockwork = Clockwork::new(&expression, zone, self.gap, self.fold).expect("it fires");
        let schedule = Schedule::Cron(Box::new(clockwork), None);
        let slots = schedule.slots_between(from, until, from, usize::MAX);
        let until = until.timestamp_micros();
        let next = |after| schedule.left_out(after, until);
        let gaps = std::iter::successors(next(from.timestamp_micros()), |(at, _)| next(*at));
        let gaps = gaps.map(|(at, count)| (super::moment(at), count)).collect();
        (slots.into_iter().map(|slot| (slot.at, slot.mark)).collect(), gaps)
    }
}

/// Slots, and what is left out.
type Found = (Vec<(DateTime<Utc>, Mark)>, Vec<(DateTime<Utc>, u64)>);

fn local(zone: Tz, at: DateTime<Utc>) -> NaiveDateTime {
    let at = at.naive_utc();
    at + Duration::seconds(zone.offset_from_utc_datetime(&at).fix().local_minus_utc().into())
}

fn offset(zone: Tz, at: DateTime<Utc>) -> i64 {
    zone.offset_from_utc_datetime(&at.naive_utc()).fix().local_minus_utc().into()
}

fn day(n: i64) -> DateTime<Utc> {
    let first = NaiveDate::from_ymd_opt(2020, 1, 1).and_then(|day| day.and_hms_opt(0, 0, 0)).expect("a day");
    first.and_utc() + Duration::days(n)
}

/// The days from 2020 to 2040.
const DAYS: i64 = 7_671;

#[test]
fn slots_in_every_zone_are_those_that_going_through_every_minute_finds() {
    let mut dice = fastrand::Rng::with_seed(20_261_125);
    let (mut changes, mut found, mut left_out, mut marks) = (0_u32, 0, 0, BTreeMap::new());
    let mut seen = std::collections::HashSet::new();
    for zone in TZ_VARIANTS {
        let offsets: Vec<i64> = (0..=DAYS).map(|n| offset(zone, day(n))).collect();
        let mut changing: Vec<usize> =
            (0..offsets.len() - 1).filter(|n| offsets[*n] != offsets[n + 1]).collect();
        // Many zones are others by another name: of these, some changes are enough.
        if !seen.insert(offsets.clone()) {
            dice.shuffle(&mut changing);
            changing.truncate(2);
        }
        let mut stretches = vec![(day(dice.i64(0..DAYS)), 1_500)];
        for n in changing {
            let first = day(i64::try_from(n).expect("a day"));
            let hour = (0..24).find(|h| offset(zone, first + Duration::hours(h + 1)) != offsets[n]);
            let hour = hour.expect("a change within the day");
            stretches.push((first + Duration::hours(hour - 3) + Duration::minutes(dice.i64(0..60)), 360));
            changes += 1;
        }
        for (from, minutes) in stretches {
            let case = Case::random(&mut dice);
            let until = from + Duration::minutes(minutes);
            let slow = case.slowly(zone, from, until);
            let quick = case.quickly(zone, from, until);
            assert_eq!(quick, slow, "{zone} {from} to {until}: {} {case:?}", case.text());
            found += slow.0.len();
            left_out += slow.1.len();
            for (_, mark) in slow.0 {
                *marks.entry(format!("{mark:?}")).or_insert(0) += 1;
            }
        }
    }
    // Or else it would have proved nothing.
    let enough = changes > 1_000 && found > 3_000 && left_out > 50 && marks.len() == 4;
    assert!(enough, "{changes} {found} {left_out} {marks:?}");
}

#[test]
fn weeks_of_slots_are_found_one_by_one_as_going_through_every_minute_finds_them() {
    let mut dice = fastrand::Rng::with_seed(7);
    for name in ["Europe/London", "America/New_York", "Australia/Lord_Howe", "Africa/Casablanca"] {
        let zone: Tz = name.parse().expect("a zone");
        let case = Case { day: Day::Any, ..Case::random(&mut dice) };
        let (from, until) = (day(2_270), day(2_290)); // the end of March
        assert_eq!(case.quickly(zone, from, until), case.slowly(zone, from, until), "{name} {}", case.text());
    }
}
