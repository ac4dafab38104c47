//! The plans of simulated jobs.

use std::sync::Arc;

use actors::scheduler::job::{Every, Plan, Policy, Tally, Timetable};
use config::slots::Micros;

/// Slots every so often, of which some fall out, as those do over which clocks are put forward.
pub(crate) struct Holed {
    pub(crate) every: Every,
    /// One of so many falls out; none: none does.
    pub(crate) holes: Option<Micros>,
}

impl Holed {
    fn falls_out(&self, slot: Micros) -> bool {
        self.holes.is_some_and(|holes| slot / self.every.every % holes == 0)
    }
}

impl Timetable for Holed {
    fn next(&self, after: Micros, anchor: Micros) -> Option<Micros> {
        let all = std::iter::successors(self.every.next(after, anchor), |at| self.every.next(*at, anchor));
        all.into_iter().find(|at| !self.falls_out(*at))
    }

    fn left_out(&self, after: Micros, until: Micros) -> Option<(Micros, u64)> {
        let start = self.every.start?;
        let all = std::iter::successors(self.every.next(after, start), |at| self.every.next(*at, start));
        all.take_while(|at| *at <= until).find(|at| self.falls_out(*at)).map(|at| (at, 1))
    }
}

/// A plan, with nothing counted.
pub(crate) fn plan(times: Holed, policy: Policy) -> Arc<Plan> {
    Arc::new(Plan {
        times: Arc::new(times),
        policy,
        service: "x".parse().expect("a name"),
        extra: bytes::Bytes::new(),
        on_success: None,
        on_failure: None,
        r#type: "interval",
        tally: Tally::default(),
    })
}
