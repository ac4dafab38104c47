//! What must hold, whatever happens.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use actors::scheduler::core::{Launch, why};
use actors::scheduler::job::{Missed, Plan};
use config::slots::{Claim, EARLY, JobState, Kept, Micros, Outcome};
use config::{Name, Revision};

use super::world::S;

/// See the module.
#[derive(Default)]
pub(crate) struct Checks {
    /// Every plan there was.
    pub(crate) plans: BTreeMap<(Name, Revision), Arc<Plan>>,
    /// The runs that the store has granted: by whom.
    granted: BTreeMap<(Name, Micros), String>,
    /// Those of which the store has forgotten that.
    forgotten: BTreeSet<(Name, Micros)>,
    /// The runs that were begun: by whom.
    begun: BTreeMap<(Name, Micros), BTreeSet<String>>,
    /// The last slot of each job that was ever decided.
    reached: BTreeMap<Name, Micros>,
    fell_back: bool,
    pub(crate) broken: Vec<String>,
    pub(crate) again: u64,
}

impl Checks {
    fn broken(&mut self, what: String) {
        self.broken.push(what);
    }

    /// The store has granted a claim, upon this state and with this plan in the catalog.
    pub(crate) fn grants(
        &mut self,
        claim: &Claim,
        before: &JobState,
        wanted: Option<Revision>,
        owner: &str,
        time: Micros,
    ) {
        let Claim { name, plan, slot, until, record, .. } = claim;
        if wanted != Some(*plan) {
            self.broken(format!("{name}: a slot was decided by plan {plan}, and {wanted:?} is wanted"));
        }
        let Some(made) = self.plans.get(&(name.clone(), *plan)).cloned() else {
            return self.broken(format!("{name}: there was never a plan {plan}"));
        };
        let after = |last: Micros| {
            let last = last.max(before.anchor - 1);
            let next = made.times.next(last, before.anchor)?;
            Some(made.times.left_out(last, next).map_or(next, |(gap, _)| gap))
        };
        let next = after(before.last);
        let reached = self.reached.entry(name.clone()).or_default();
        let known = after(before.last.max(*reached));
        // What was decided and forgotten may be decided again.
        let redone = self.fell_back && *slot <= *reached;
        *reached = (*reached).max(*until);
        // Who goes on when the store has forgotten something knows better.
        let next = if self.fell_back && next != Some(*slot) { known } else { next };
        let over = record.why.as_deref() == Some(why::OVER);
        if !redone && (over != next.is_none() || (!over && next != Some(*slot))) {
            self.broken(format!("{name}: {slot} was decided, and {next:?} was the next slot"));
        }
        let gap = record.why.as_deref() == Some(why::GAP);
        if gap != made.times.left_out(*slot - 1, *slot).is_some() {
            self.broken(format!(
                "{name}: {slot} was decided as if it were one that there is, or none: {record:?}"
            ));
        }
        if !over && !gap && made.times.through(*slot, *until, before.anchor).0 != *until {
            self.broken(format!("{name}: {until} is no slot"));
        }
        if let Some((gone, _)) = made.times.left_out(*slot, *until) {
            self.broken(format!("{name}: {gone} falls out, and was decided as one of {slot} to {until}"));
        }
        if *until > time + EARLY {
            self.broken(format!("{name}: {until} was decided {} us early", until - time));
        }
        let missed = record.why.as_deref().is_some_and(|why| why.starts_with("missed"));
        if missed && made.policy.missed == Missed::All && made.policy.window.is_none() {
            self.broken(format!("{name}: {slot} was missed, and all are to be made up for"));
        }
        if record.outcome == Outcome::Running {
            self.granted.insert((name.clone(), *slot), owner.to_owned());
            if self.forgotten.remove(&(name.clone(), *slot)) {
                self.again += 1;
            }
        }
    }

    /// The store has fallen back to an earlier copy.
    pub(crate) fn falls_back(&mut self, to: &Kept) {
        self.fell_back = true;
        let lost = |((name, slot), _): &(&(Name, Micros), &String)| *slot > to.last(name);
        let lost: Vec<_> = self.granted.iter().filter(lost).map(|(run, _)| run.clone()).collect();
        for run in lost {
            self.granted.remove(&run);
            self.forgotten.insert(run);
        }
    }

    /// A node begins a run.
    pub(crate) fn begins(&mut self, launch: &Launch, owner: &str) {
        let run = (launch.job.name.clone(), launch.slot);
        // Of a grant that the store forgot since, the node may well know.
        if self.granted.get(&run).is_none_or(|by| by != owner) && !self.forgotten.contains(&run) {
            self.broken(format!("{run:?}: {owner} runs it, and it was not granted that"));
        }
        let before = self.begun.entry(run.clone()).or_default();
        let twice = !before.insert(owner.to_owned());
        // A store that forgot what it had granted may grant it once more: to another process, never to the same.
        let excused = before.len() <= 2 && self.again > 0;
        if twice || (before.len() > 1 && !excused) {
            let before = before.clone();
            self.broken(format!("{run:?}: run twice, by {before:?}"));
        }
    }

    /// Nothing has gone wrong for a while, and every node was there.
    pub(crate) fn rests(
        &mut self,
        kept: &Kept,
        wanted: &BTreeMap<Name, Revision>,
        states: &BTreeMap<Name, JobState>,
        time: Micros,
    ) {
        for (name, plan) in wanted {
            let (Some(state), Some(made)) = (states.get(name), self.plans.get(&(name.clone(), *plan))) else {
                self.broken(format!("{name}: nothing is known of it"));
                continue;
            };
            if state.plan != *plan {
                self.broken(format!("{name}: plan {plan} is wanted, and {} is known", state.plan));
                continue;
            }
            let next = made.times.next(state.last.max(state.anchor - 1), state.anchor);
            let waits = made.policy.overlap == actors::scheduler::job::Overlap::QueueOne;
            if !waits && next.is_some_and(|next| next + micros(made) + 2 * S < time) {
                self.broken(format!("{name}: {next:?} was due at {time}, and nothing was decided"));
            }
            if next.is_none() && !state.spent {
                self.broken(format!("{name}: it has no slot any more, and is not known as spent"));
            }
        }
        for (name, record) in kept.records() {
            let begun = record.started.map_or(0, |at| at.timestamp_micros());
            let known = wanted.contains_key(name);
            if known && record.outcome == Outcome::Running && begun + 15 * S < time {
                self.broken(format!("{name}: of {} nobody says how it ended", record.at()));
            }
        }
        // Each run that was begun, and is known, has an end.
        let known: BTreeSet<(Name, Micros)> =
            kept.records().map(|(name, record)| (name.clone(), record.at())).collect();
        let missing = self.begun.keys().filter(|run| {
            let (name, slot) = run;
            wanted.contains_key(name)
                && states.get(name).is_some_and(|state| *slot <= state.last)
                && !self.forgotten.contains(*run)
                && !known.contains(*run)
        });
        let missing: Vec<_> = missing.take(3).cloned().collect();
        for run in missing {
            let lines = kept.records().filter(|(name, _)| **name == run.0).count();
            if lines < config::slots::HISTORY {
                self.broken(format!("{run:?}: it was run, and nothing is written down of it"));
            }
        }
    }
}

fn micros(made: &Plan) -> Micros {
    i64::try_from(made.policy.jitter.as_micros()).unwrap_or_default()
}
