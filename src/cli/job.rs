//! `zeugma job`: what jobs there are and what becomes of them, and what an operator does to them.

use actors::job::schedule::{Mark, Slot};
use chrono::{DateTime, SecondsFormat, Utc};
use clap::{Args, Subcommand};
use config::slots::{Outcome, Record};
use config::{Family, Name, bundle};
use reqwest::Method;

use super::admin::{Ask, Remote};
use super::exit::{Exit, Stop};
use super::output::{Form, Output, print, table};
use crate::http::admin::shapes::Started;
use crate::jobs::{JobView, Preview, Switched};

/// See the module.
#[derive(Debug, Subcommand)]
pub(super) enum Jobs {
    /// Shows the jobs, with their next slots
    List(List),
    /// Shows a job
    Show(One),
    /// Fires a job now, whatever its plan, and does not wait for the end
    Run(One),
    /// Shows the next slots of a job, with what a time zone makes of them
    Preview(Several),
    /// Switches a job on; one that has run out begins another turn
    Activate(One),
    /// Switches a job off
    Deactivate(One),
    /// Shows what became of the newest slots of a job
    History(Several),
}

/// See the module.
#[derive(Debug, Args)]
pub(super) struct List {
    #[command(flatten)]
    remote: Remote,
    #[command(flatten)]
    output: Output,
}

/// See the module.
#[derive(Debug, Args)]
pub(super) struct One {
    /// The job
    name: Name,
    #[command(flatten)]
    remote: Remote,
    #[command(flatten)]
    output: Output,
}

/// See the module.
#[derive(Debug, Args)]
pub(super) struct Several {
    /// The job
    name: Name,
    /// How many slots
    #[arg(short, value_name = "COUNT")]
    n: Option<usize>,
    #[command(flatten)]
    remote: Remote,
    #[command(flatten)]
    output: Output,
}

impl One {
    fn ask(&self, verb: &str) -> Ask {
        Ask::new(Method::POST, &["jobs", self.name.as_str(), verb])
    }

    async fn switch(&self, verb: &str) -> Result<Exit, Stop> {
        let switched: Switched = self.remote.ask(self.ask(verb)).await?;
        if self.output.output != Form::Table {
            return self.output.value(&switched);
        }
        let Switched { job, changed, .. } = switched;
        let now = if job.active { "active" } else { "inactive" };
        let already = if changed { "now" } else { "already" };
        let next = job.next.map(|at| format!(", next slot {}", moment(at))).unwrap_or_default();
        // What was wanted may not come of it: a plan without slots to come does not get any by this.
        print(&format!("{} is {already} {now}{next}\n", job.name))
    }
}

impl Jobs {
    pub(super) async fn run(self) -> Result<Exit, Stop> {
        match self {
            Self::List(List { remote, output }) => {
                let jobs: Vec<JobView> = remote.ask(Ask::get(&["jobs"])).await?;
                let columns = ["id", "name", "type", "service", "active", "next", "last", "fault"];
                output.show(&jobs, &columns, || jobs.iter().map(row))
            }
            Self::Show(One { name, remote, output }) => {
                let job: JobView = remote.ask(Ask::get(&["jobs", name.as_str()])).await?;
                if output.output != Form::Table {
                    return output.value(&job);
                }
                print(&table(
                    &["id", "active", "next", "last", "plan made"],
                    [vec![
                        job.id.to_string(),
                        yes(job.active),
                        optional(job.next),
                        optional(job.last),
                        optional(job.begun),
                    ]],
                ))?;
                print(&bundle::write_yaml([(Family::Job, job.definition)].into_iter()))
            }
            Self::Run(one) => {
                let started: Started = one.remote.ask(one.ask("run")).await?;
                match one.output.output {
                    Form::Table => print(&format!("{} runs, cid {}\n", one.name, started.cid)),
                    _ => one.output.value(&started),
                }
            }
            Self::Activate(one) => one.switch("activate").await,
            Self::Deactivate(one) => one.switch("deactivate").await,
            Self::Preview(Several { name, n, remote, output }) => {
                let ask = Ask::get(&["jobs", name.as_str(), "preview"]).query("n", n);
                let preview: Preview = remote.ask(ask).await?;
                if output.output == Form::Table && !preview.active {
                    print("the job is not active: nothing of this will come unless that changes\n")?;
                }
                let local = format!("in {}", preview.timezone);
                output
                    .show(&preview, &["number", "slot", &local, "clocks"], || preview.slots.iter().map(slot))
            }
            Self::History(Several { name, n, remote, output }) => {
                let ask = Ask::get(&["jobs", name.as_str(), "history"]).query("limit", n);
                let records: Vec<Record> = remote.ask(ask).await?;
                let columns = ["slot", "slots", "outcome", "started", "ended", "node", "cid", "why"];
                output.show(&records, &columns, || records.iter().map(record))
            }
        }
    }
}

fn moment(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::AutoSi, true)
}

fn optional(at: Option<DateTime<Utc>>) -> String {
    at.map(moment).unwrap_or_default()
}

fn yes(yes: bool) -> String {
    if yes { "yes" } else { "no" }.to_owned()
}

fn row(job: &JobView) -> Vec<String> {
    vec![
        job.id.to_string(),
        job.name.to_string(),
        job.r#type.clone(),
        job.service.clone(),
        yes(job.active),
        optional(job.next),
        optional(job.last),
        job.fault.clone().unwrap_or_default(),
    ]
}

fn slot(slot: &Slot) -> Vec<String> {
    let clocks = match slot.mark {
        Mark::Normal => "",
        Mark::GapShifted => "put forward: due when they are, for a time that does not exist",
        Mark::GapSkipped => "put forward: left out, this time does not exist",
        Mark::FoldFirst => "put back: the first of two",
        Mark::FoldLast => "put back: the second of two",
    };
    let at = if slot.mark == Mark::GapSkipped { String::new() } else { moment(slot.at) };
    let number = slot.number.map(|number| number.to_string()).unwrap_or_default();
    vec![number, at, slot.local.to_string(), clocks.to_owned()]
}

fn record(record: &Record) -> Vec<String> {
    let outcome = match record.outcome {
        Outcome::Running => "running",
        Outcome::Done => "done",
        Outcome::Failed => "failed",
        Outcome::Skipped => "skipped",
        Outcome::Cancelled => "cancelled",
        Outcome::Lost => "lost",
    };
    let until = record.until.map(|until| format!(" to {}", moment(until))).unwrap_or_default();
    let why = record.why.clone().or_else(|| record.manual.then(|| "somebody wanted it".to_owned()));
    vec![
        format!("{}{until}", moment(record.slot)),
        record.slots.to_string(),
        outcome.to_owned(),
        optional(record.started),
        optional(record.ended),
        record.node.clone(),
        record.cid.clone().unwrap_or_default(),
        why.unwrap_or_default(),
    ]
}
