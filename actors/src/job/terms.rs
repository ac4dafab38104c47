//! What all kinds of jobs have in common: which service is called with what, and on which terms.

use std::sync::Arc;
use std::time::Duration;

use config::{DefId, Family, Fault, Name, Need, Span};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::part::Part;
use crate::scheduler::job::{Missed, Overlap, Plan, Policy, Tally, Timetable};

/// The longest text that a job gives to its service, in bytes.
pub(super) const LONGEST_EXTRA: usize = 256 * 1_024;
/// How long a run may take, if nothing else is said.
const TIMEOUT: Span = Span::secs(3_600);
/// The longest time that a run may be given.
const LONGEST_TIMEOUT: Span = Span::secs(7 * 86_400);
/// The most attempts after the first.
const MOST_RETRIES: u32 = 100;

/// How a service that failed is called again.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Retry {
    /// How often, after the first time. Default: 0.
    pub attempts: u32,
    /// The pause before the first of these; each further one is twice as long, 5 minutes at most. Default: 1s.
    pub wait: Span,
}

impl Default for Retry {
    fn default() -> Self {
        Self { attempts: 0, wait: Span::secs(1) }
    }
}

impl Retry {
    pub(super) fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// Declares the parameters of a kind of jobs: its own, and those that all have.
macro_rules! params {
    ($(#[$doc:meta])* { $($(#[$about:meta])* $name:ident: $type:ty,)* }) => {
        $(#[$doc])*
        #[derive(Debug, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
        #[serde(deny_unknown_fields)]
        pub struct Params {
            /// The service that is called.
            pub service: config::Name,
            $($(#[$about])* pub $name: $type,)*
            /// A text that the service is given as it is, as its payload. At most 256 KiB. Default: nothing.
            #[serde(default, skip_serializing_if = "Option::is_none")]
            pub extra: Option<String>,
            /// What is done about slots that came while no node could fire: while all were down, for example. They are
            /// skipped, the newest of them is fired, or all are, in order. Default: `skip`.
            #[serde(default)]
            pub missed: crate::scheduler::job::Missed,
            /// How old a missed slot may be to be made up for. Needs `missed: once` or `missed: all`. Default: as old as
            /// may be.
            #[serde(default, skip_serializing_if = "Option::is_none")]
            pub window: Option<config::Span>,
            /// What is done about a slot whose job still runs. Default: `allow`.
            #[serde(default)]
            pub overlap: crate::scheduler::job::Overlap,
            /// Each slot is fired up to this much later, by a span that differs from slot to slot and from job to job, so
            /// that not all jobs of an hour begin at once. Default: 0s.
            #[serde(default, skip_serializing_if = "Option::is_none")]
            pub jitter: Option<config::Span>,
            /// How long a run may take, all attempts together. Then it is ended, and has failed. Default: 1h.
            #[serde(default, skip_serializing_if = "Option::is_none")]
            pub timeout: Option<config::Span>,
            /// How a service that failed is called again.
            #[serde(default, skip_serializing_if = "crate::job::terms::Retry::is_default")]
            pub retry: crate::job::terms::Retry,
            /// A service that is called when a run went well. It is told of the job, the slot and the cid.
            #[serde(default, skip_serializing_if = "Option::is_none")]
            pub on_success: Option<config::Name>,
            /// A service that is called when a run failed for good. It is told of the error, too.
            #[serde(default, skip_serializing_if = "Option::is_none")]
            pub on_failure: Option<config::Name>,
        }

        impl Params {
            fn terms(&self) -> crate::job::terms::Terms<'_> {
                crate::job::terms::Terms {
                    service: &self.service,
                    extra: self.extra.as_deref(),
                    missed: self.missed,
                    window: self.window,
                    overlap: self.overlap,
                    jitter: self.jitter,
                    timeout: self.timeout,
                    retry: self.retry,
                    on_success: self.on_success.as_ref(),
                    on_failure: self.on_failure.as_ref(),
                }
            }
        }
    };
}
pub(super) use params;

/// What [`params`] adds to the parameters of each kind.
#[derive(Clone, Copy)]
pub(super) struct Terms<'a> {
    pub(super) service: &'a Name,
    pub(super) extra: Option<&'a str>,
    pub(super) missed: Missed,
    pub(super) window: Option<Span>,
    pub(super) overlap: Overlap,
    pub(super) jitter: Option<Span>,
    pub(super) timeout: Option<Span>,
    pub(super) retry: Retry,
    pub(super) on_success: Option<&'a Name>,
    pub(super) on_failure: Option<&'a Name>,
}

impl Terms<'_> {
    pub(super) fn check(&self) -> Vec<Fault> {
        let mut faults = Vec::new();
        let mut fault = |wrong: bool, at: &str, what: String, hint: &str| {
            if wrong {
                faults.push(Fault::new(at, what).hint(hint));
            }
        };
        let length = self.extra.map_or(0, str::len);
        let what = format!(
            "it has {length} bytes, more than the {LONGEST_EXTRA} that a job may give to its service"
        );
        fault(length > LONGEST_EXTRA, "extra", what, "let the service fetch what is as large as this");
        let idle = self.window.is_some() && self.missed == Missed::Skip;
        fault(idle, "window", "it means nothing with missed: skip".into(), "add missed: once or missed: all");
        let zero = |span: Option<Span>| span.is_some_and(|span| span.get().is_zero());
        fault(zero(self.window), "window", "it must be longer than nothing".into(), "such as 1h");
        fault(zero(self.timeout), "timeout", "it must be longer than nothing".into(), "such as 10m");
        let too_long = self.timeout.is_some_and(|timeout| timeout > LONGEST_TIMEOUT);
        fault(too_long, "timeout", format!("it is longer than {LONGEST_TIMEOUT}"), "such as 12h");
        let many = self.retry.attempts > MOST_RETRIES;
        fault(many, "retry.attempts", format!("it is more than {MOST_RETRIES}"), "such as 3");
        faults
    }

    pub(super) fn needs(&self) -> Vec<Need> {
        let need =
            |at: &str, name: &Name| Need { at: at.into(), id: DefId::new(Family::Service, name.clone()) };
        let mut needs = vec![need("service", self.service)];
        needs.extend(self.on_success.map(|name| need("on_success", name)));
        needs.extend(self.on_failure.map(|name| need("on_failure", name)));
        needs
    }

    /// The part that the scheduler fires.
    pub(super) fn part(&self, times: impl Timetable, r#type: &'static str) -> Part {
        let policy = Policy {
            missed: self.missed,
            window: self.window.map(Span::get),
            overlap: self.overlap,
            jitter: self.jitter.map_or(Duration::ZERO, Span::get),
            timeout: self.timeout.unwrap_or(TIMEOUT).get(),
            retries: self.retry.attempts,
            backoff: self.retry.wait.get(),
        };
        Part::Job(Arc::new(Plan {
            times: Arc::new(times),
            policy,
            service: self.service.clone(),
            extra: self.extra.unwrap_or_default().to_owned().into(),
            on_success: self.on_success.cloned(),
            on_failure: self.on_failure.cloned(),
            r#type,
            tally: Tally::default(),
        }))
    }
}

/// A name that is one for sure, for examples.
pub(super) fn example_service() -> Name {
    match "zeugma.helpers.input-logger".parse() {
        Ok(name) => name,
        Err(fault) => unreachable!("{fault}"),
    }
}
