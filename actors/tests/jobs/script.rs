//! What happens in one simulation, all of it decided by the seed: edits, kills, stops, pauses and a store that falls
//! back; then quiet.

use std::collections::BTreeMap;
use std::time::Duration;

use actors::Phase;
use actors::scheduler::core::Event;
use actors::scheduler::job::{Every, Missed, Overlap, Policy};
use config::slots::{JobState, Micros, Slots as _};
use config::{Family, Name};
use futures_util::FutureExt as _;

use super::node::{Cluster, Node};
use super::plans::{Holed, plan};
use super::world::{MS, S, Weather, What, World};

/// How long things go wrong.
const TROUBLE: Micros = 14 * S;
/// How long it is quiet after that: longer than it takes a run to end whose node is gone.
const QUIET: Micros = 24 * S;

/// What the script does.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Does {
    /// Something goes wrong, and later something else.
    Trouble,
    /// From now on nothing does.
    Calm,
    /// A copy of the store is made.
    Copy,
}

/// How often what has happened, so that one sees that the simulations are not idle.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Sums {
    pub(crate) granted: u64,
    pub(crate) runs: u64,
    pub(crate) skipped: u64,
    pub(crate) said_again: u64,
    pub(crate) retired: u64,
    pub(crate) taken: u64,
    pub(crate) early: u64,
    pub(crate) lost: u64,
    pub(crate) leased: u64,
    pub(crate) refused: u64,
    pub(crate) unanswered: u64,
    pub(crate) killed: u64,
    pub(crate) stopped: u64,
    pub(crate) stood: u64,
    pub(crate) cut: u64,
    pub(crate) edits: u64,
    pub(crate) fell_back: u64,
    pub(crate) run_again: u64,
    pub(crate) moved: u64,
    pub(crate) presumed_lost: u64,
    pub(crate) left_out: u64,
}

impl Sums {
    fn each(&mut self) -> [&mut u64; 21] {
        let Self { granted, runs, skipped, said_again, retired, taken, early, lost, leased, refused, .. } =
            self;
        let first = [granted, runs, skipped, said_again, retired, taken, early, lost, leased, refused];
        let Self { unanswered, killed, stopped, stood, cut, edits, fell_back, run_again, moved, .. } = self;
        let second = [unanswered, killed, stopped, stood, cut, edits, fell_back, run_again, moved];
        let all = first.into_iter().chain(second).chain([&mut self.presumed_lost, &mut self.left_out]);
        all.collect::<Vec<_>>().try_into().expect("all of them")
    }

    pub(crate) fn add(&mut self, other: &Self) {
        let mut other = *other;
        for (sum, more) in self.each().into_iter().zip(other.each()) {
            *sum += *more;
        }
    }

    /// Simulations in which nothing goes wrong show nothing.
    pub(crate) fn assert_that_things_went_wrong(mut self) {
        let shown = format!("{self:?}");
        assert!(self.each().iter().all(|sum| **sum > 20), "something hardly ever happens: {shown}");
    }
}

/// What one seed came to.
pub(crate) struct Run {
    pub(crate) trace: Vec<String>,
    pub(crate) broken: Vec<String>,
    pub(crate) sums: Sums,
}

pub(crate) fn run(seed: u64, traced: bool) -> Run {
    let world = World::begin(seed, traced);
    let mut cluster = Cluster { world, nodes: Vec::new(), gates: BTreeMap::new() };
    let begin = cluster.world.now;
    let count = cluster.world.dice.usize(1..=3);
    for at in 0..count {
        cluster.nodes.push(Node::new(format!("n{at}").parse().expect("a name")));
        cluster.start(at);
    }
    for _ in 0..cluster.world.dice.usize(2..=4) {
        cluster.edit();
    }
    cluster.world.later(S, 0, 0, What::Script(Does::Trouble));
    cluster.world.later(500 * MS, 0, 0, What::Script(Does::Copy));
    cluster.world.later(TROUBLE, 0, 0, What::Script(Does::Calm));
    while let Some(entry) = cluster.world.pop(begin + TROUBLE + QUIET) {
        match entry.what {
            What::Script(does) => cluster.script(does),
            what => cluster.happens(entry.node, entry.life, what),
        }
    }
    cluster.check_rest();
    let World { checks, mut sums, trace, .. } = cluster.world;
    sums.run_again = checks.again;
    Run { trace, broken: checks.broken, sums }
}

impl Cluster {
    fn script(&mut self, does: Does) {
        match does {
            Does::Copy if self.world.quiet_since.is_none() => {
                let copy = self.world.slots.copy();
                self.world.copies.push_back(copy);
                if self.world.copies.len() > 3 {
                    self.world.copies.pop_front();
                }
                self.world.later(300 * MS, 0, 0, What::Script(Does::Copy));
            }
            Does::Copy => {}
            Does::Trouble if self.world.quiet_since.is_none() => {
                self.trouble();
                let next = self.world.span(2 * S);
                self.world.later(next, 0, 0, What::Script(Does::Trouble));
            }
            Does::Trouble => {}
            Does::Calm => self.calm(),
        }
    }

    fn trouble(&mut self) {
        let at = self.world.dice.usize(..self.nodes.len());
        let now = self.world.now;
        match self.world.dice.u8(..20) {
            0..=5 => self.edit(),
            6..=8 => {
                if self.nodes[at].up {
                    self.world.sums.killed += 1;
                    self.world.note(format_args!("{} is killed", self.nodes[at].owner()));
                    self.nodes[at].up = false;
                } else {
                    self.start(at);
                }
            }
            9 | 10 if self.nodes[at].up => {
                // A graceful stop: what is on its way is waited for a moment.
                self.world.sums.stopped += 1;
                self.world.note(format_args!("{} stops", self.nodes[at].owner()));
                self.step(at, Event::Stop);
            }
            11..=13 if self.nodes[at].up => {
                self.world.sums.stood += 1;
                let span = self.world.span(9 * S);
                self.world.note(format_args!("{} stands still for {} ms", self.nodes[at].owner(), span / MS));
                self.nodes[at].stands_until = now + span;
            }
            14 | 15 => {
                self.world.sums.cut += 1;
                let span = self.world.span(9 * S);
                self.world.note(format_args!("{} is cut off for {} ms", self.nodes[at].name, span / MS));
                self.nodes[at].cut_until = now + span;
            }
            16 => {
                if let Some(copy) = self.world.copies.front().cloned() {
                    self.world.sums.fell_back += 1;
                    self.world.note(format_args!("the store falls back"));
                    self.world.checks.falls_back(&copy);
                    self.world.slots.fall_back(copy);
                    if self.world.chance(0.5) {
                        self.world.leases.lose_all();
                    }
                }
            }
            17 => {
                self.world.sums.moved += 1;
                let by = self.world.span(6 * S) - 2 * S;
                self.world.note(format_args!("the clock is moved by {} ms", by / MS));
                self.world.move_clock(by);
            }
            18 => {
                let phase = if self.world.chance(0.5) { Phase::Paused } else { Phase::Running };
                let pick = self.world.dice.usize(..8);
                if let Some(gate) = self.gates.values().nth(pick) {
                    gate.turn(phase);
                }
            }
            _ => {}
        }
    }

    /// A job is made, changed or deleted.
    fn edit(&mut self) {
        self.world.sums.edits += 1;
        let name: Name = format!("job {}", self.world.dice.u8(..4)).parse().expect("a name");
        let there =
            self.world.wanted().definitions.keys().any(|id| id.family == Family::Job && id.name == name);
        if there && self.world.chance(0.2) {
            self.world.note(format_args!("{name} is deleted"));
            self.world.commit(&name, false);
            return;
        }
        let dice = &mut self.world.dice;
        let every = [300 * MS, 500 * MS, S, 2 * S, 5 * S][dice.usize(..5)];
        let start = [None, Some(dice.i64(-20..10) * S)][dice.usize(..2)];
        let repeats = [None, None, Some(dice.i64(1..12))][dice.usize(..3)];
        let holes = [None, None, Some(dice.i64(2..9))][dice.usize(..3)].filter(|_| start.is_some());
        let policy = Policy {
            missed: [Missed::Skip, Missed::Once, Missed::All][dice.usize(..3)],
            window: [None, Some(Duration::from_secs(4))][dice.usize(..2)],
            overlap: [Overlap::Allow, Overlap::Skip, Overlap::QueueOne, Overlap::CancelOld][dice.usize(..4)],
            jitter: Duration::from_millis([0, 0, 200][dice.usize(..3)]),
            ..Policy::default()
        };
        let start = start.map(|after| self.world.store_time() / S * S + after);
        let revision = self.world.commit(&name, true);
        self.world.note(format_args!(
            "{name} is {revision}: every {every} from {start:?}, holes {holes:?}, {policy:?}"
        ));
        let made = plan(Holed { every: Every { every, start, repeats }, holes }, policy);
        self.world.checks.plans.insert((name, revision), made);
    }

    /// From now on nothing goes wrong, and every node is there.
    fn calm(&mut self) {
        self.world.note(format_args!("calm"));
        self.world.weather = Weather { skew: 0, late: MS, ..Weather::default() };
        self.world.quiet_since = Some(self.world.now);
        self.gates.values().for_each(|gate| gate.turn(Phase::Running));
        for at in 0..self.nodes.len() {
            self.nodes[at].stands_until = 0;
            self.nodes[at].cut_until = 0;
            if !self.nodes[at].up || self.nodes[at].core.is_done() {
                self.start(at);
            } else if self.nodes[at].core.stops() {
                self.nodes[at].up = false;
                self.start(at);
            }
        }
    }

    fn check_rest(&mut self) {
        let wanted = self.world.wanted();
        let jobs = wanted.definitions.values().filter(|job| job.id.family == Family::Job);
        let jobs: BTreeMap<Name, _> = jobs.map(|job| (job.id.name.clone(), job.changed_at)).collect();
        let names: Vec<Name> = jobs.keys().cloned().collect();
        let states = self.world.slots.states(&names).now_or_never().expect("in memory").expect("answers");
        let known = names.into_iter().zip(states).filter_map(|(name, state)| Some((name, state?)));
        let known: BTreeMap<Name, JobState> = known.collect();
        let kept = self.world.slots.copy();
        let lost = |(_, r): &(&Name, &config::slots::Record)| r.outcome == config::slots::Outcome::Lost;
        self.world.sums.presumed_lost = kept.records().filter(lost).count() as u64;
        let time = self.world.store_time();
        self.world.checks.rests(&kept, &jobs, &known, time);
    }
}
