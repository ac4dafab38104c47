//! The kind `job.cron`: a service is called at the local times that a cron expression describes.

use async_trait::async_trait;
use config::{Fault, Need};
use sdk::{Error, Result};

use super::moment::Moment;
use super::schedule::{Clockwork, Expression, Fold, Gap, Schedule, Syntax, Zone};
use super::terms;
use crate::kind::{Kind, Start};
use crate::part::Part;

terms::params! {
    /// A service, called at the local times that a cron expression describes.
    ///
    /// When clocks are put forward, some local times do not exist, and when they are put back, some come twice. An
    /// expression that means every hour goes by the time that passes then, and any other is due once; `gap` and `fold`
    /// say otherwise. `zeugma job preview` shows what becomes of the next slots.
    {
        /// The expression: minute, hour, day of month, month, day of week, such as `00 3-6 * * 1-5`; with the second as a
        /// sixth field in front; or one of `@yearly`, `@monthly`, `@weekly`, `@daily`, `@hourly`.
        cron: String,
        /// How the expression is written. Default: `crontab`.
        #[serde(default)]
        syntax: Syntax,
        /// The time zone that it is meant in, such as `Europe/London`. Default: `UTC`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        timezone: Option<String>,
        /// What is done about local times that do not exist: they are left out (`skip`), or the job is due once at the
        /// moment when clocks are put forward (`shift`). Default: `skip` if the expression means every hour, else `shift`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        gap: Option<Gap>,
        /// Which of local times that come twice counts: the `first`, the `last` or `both`. Default: `both` if the
        /// expression means every hour, else `first`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        fold: Option<Fold>,
        /// Nothing is due before this, such as `2030-01-15T09:00:00Z`; without an offset it is UTC. Default: when the job
        /// is made.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        start: Option<Moment>,
    }
}

/// See the module.
pub struct CronJob;

impl Params {
    fn zone(&self) -> Result<Zone, Fault> {
        let Some(name) = self.timezone.as_deref() else { return Ok(Zone::UTC) };
        name.parse().map_err(|hint| {
            Fault::new("timezone", format!("there is no time zone {name:?}")).maybe_hint(hint)
        })
    }

    /// When it is due.
    ///
    /// # Errors
    /// All that is wrong with the expression and the zone.
    pub fn schedule(&self) -> Result<Schedule, Vec<Fault>> {
        let (zone, expression) = (self.zone(), Expression::parse(&self.cron, self.syntax));
        let (zone, expression) = match (zone, expression) {
            (Ok(zone), Ok(expression)) => (zone, expression),
            (zone, expression) => {
                let mut faults = expression.err().unwrap_or_default();
                faults.extend(zone.err());
                return Err(faults);
            }
        };
        let clockwork =
            Clockwork::new(&expression, zone, self.gap, self.fold).map_err(|fault| vec![fault])?;
        Ok(Schedule::Cron(Box::new(clockwork), self.start.map(Moment::get)))
    }
}

#[async_trait]
impl Kind for CronJob {
    const TAG: &'static str = "job.cron";
    const LIGHT: bool = true;
    type Params = Params;

    fn example() -> Params {
        Params {
            service: terms::example_service(),
            cron: "00 3-6 * * 1-5".into(),
            syntax: Syntax::default(),
            timezone: Some("Europe/London".into()),
            gap: None,
            fold: None,
            start: None,
            extra: None,
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
        faults.extend(params.schedule().err().unwrap_or_default());
        faults
    }

    fn needs(params: &Params) -> Vec<Need> {
        params.terms().needs()
    }

    async fn start(params: Params, start: Start) -> Result<Part> {
        let wrong = |faults| Error::internal(format!("{}: {}", start.id, config::Faults(faults)));
        Ok(params.terms().part(params.schedule().map_err(wrong)?, "cron"))
    }
}
