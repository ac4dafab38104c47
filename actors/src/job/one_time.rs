//! The kind `job.one-time`: a service is called once, at a moment.

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use config::{Fault, Need};
use sdk::Result;

use super::moment::Moment;
use super::schedule::Schedule;
use super::terms;
use crate::kind::{Kind, Start};
use crate::part::Part;

terms::params! {
    /// A service, called once.
    ///
    /// A job that has fired becomes inactive and stays so, whatever restarts, until it gets another start or is made
    /// active again.
    {
        /// When, such as `2030-01-15T09:00:00Z`; without an offset it is UTC. A job that is made must not be
        /// enabled with one that has passed. Default: at once.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        start: Option<Moment>,
    }
}

/// See the module.
pub struct OneTime;

impl Params {
    /// When it is due.
    pub fn schedule(&self) -> Schedule {
        Schedule::Once(self.start.map(Moment::get))
    }
}

#[async_trait]
impl Kind for OneTime {
    const TAG: &'static str = "job.one-time";
    const LIGHT: bool = true;
    type Params = Params;

    fn example() -> Params {
        Params {
            service: terms::example_service(),
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
        params.terms().check()
    }

    fn needs(params: &Params) -> Vec<Need> {
        params.terms().needs()
    }

    fn end(params: &Params) -> Option<(&'static str, DateTime<Utc>)> {
        params.start.map(|start| ("start", start.get()))
    }

    async fn start(params: Params, _: Start) -> Result<Part> {
        Ok(params.terms().part(params.schedule(), "one-time"))
    }
}
