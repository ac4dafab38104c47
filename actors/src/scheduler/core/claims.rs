//! Claims on their way: what is sent, what becomes of the answers, and what is done when there is none.

use std::cmp::Reverse;
use std::sync::Arc;

use config::Fence;
use config::slots::{Answer, BATCH, Claim, Ending, Micros, Outcome, Record, bucket_of};

use super::super::job::{Missed, Overlap, Tally, Timetable as _};
use super::runs::Run;
use super::{Action, Asked, Core, LATE, Launch, Moment, Number, fire_at, why};

/// How many batches of claims are on their way at once.
const IN_FLIGHT: usize = 4;
/// How long after one was not answered it is sent again.
const AGAIN: Micros = 100_000;
/// How long a slot waits that the store takes for early.
const EARLY: Micros = 20_000;
/// How long a node waits that seems to know an older plan than the store.
const BEHIND: Micros = 300_000;

impl Core {
    /// Decides slots of a job, as far as this node is concerned.
    pub(super) fn claim(
        &mut self,
        index: usize,
        fence: Fence,
        (slot, until, slots): (Micros, Micros, u64),
        skip: Option<&'static str>,
        at: Moment,
    ) {
        let Some(entry) = self.entries[index].as_mut() else { return };
        let Some(state) = entry.state else { return };
        let record = match skip {
            Some(why) => Record::skips(slot, until, slots, &self.owner, at.now, why),
            None => Record::begins(slot, &self.owner, at.now, (self.cid)()),
        };
        entry.pending = true;
        let made = &entry.job.made;
        let spent = made.next(until.max(state.anchor - 1), state.anchor).is_none() && !made.is_broken();
        let (name, plan, turn, anchor) = (entry.job.name.clone(), entry.job.plan, state.turn, state.anchor);
        self.outbox.push_back(Claim { name, fence, plan, turn, anchor, slot, until, spent, record });
    }

    pub(super) fn send_claims(&mut self, at: Moment, out: &mut Vec<Action>) {
        let due = |(when, _): &(Micros, Number)| *when <= at.steady;
        let (now, later) = std::mem::take(&mut self.again).into_iter().partition(due);
        self.again = later;
        for (_, number) in now {
            self.send_again(at, number, out);
        }
        while !self.outbox.is_empty() && self.claiming.len() < IN_FLIGHT {
            let claims: Vec<Claim> = self.outbox.drain(..self.outbox.len().min(BATCH)).collect();
            let (number, claims) = (self.number(), Arc::new(claims));
            self.claiming.insert(number, claims.clone());
            out.push(Action::Claim { number, claims });
        }
    }

    /// Sends what was not answered once more, as far as the leases still hold. Of the rest nobody knows whether it was
    /// granted; it is not run.
    fn send_again(&mut self, at: Moment, number: Number, out: &mut Vec<Action>) {
        let Some(claims) = self.claiming.remove(&number) else { return };
        let holds = |claim: &Claim| {
            let bucket = &self.buckets[usize::from(bucket_of(&claim.name))];
            bucket.holds(at.steady) == Some(claim.fence)
        };
        let (hold, lost): (Vec<_>, Vec<_>) = claims.iter().cloned().partition(holds);
        for claim in lost {
            if let Some(index) = self.entry_of(&claim.name, claim.plan) {
                self.unload(index);
            }
            if claim.record.outcome == Outcome::Running {
                let why = "the store did not answer while the lease was held; it was not run";
                self.presume_lost(claim.name, claim.record, at, why);
            }
        }
        if !hold.is_empty() {
            let claims = Arc::new(hold);
            self.claiming.insert(number, claims.clone());
            out.push(Action::Claim { number, claims });
        }
    }

    pub(super) fn claimed(
        &mut self,
        at: Moment,
        number: Number,
        answers: Result<Vec<Answer>, ()>,
        out: &mut Vec<Action>,
    ) {
        let Some(claims) = self.claiming.get(&number).cloned() else { return };
        let answers = match answers {
            Ok(answers) if answers.len() == claims.len() => answers,
            _ => return self.again.push((at.steady + AGAIN, number)),
        };
        self.claiming.remove(&number);
        for (claim, answer) in claims.iter().zip(answers) {
            let index = self.entry_of(&claim.name, claim.plan);
            if let Some(entry) = index.and_then(|index| self.entries[index].as_mut()) {
                entry.pending = false;
            }
            match (answer, index) {
                (Answer::Granted, Some(index)) => self.granted(at, index, claim, out),
                (Answer::Granted, None) if claim.record.outcome == Outcome::Running => {
                    let why = "the job was changed as it was to be fired";
                    self.end_unrun(claim, at, why);
                }
                (Answer::Granted, None) => {}
                (Answer::Early, Some(index)) => {
                    let Some(entry) = self.entries[index].as_mut() else { continue };
                    entry.stamp = entry.stamp.wrapping_add(1);
                    self.heap.push(Reverse((at.now + EARLY, index, entry.stamp)));
                }
                (Answer::Retired, Some(index)) => {
                    self.unload(index);
                    if let Some(entry) = self.entries[index].as_mut() {
                        entry.asked = Asked::NotBefore(at.steady + BEHIND);
                    }
                }
                (Answer::Taken, Some(index)) => self.unload(index),
                (Answer::Lost, _) => self.lose(bucket_of(&claim.name), claim.fence, at),
                (_, None) => {}
            }
        }
    }

    fn granted(&mut self, at: Moment, index: usize, claim: &Claim, out: &mut Vec<Action>) {
        let Some(entry) = self.entries[index].as_mut() else { return };
        // The state is not there if the lease was lost since; the slot is decided all the same.
        let state = entry.state.as_mut().or(entry.known.as_mut());
        if let Some(state) = state.filter(|state| state.turn == claim.turn) {
            state.last = state.last.max(claim.until);
            state.spent = claim.spent;
        }
        let made = entry.job.made.clone();
        let parked = entry.parked.take() == Some(claim.slot);
        made.tally.last.store(claim.until, std::sync::atomic::Ordering::Relaxed);
        if claim.record.outcome == Outcome::Running {
            let due = fire_at(&made.policy, claim.slot, entry.salt);
            let again = claim.slot <= entry.begun;
            entry.begun = entry.begun.max(claim.slot);
            if again {
                // The store forgot what it had granted, and granted it once more; the run that began is the one.
            } else if made.policy.missed == Missed::Skip && !parked && at.now - due > LATE {
                // The node stood still, or the store did not answer for long.
                Tally::add(&made.tally.missed, 1);
                self.end_unrun(claim, at, why::MISSED);
            } else {
                if made.policy.overlap == Overlap::CancelOld {
                    let old = self.runs.iter().filter(|(_, run)| run.name == claim.name);
                    out.extend(old.map(|(run, _)| Action::Cancel { run: *run }));
                }
                entry.runs += 1;
                Tally::add(&made.tally.fired, 1);
                let job = entry.job.clone();
                let (record, slot) = (claim.record.clone(), claim.slot);
                let run = self.number();
                let (name, kept) = (claim.name.clone(), record.clone());
                self.running.insert((name.clone(), slot), run);
                self.runs.insert(run, Run { name, slot, record: kept });
                out.push(Action::Run(Launch { run, job, slot, due, record }));
            }
        } else if let Some(why) = &claim.record.why {
            let counter = if why.starts_with("missed") { &made.tally.missed } else { &made.tally.skipped };
            Tally::add(counter, claim.record.slots);
        }
        self.schedule(index, at);
    }

    /// What was granted is not run after all.
    fn end_unrun(&mut self, claim: &Claim, at: Moment, why: &str) {
        let record = Record { started: None, cid: None, ..claim.record.clone() };
        let record = record.ended(Outcome::Skipped, at.now, Some(why));
        let (name, slot) = (claim.name.clone(), claim.slot);
        self.endings.push_back(Ending { name, slot, record, presumed: false });
    }
}
