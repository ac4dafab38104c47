//! Runs under way: those of this node and their ends, and those that other nodes have begun.

use std::sync::Arc;

use config::slots::{BATCH, Ending, Micros, Outcome, Record};
use config::{Fence, Name};

use super::super::job::Tally;
use super::{Action, Core, Moment, Number};

/// How long after one was not answered an ending is written again.
const AGAIN: Micros = 200_000;
/// How long until a bucket is inspected again, while runs of other nodes are under way, and otherwise.
const INSPECT: (Micros, Micros) = (1_000_000, 10_000_000);

/// A run of this node.
pub(super) struct Run {
    pub(super) name: Name,
    pub(super) slot: Micros,
    pub(super) record: Record,
}

impl Core {
    pub(super) fn run_ended(
        &mut self,
        at: Moment,
        run: Number,
        outcome: Outcome,
        why: Option<String>,
        attempts: u32,
    ) {
        let Some(Run { name, slot, record }) = self.runs.remove(&run) else { return };
        self.running.remove(&(name.clone(), slot));
        let record = Record { attempts, ..record }.ended(outcome, at.now, why.as_deref());
        let index = self.names.get(&name).copied();
        self.endings.push_back(Ending { name, slot, record, presumed: false });
        if let Some(index) = index
            && let Some(entry) = self.entries[index].as_mut()
        {
            entry.runs = entry.runs.saturating_sub(1);
            if entry.parked.is_some() {
                self.schedule(index, at);
            }
        }
    }

    /// Of a run that has begun nobody will tell the end.
    pub(super) fn presume_lost(&mut self, name: Name, record: Record, at: Moment, why: &str) {
        if let Some(entry) = self.names.get(&name).and_then(|index| self.entries[*index].as_ref()) {
            Tally::add(&entry.job.made.tally.lost, 1);
        }
        let slot = record.at();
        let record = record.ended(Outcome::Lost, at.now, Some(why));
        self.endings.push_back(Ending { name, slot, record, presumed: true });
    }

    /// What the store says is under way in a bucket.
    pub(super) fn under_way(
        &mut self,
        at: Moment,
        (bucket, fence): (u16, Fence),
        runs: Result<Vec<(Name, Record, bool)>, ()>,
    ) {
        let tenure = &mut self.buckets[usize::from(bucket)];
        tenure.inspecting = false;
        let held = tenure.holds(at.steady);
        let Ok(runs) = runs else {
            tenure.inspect_at = at.steady + AGAIN;
            return;
        };
        if held != Some(fence) {
            // Asked before the lease was held, or after it was lost: only the own runs are known for what they are.
            tenure.inspect_at = at.steady + if held.is_some() { 0 } else { INSPECT.1 };
            return self.end_what_nobody_runs(at, runs);
        }
        let first = !std::mem::replace(&mut tenure.inspected, true);
        let had_foreign = std::mem::take(&mut tenure.foreign);
        let jobs = if first || had_foreign { tenure.jobs.clone() } else { Vec::new() };
        for index in &jobs {
            if let Some(entry) = self.entries[*index].as_mut() {
                entry.foreign = 0;
            }
        }
        let (own, others): (Vec<_>, Vec<_>) = runs.into_iter().partition(|(_, r, _)| r.node == self.owner);
        self.end_what_nobody_runs(at, own);
        for (name, record, alive) in others {
            if !alive {
                self.presume_lost(name, record, at, "its node is gone; nobody knows whether it ended");
            } else if let Some(entry) = self.names.get(&name).and_then(|index| self.entries[*index].as_mut())
            {
                entry.foreign += 1;
                self.buckets[usize::from(bucket)].foreign = true;
            }
        }
        let tenure = &mut self.buckets[usize::from(bucket)];
        tenure.inspect_at = at.steady + if tenure.foreign { INSPECT.0 } else { INSPECT.1 };
        for index in jobs {
            let waits = |entry: &super::Entry| first || (entry.parked.is_some() && entry.foreign == 0);
            if self.entries[index].as_ref().is_some_and(waits) {
                self.schedule(index, at);
            }
        }
    }

    /// Of runs of this node that the store takes to be under way, ends those that are not.
    fn end_what_nobody_runs(&mut self, at: Moment, runs: Vec<(Name, Record, bool)>) {
        for (name, record, _) in runs {
            let slot = record.at();
            let here = self.running.contains_key(&(name.clone(), slot));
            let mut claims = self.claiming.values().flat_map(|claims| claims.iter());
            let claimed = claims.any(|claim| claim.name == name && claim.slot == slot);
            if record.node == self.owner && !record.manual && !here && !claimed {
                self.presume_lost(name, record, at, "its claim was answered too late; it was not run");
            }
        }
    }

    pub(super) fn send_endings(&mut self, at: Moment, out: &mut Vec<Action>) {
        match &mut self.ending {
            Some((number, endings, again)) if again.is_some_and(|again| again <= at.steady) => {
                *again = None;
                out.push(Action::End { number: *number, endings: endings.clone() });
            }
            Some(_) => {}
            None if self.endings.is_empty() => {}
            None => {
                let endings: Vec<_> = self.endings.drain(..self.endings.len().min(BATCH)).collect();
                let (number, endings) = (self.number(), Arc::new(endings));
                self.ending = Some((number, endings.clone(), None));
                out.push(Action::End { number, endings });
            }
        }
    }

    pub(super) fn written(&mut self, at: Moment, number: Number, done: bool) {
        match &mut self.ending {
            Some((there, _, again)) if *there == number && !done => *again = Some(at.steady + AGAIN),
            Some((there, ..)) if *there == number => self.ending = None,
            _ => {}
        }
    }
}
