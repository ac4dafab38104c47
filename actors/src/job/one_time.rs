//! The kind `job.one-time`: a service is called once, at a moment.

use async_trait::async_trait;
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
        /// When, such as `2026-12-01T09:00:00Z`; without an offset it is UTC. If it has passed when the job is made, the
        /// job never fires. Default: at once.
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
            start: "2026-12-01T09:00:00Z".parse().ok(),
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

    async fn start(params: Params, _: Start) -> Result<Part> {
        Ok(params.terms().part(params.schedule(), "one-time"))
    }
}
