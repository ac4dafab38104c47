//! The core of the scheduler: which node fires which slot. It decides alone, and does nothing by itself: it is told
//! what has happened and when, and says what is to be done. So a simulation can drive many of them through anything.
//!
//! Jobs are leased by the bucket. Of a bucket whose lease it holds, a core knows the state of each job and has the next
//! slot of each in one heap. What is due is claimed in batches; what is granted is run. A claim shows the fence of the
//! lease and the plan of the job, so whatever the core believes, the store decides each slot once.

mod claims;
mod due;
mod message;
mod runs;
mod tenure;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use config::slots::{BUCKETS, Claim, Ending, JobState, Micros, bucket_of};
use config::{Name, Revision};

use self::due::{Due, Situation, due};
use self::runs::Run;
use self::tenure::Bucket;
use super::job::{Job, Timetable as _};
use crate::gate::Phase;

pub use self::due::{LATE, PROMPT, fire_at, why};
pub use self::message::{Action, Event, Launch, Moment, Number};
pub use self::tenure::{TERM, proposed};

/// How often it looks after leases and all that was not answered.
const CHORES: Micros = 200_000;

/// One job, as the core knows it.
struct Entry {
    job: Job,
    bucket: u16,
    salt: u64,
    /// What the store keeps of it, while its bucket is leased.
    state: Option<JobState>,
    /// What that was before, in case the store loses it.
    known: Option<JobState>,
    /// Whether the state is being asked for, or not before when it is to be asked for again.
    asked: Asked,
    /// A claim of its next slot is on its way.
    pending: bool,
    /// The slot that waits for a run to end.
    parked: Option<Micros>,
    /// The last slot that this node has begun to run, whatever the store knows of it.
    begun: Micros,
    /// How many runs of this node are under way.
    runs: u32,
    /// How many runs of other nodes are.
    foreign: u32,
    /// Which entry of the heap is the one that counts.
    stamp: u32,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Asked {
    No,
    OnItsWay,
    NotBefore(Micros),
}

/// See the module.
pub struct Core {
    node: Name,
    /// The node and the number of its start: the owner of leases.
    owner: String,
    capacity: usize,
    entries: Vec<Option<Entry>>,
    free: Vec<usize>,
    names: HashMap<Name, usize>,
    heap: BinaryHeap<Reverse<(Micros, usize, u32)>>,
    buckets: Vec<Bucket>,
    next_number: Number,
    outbox: VecDeque<Claim>,
    claiming: BTreeMap<Number, Arc<Vec<Claim>>>,
    /// Claims that were not answered, and when they are sent again.
    again: Vec<(Micros, Number)>,
    runs: BTreeMap<Number, Run>,
    /// The same by job and slot.
    running: HashMap<(Name, Micros), Number>,
    endings: VecDeque<Ending>,
    ending: Option<(Number, Arc<Vec<Ending>>, Option<Micros>)>,
    chores_at: Micros,
    renew_at: Micros,
    renewing: bool,
    stopping: bool,
    cid: Box<dyn FnMut() -> String + Send>,
}

impl Core {
    /// The core of a node. `owner` is its name and the number of its start; `cid` makes correlation ids.
    pub fn new(
        node: Name,
        owner: String,
        capacity: usize,
        cid: impl FnMut() -> String + Send + 'static,
    ) -> Self {
        let mut core = Self {
            node,
            owner,
            capacity,
            entries: Vec::new(),
            free: Vec::new(),
            names: HashMap::new(),
            heap: BinaryHeap::new(),
            buckets: (0..BUCKETS).map(|_| Bucket::default()).collect(),
            next_number: 0,
            outbox: VecDeque::new(),
            claiming: BTreeMap::new(),
            again: Vec::new(),
            runs: BTreeMap::new(),
            running: HashMap::new(),
            endings: VecDeque::new(),
            ending: None,
            chores_at: 0,
            renew_at: 0,
            renewing: false,
            stopping: false,
            cid: Box::new(cid),
        };
        let alone = [core.node.clone()];
        core.see_nodes(&alone);
        core
    }

    /// Takes notice of an event and says what is to be done now.
    pub fn step(&mut self, at: Moment, event: Event) -> Vec<Action> {
        let mut out = Vec::new();
        match event {
            Event::Tick => {}
            Event::Jobs { put, gone } => {
                gone.iter().for_each(|name| self.drop_job(name, at));
                put.into_iter().for_each(|job| self.put_job(job, at));
            }
            Event::Nodes(nodes) => {
                self.see_nodes(&nodes);
                self.chores_at = at.steady;
            }
            Event::Changed => {
                (0..self.entries.len()).for_each(|index| self.unload(index));
                self.chores_at = at.steady;
            }
            Event::Leased { bucket, asked, held } => self.leased(at, bucket, asked, held, &mut out),
            Event::Renewed { asked, answers } => self.renewed(asked, answers),
            Event::TakenOver { bucket, fence, wanted, states } => {
                self.taken_over(at, (bucket, fence), wanted, states);
            }
            Event::UnderWay { bucket, fence, runs } => self.under_way(at, (bucket, fence), runs),
            Event::Known { bucket, names } => self.listed(at, bucket, names),
            Event::Claimed { number, answers } => self.claimed(at, number, answers, &mut out),
            Event::Ended { run, outcome, why, attempts } => self.run_ended(at, run, outcome, why, attempts),
            Event::Written { number, done } => self.written(at, number, done),
            Event::Stop => {
                self.stopping = true;
                self.outbox.clear();
            }
        }
        if at.steady >= self.chores_at {
            self.chores_at = at.steady + CHORES;
            self.chores(at, &mut out);
        }
        self.decide_what_is_due(at);
        self.send_claims(at, &mut out);
        self.send_endings(at, &mut out);
        if self.stopping && self.outbox.is_empty() && self.claiming.is_empty() {
            self.release_all(&mut out);
        }
        out
    }

    /// How long nothing is to be done, unless something happens: in microseconds.
    pub fn idle_for(&self, at: Moment) -> Micros {
        let chores = self.chores_at - at.steady;
        let slot = self.heap.peek().map_or(i64::MAX, |Reverse((due, _, _))| due - at.now);
        let slot = if self.has_room() && !self.stopping { slot } else { i64::MAX };
        chores.min(slot).max(0)
    }

    /// Whether it was told to stop.
    pub fn stops(&self) -> bool {
        self.stopping
    }

    /// Whether everything that was decided is written down, and no lease is held: it may end.
    pub fn is_done(&self) -> bool {
        self.stopping && self.runs.is_empty() && self.claiming.is_empty() && self.is_written()
    }

    fn is_written(&self) -> bool {
        self.endings.is_empty() && self.ending.is_none()
    }

    /// How many runs are under way.
    pub fn runs(&self) -> usize {
        self.runs.len()
    }

    /// The jobs that this node fires, with the next slot of each, and those of buckets that it is to fire but does not
    /// hold since this moment of the steady clock.
    pub fn silent(&self, at: Moment, limit: Micros) -> Vec<(Name, String)> {
        let mut found = Vec::new();
        for entry in self.entries.iter().flatten() {
            let bucket = &self.buckets[usize::from(entry.bucket)];
            if let Some(why) = bucket.silent_since(at.steady, limit) {
                if self.proposed_here(entry.bucket) {
                    found.push((entry.job.name.clone(), why));
                }
                continue;
            }
            let next = entry.job.made.tally.next.load(Relaxed);
            if entry.job.made.is_broken() {
                found.push((entry.job.name.clone(), "computing its times has failed".to_owned()));
            } else if next != 0 && entry.parked.is_none() && next + limit < at.now {
                let why = "its slot is long over, and it was not fired".to_owned();
                found.push((entry.job.name.clone(), why));
            }
        }
        found
    }

    fn number(&mut self) -> Number {
        self.next_number += 1;
        self.next_number
    }

    fn put_job(&mut self, job: Job, at: Moment) {
        let old = self.names.get(&job.name).copied();
        if let Some(index) = old
            && let Some(entry) = self.entries[index].as_mut()
            && entry.job.plan == job.plan
        {
            // The same plan, made anew: another gate, another tally.
            job.made.tally.fence.store(entry.job.made.tally.fence.load(Relaxed), Relaxed);
            entry.job = job;
            self.schedule(index, at);
            return;
        }
        let (bucket, salt) = (bucket_of(&job.name), salt(&job.name));
        let before = old.and_then(|index| self.entries[index].take());
        let name = job.name.clone();
        let entry = Entry {
            job,
            bucket,
            salt,
            state: None,
            known: before.as_ref().and_then(|entry| entry.state.or(entry.known)),
            asked: Asked::No,
            pending: false,
            parked: None,
            begun: before.as_ref().map_or(0, |entry| entry.begun),
            runs: before.as_ref().map_or(0, |entry| entry.runs),
            foreign: before.as_ref().map_or(0, |entry| entry.foreign),
            stamp: before.as_ref().map_or(0, |entry| entry.stamp + 1),
        };
        let index = old.or_else(|| self.free.pop()).unwrap_or(self.entries.len());
        if index == self.entries.len() {
            self.entries.push(None);
        }
        self.entries[index] = Some(entry);
        if old.is_none() {
            self.names.insert(name, index);
            self.buckets[usize::from(bucket)].jobs.push(index);
        }
        self.buckets[usize::from(bucket)].unloaded.push(index);
        self.chores_at = at.steady;
    }

    fn drop_job(&mut self, name: &Name, at: Moment) {
        let Some(index) = self.names.remove(name) else { return };
        let Some(entry) = self.entries[index].take() else { return };
        entry.job.made.tally.fence.store(0, Relaxed);
        entry.job.made.tally.next.store(0, Relaxed);
        let bucket = &mut self.buckets[usize::from(entry.bucket)];
        bucket.jobs.retain(|job| *job != index);
        bucket.gone.push((name.clone(), at.steady));
        self.free.push(index);
    }

    /// The entry of this job, if it still carries out this plan.
    fn entry_of(&self, name: &Name, plan: Revision) -> Option<usize> {
        let index = *self.names.get(name)?;
        self.entries[index].as_ref().filter(|entry| entry.job.plan == plan).map(|_| index)
    }

    /// Lets the state of a job be asked for anew.
    fn unload(&mut self, index: usize) {
        let Some(entry) = self.entries[index].as_mut() else { return };
        if let Some(state) = entry.state.take() {
            entry.known = Some(state);
            entry.asked = Asked::No;
            entry.pending = false;
            entry.parked = None;
            entry.stamp = entry.stamp.wrapping_add(1);
            self.buckets[usize::from(entry.bucket)].unloaded.push(index);
        }
    }

    /// Enters the next slot of a job into the heap.
    fn schedule(&mut self, index: usize, at: Moment) {
        let Some(entry) = self.entries[index].as_mut() else { return };
        let tally = &entry.job.made.tally;
        let Some(state) = entry.state.filter(|_| !entry.pending) else { return };
        entry.stamp = entry.stamp.wrapping_add(1);
        if state.spent {
            tally.next.store(0, Relaxed);
            return;
        }
        let after = state.last.max(state.anchor - 1);
        let next = entry.job.made.next(after, state.anchor);
        tally.next.store(next.unwrap_or(0), Relaxed);
        let due = next.map_or(at.now, |next| {
            let fires = fire_at(&entry.job.made.policy, next, entry.salt);
            due::left_out(&*entry.job.made, after, next).map_or(fires, |(gap, _)| fires.min(gap))
        });
        self.heap.push(Reverse((due, index, entry.stamp)));
    }

    /// Whether one more run may begin.
    fn has_room(&self) -> bool {
        self.runs.len() + self.outbox.len() + self.claiming.values().map(|c| c.len()).sum::<usize>()
            < self.capacity
    }

    fn decide_what_is_due(&mut self, at: Moment) {
        while !self.stopping && self.has_room() {
            match self.heap.peek() {
                Some(Reverse((due, _, _))) if *due <= at.now => {}
                _ => return,
            }
            let Some(Reverse((_, index, stamp))) = self.heap.pop() else { return };
            self.decide(index, stamp, at);
        }
    }

    fn decide(&mut self, index: usize, stamp: u32, at: Moment) {
        let Some(entry) = self.entries[index].as_mut().filter(|entry| entry.stamp == stamp) else { return };
        let Some(state) = entry.state.filter(|state| !entry.pending && !state.spent) else { return };
        let Some(fence) = self.buckets[usize::from(entry.bucket)].fires(at.steady) else {
            self.heap.push(Reverse((at.now + CHORES, index, stamp)));
            return;
        };
        let made = entry.job.made.clone();
        let situation = Situation {
            last: state.last,
            anchor: state.anchor,
            busy: entry.runs + entry.foreign > 0,
            paused: entry.job.gate.phase() != Phase::Running,
            parked: entry.parked,
        };
        let due = due(&*made, &made.policy, entry.salt, &situation, at.now);
        if made.is_broken() {
            return;
        }
        match due {
            Due::Wait(until) => self.heap.push(Reverse((until, index, stamp))),
            Due::Park(slot, next) => {
                entry.parked = Some(slot);
                if let Some(next) = next {
                    self.heap.push(Reverse((next, index, stamp)));
                }
            }
            Due::Spent => {
                let slot = at.now.max(state.last + 1);
                self.claim(index, fence, (slot, slot, 0), Some(why::OVER), at);
            }
            Due::Skip { slot, until, slots, why } => {
                self.claim(index, fence, (slot, until, slots), Some(why), at);
            }
            Due::Fire(slot) => self.claim(index, fence, (slot, slot, 1), None, at),
        }
    }
}

/// FNV-1a: what tells the spans of one job from those of another, on every node alike.
fn salt(name: &Name) -> u64 {
    let mix = |hash: u64, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    name.as_str().bytes().fold(0xcbf2_9ce4_8422_2325, mix)
}
