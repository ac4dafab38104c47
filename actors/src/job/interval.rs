//! The kind `job.interval`: a service is called every so often.

use std::time::Duration;

use async_trait::async_trait;
use config::{Fault, Need, Span};
use sdk::{Error, Result};

use super::moment::Moment;
use super::schedule::{Interval, SHORTEST, Schedule};
use super::terms;
use crate::kind::{Kind, Start};
use crate::part::Part;

terms::params! {
    /// A service, called every so often.
    ///
    /// Slots are counted from the start: the tenth is nine intervals after it, however late the others were. A start that
    /// has passed is fine: the first slot after now is the next one, and those before it count as used up. How often is
    /// said by `every`, or by numbers of weeks, days and so on, which are added.
    {
        /// How often, such as `2s`, `1h 30m` or `250ms`; at least 10ms.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        every: Option<Span>,
        /// How often, in weeks.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        weeks: Option<u64>,
        /// In days.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        days: Option<u64>,
        /// In hours.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        hours: Option<u64>,
        /// In minutes.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        minutes: Option<u64>,
        /// In seconds.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        seconds: Option<u64>,
        /// In milliseconds.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        milliseconds: Option<u64>,
        /// How many slots there are. Then the job becomes inactive and stays so. Default: no end.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        repeats: Option<u64>,
        /// The first slot, such as `2030-01-15T09:00:00Z`; without an offset it is UTC. Default: when the job is made.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        start: Option<Moment>,
    }
}

/// See the module.
pub struct IntervalJob;

/// The longest interval, in milliseconds: a hundred years.
const LONGEST: u64 = 36_500 * 86_400_000;

impl Params {
    fn units(&self) -> [(&'static str, Option<u64>, u64); 6] {
        [
            ("weeks", self.weeks, 7 * 86_400_000),
            ("days", self.days, 86_400_000),
            ("hours", self.hours, 3_600_000),
            ("minutes", self.minutes, 60_000),
            ("seconds", self.seconds, 1_000),
            ("milliseconds", self.milliseconds, 1),
        ]
    }

    /// How often.
    fn interval(&self) -> Result<Duration, Fault> {
        let given: Vec<_> =
            self.units().into_iter().filter_map(|(name, count, of)| Some((name, count?, of))).collect();
        let (at, every) = match (self.every, given.as_slice()) {
            (Some(every), []) => ("every", every.get()),
            (Some(_), [(name, ..), ..]) => {
                let what = format!("it says how often, and so does {name}");
                return Err(Fault::new("every", what).hint("take one of them out"));
            }
            (None, []) => {
                return Err(
                    Fault::new("every", "it is not said how often").hint("such as every: 2s, or minutes: 5")
                );
            }
            (None, [(first, ..), ..]) => {
                let mut sum = 0_u64;
                for (name, count, of) in &given {
                    let added = count.checked_mul(*of).and_then(|more| sum.checked_add(more));
                    sum = added
                        .filter(|sum| *sum <= LONGEST)
                        .ok_or_else(|| Fault::new(*name, "the interval is longer than a hundred years"))?;
                }
                (*first, Duration::from_millis(sum))
            }
        };
        if every.is_zero() {
            return Err(Fault::new(at, "an interval of nothing never gets anywhere").hint("at least 10ms"));
        }
        if every < SHORTEST {
            let what = format!("the interval is {}, shorter than 10ms", humantime::format_duration(every));
            return Err(Fault::new(at, what).hint("let the service itself do several things at once"));
        }
        Ok(every)
    }

    /// When it is due.
    ///
    /// # Errors
    /// If it is not said how often, or not sensibly.
    pub fn schedule(&self) -> Result<Schedule, Fault> {
        let start = self.start.map(Moment::get);
        Ok(Schedule::Interval(Interval::new(self.interval()?, start, self.repeats)))
    }
}

#[async_trait]
impl Kind for IntervalJob {
    const TAG: &'static str = "job.interval";
    const LIGHT: bool = true;
    type Params = Params;

    fn example() -> Params {
        Params {
            service: terms::example_service(),
            every: Some(Span::secs(2)),
            weeks: None,
            days: None,
            hours: None,
            minutes: None,
            seconds: None,
            milliseconds: None,
            repeats: Some(12),
            start: "2030-01-15T09:00:00Z".parse().ok(),
            extra: Some("anything".into()),
            missed: Default::default(),
            window: None,
            overlap: Default::default(),
            jitter: None,
            timeout: None,
            retry: terms::Retry::default(),
            on_success: None,
            on_failure: None,
        }
    }

    fn check(params: &Params) -> Vec<Fault> {
        let mut faults = params.terms().check();
        match params.interval() {
            Err(fault) => faults.push(fault),
            Ok(every) if params.jitter.is_some_and(|jitter| jitter.get() > every) => {
                faults.push(Fault::new("jitter", "it is longer than the interval"));
            }
            Ok(_) => {}
        }
        if params.repeats == Some(0) {
            let hint = "leave it out if there is no end, or write enabled: false";
            faults.push(Fault::new("repeats", "a job that repeats 0 times never fires").hint(hint));
        }
        faults
    }

    fn needs(params: &Params) -> Vec<Need> {
        params.terms().needs()
    }

    async fn start(params: Params, start: Start) -> Result<Part> {
        let schedule =
            params.schedule().map_err(|fault| Error::internal(format!("{}: {fault}", start.id)))?;
        Ok(params.terms().part(schedule, "interval"))
    }
}
