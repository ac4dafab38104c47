//! The metrics of jobs: when each is due, what has become of its slots, and how the scheduler itself is.
//!
//! There may be a hundred thousand jobs. What is known of each is written when it is asked for, and kept nowhere else.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use actors::Part;
use actors::scheduler::job::{Plan, Tally};
use actors::scheduler::meters::Meters;
use config::{Family, Name};
use prometheus::{IntGauge, Registry};

use crate::app::App;

/// See the module.
#[derive(Clone, Debug)]
pub struct Jobs {
    /// What the scheduler adds to by itself.
    pub meters: Meters,
    runs: IntGauge,
    silent: IntGauge,
    restarts: IntGauge,
}

impl Jobs {
    /// Makes them, all at zero.
    ///
    /// # Errors
    /// If two have the same name, which the first start of any node shows.
    pub(super) fn new(registry: &Registry) -> prometheus::Result<Self> {
        let number = |name: &str, help: &str| {
            let gauge = IntGauge::new(name, help)?;
            registry.register(Box::new(gauge.clone()))?;
            Ok::<_, prometheus::Error>(gauge)
        };
        Ok(Self {
            meters: Meters::new(registry)?,
            runs: number("zeugma_job_runs", "Runs of jobs that are under way on this node.")?,
            silent: number("zeugma_jobs_silent", "Jobs that are active, this node's to fire, and silent.")?,
            restarts: number(
                "zeugma_scheduler_restarts",
                "How often the scheduler's loop has failed or stood still, and begun anew.",
            )?,
        })
    }

    /// Brings up to date what is kept.
    pub(super) fn tell(&self, app: &App) {
        let health = app.scheduler.as_ref().map(|scheduler| scheduler.health()).unwrap_or_default();
        let many = |n: usize| i64::try_from(n).unwrap_or(i64::MAX);
        self.runs.set(many(health.runs));
        self.silent.set(many(health.silent.len()));
        self.restarts.set(i64::try_from(health.restarts).unwrap_or(i64::MAX));
    }
}

/// Writes what is known of each job.
pub(super) fn write(app: &App, text: &mut Vec<u8>) {
    let snapshot = app.live.now();
    let plan = |running: &actors::Running| match &running.part {
        Part::Job(plan) => Some(plan.clone()),
        _ => None,
    };
    let jobs = snapshot.parts.iter().filter(|(id, _)| id.family == Family::Job);
    let mut jobs: Vec<(&Name, Arc<Plan>)> =
        jobs.filter_map(|(id, running)| Some((&id.name, plan(running)?))).collect();
    jobs.sort_by_key(|(name, _)| *name);
    let mut page = String::new();
    let mut family = |name: &str, r#type: &str, help: &str, samples: &dyn Fn(&Tally, &str, &mut String)| {
        head(&mut page, name, r#type, help);
        for (job, plan) in &jobs {
            samples(&plan.tally, &escaped(job.as_str()), &mut page);
        }
    };
    let name = "zeugma_job_next_slot_seconds";
    family(name, "gauge", "When a job that this node fires is due next.", &|tally, job, page| {
        moment(page, name, job, &tally.next);
    });
    let name = "zeugma_job_last_slot_seconds";
    family(name, "gauge", "The last slot of a job that this node has decided.", &|tally, job, page| {
        moment(page, name, job, &tally.last);
    });
    let name = "zeugma_job_owner";
    family(name, "gauge", "Whether this node fires the job.", &|tally, job, page| {
        let owner = u8::from(count(&tally.fence) != 0);
        sample(page, format_args!("{name}{{name=\"{job}\"}} {owner}"));
    });
    let (name, help) =
        ("zeugma_job_slots_total", "Slots of a job that this node has decided, by what became of them.");
    family(name, "counter", help, &|tally, job, page| {
        if tally.last.load(Ordering::Relaxed) == 0 && count(&tally.lost) == 0 {
            return;
        }
        let counts = [
            ("fired", &tally.fired),
            ("missed", &tally.missed),
            ("skipped", &tally.skipped),
            ("lost", &tally.lost),
        ];
        for (outcome, counter) in counts {
            let n = count(counter);
            sample(page, format_args!("{name}{{name=\"{job}\",outcome=\"{outcome}\"}} {n}"));
        }
    });
    text.extend(page.into_bytes());
}

fn head(page: &mut String, name: &str, r#type: &str, help: &str) {
    sample(page, format_args!("# HELP {name} {help}\n# TYPE {name} {type}"));
}

fn sample(page: &mut String, line: std::fmt::Arguments<'_>) {
    page.push_str(&line.to_string());
    page.push('\n');
}

/// A moment in seconds since 1970, if there is one.
fn moment(page: &mut String, name: &str, job: &str, moment: &AtomicI64) {
    let micros = moment.load(Ordering::Relaxed);
    if micros != 0 {
        let (seconds, rest) = (micros.div_euclid(1_000_000), micros.rem_euclid(1_000_000));
        sample(page, format_args!("{name}{{name=\"{job}\"}} {seconds}.{rest:06}"));
    }
}

fn count(counter: &AtomicU64) -> u64 {
    counter.load(Ordering::Relaxed)
}

/// A label's value, as the format wants it.
fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_moments_are_written_as_the_format_wants_them() {
        assert_eq!(escaped("a \"b\" \\"), "a \\\"b\\\" \\\\");
        let mut page = String::new();
        moment(&mut page, "m", "j", &AtomicI64::new(1_800_000_000_000_250));
        moment(&mut page, "m", "j", &AtomicI64::new(0));
        assert_eq!(page, "m{name=\"j\"} 1800000000.000250\n");
    }
}
