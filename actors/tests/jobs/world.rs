//! What all nodes share: the dice, virtual time, the queue of what is to happen, the store, and what was noted.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, VecDeque};
use std::sync::Arc;

use actors::scheduler::core::{Action, Event};
use chrono::{DateTime, TimeDelta};
use config::slots::{self, Kept, Micros};
use config::store::memory::Memory;
use config::store::{Change, Note, Store as _};
use config::{Catalog, Clock, DefId, Definition, Family, KindTag, Name, Params, Revision, lease};
use futures_util::FutureExt as _;

use super::checks::Checks;
use super::script::{Does, Sums};

/// A second.
pub(crate) const S: Micros = 1_000_000;
/// A millisecond.
pub(crate) const MS: Micros = 1_000;

/// How likely what is. Each seed has its own.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Weather {
    /// The store does not do what it is asked for, and does not answer.
    pub(crate) refused: f64,
    /// It does, and does not answer.
    pub(crate) unanswered: f64,
    /// How late answers are at most, in microseconds.
    pub(crate) late: Micros,
    /// How far a node's idea of the store's time is off at most.
    pub(crate) skew: Micros,
}

/// Something that is to happen.
pub(crate) enum What {
    /// A node looks at the time.
    Wake,
    /// A node hears something.
    Hear(Event),
    /// What a node has asked for reaches the store.
    Reach {
        /// What.
        action: Action,
        /// By the steady clock of the node.
        asked: Micros,
        /// In whose name.
        owner: String,
        /// Whether the node hears of it.
        answered: bool,
    },
    /// A service ends.
    End(u64, bool),
    /// A node hears who is there, and what is wanted.
    Look,
    /// The script goes on.
    Script(Does),
}

/// One entry of the queue: to whom it happens, and which life of it.
pub(crate) struct Entry {
    pub(crate) node: usize,
    pub(crate) life: u32,
    pub(crate) what: What,
}

/// See the module.
pub(crate) struct World {
    pub(crate) dice: fastrand::Rng,
    /// The time that passes. The store's clock may be moved beside it.
    pub(crate) now: Micros,
    pub(crate) moved: Micros,
    pub(crate) clock: Clock,
    pub(crate) queue: BinaryHeap<Reverse<(Micros, u64)>>,
    pub(crate) entries: BTreeMap<u64, Entry>,
    pub(crate) next: u64,
    pub(crate) catalog: Arc<Memory>,
    pub(crate) leases: lease::Memory,
    pub(crate) slots: slots::Memory,
    /// Copies of what is kept, as a replica has them that is somewhat behind.
    pub(crate) copies: VecDeque<Kept>,
    pub(crate) weather: Weather,
    pub(crate) checks: Checks,
    pub(crate) sums: Sums,
    pub(crate) trace: Vec<String>,
    /// Whether anybody is going to read that.
    pub(crate) traced: bool,
    pub(crate) quiet_since: Option<Micros>,
}

impl World {
    pub(crate) fn begin(seed: u64, traced: bool) -> Self {
        let mut dice = fastrand::Rng::with_seed(seed);
        let mut one_of = |choices: &[f64]| choices[dice.usize(..choices.len())];
        let weather = Weather {
            refused: one_of(&[0.0, 0.0, 0.02, 0.2]),
            unanswered: one_of(&[0.0, 0.02, 0.2]),
            late: one_of(&[2.0, 10.0, 300.0]) as Micros * MS,
            skew: one_of(&[0.0, 5.0, 40.0]) as Micros * MS,
        };
        let begin = DateTime::from_timestamp(1_800_000_000, 0).expect("a time");
        let clock = Clock::manual(begin);
        let catalog = Arc::new(Memory::new(clock.clone()));
        let leases = lease::Memory::new(clock.clone());
        let slots = slots::Memory::new(clock.clone(), leases.clone(), catalog.clone());
        Self {
            dice,
            now: begin.timestamp_micros(),
            moved: 0,
            clock,
            queue: BinaryHeap::new(),
            entries: BTreeMap::new(),
            next: 0,
            catalog,
            leases,
            slots,
            copies: VecDeque::new(),
            weather,
            checks: Checks::default(),
            sums: Sums::default(),
            trace: Vec::new(),
            traced,
            quiet_since: None,
        }
    }

    pub(crate) fn chance(&mut self, of: f64) -> bool {
        of > 0.0 && self.dice.f64() < of
    }

    /// Some span up to `limit`.
    pub(crate) fn span(&mut self, limit: Micros) -> Micros {
        self.dice.i64(0..=limit.max(1))
    }

    /// The time by the store's clock.
    pub(crate) fn store_time(&self) -> Micros {
        self.now + self.moved
    }

    /// Something is to happen after a while.
    pub(crate) fn later(&mut self, after: Micros, node: usize, life: u32, what: What) {
        self.next += 1;
        self.queue.push(Reverse((self.now + after.max(0), self.next)));
        self.entries.insert(self.next, Entry { node, life, what });
    }

    /// The next thing, whose time it is now.
    pub(crate) fn pop(&mut self, end: Micros) -> Option<Entry> {
        let Reverse((when, number)) = self.queue.pop()?;
        if when > end {
            return None;
        }
        self.pass(when - self.now);
        self.entries.remove(&number)
    }

    /// Time passes.
    fn pass(&mut self, by: Micros) {
        self.now += by;
        self.clock.advance(TimeDelta::microseconds(by));
    }

    /// Somebody moves the store's clock.
    pub(crate) fn move_clock(&mut self, by: Micros) {
        self.moved += by;
        self.clock.advance(TimeDelta::microseconds(by));
    }

    pub(crate) fn note(&mut self, what: std::fmt::Arguments<'_>) {
        if !self.traced {
            return;
        }
        let ms = (self.now - 1_800_000_000 * S) / MS;
        self.trace.push(format!("{ms:>6} {what}"));
    }

    /// What is wanted.
    pub(crate) fn wanted(&self) -> Arc<Catalog> {
        self.catalog.load().now_or_never().expect("it is in memory").expect("it answers")
    }

    /// Writes a job, or deletes it; the revision of that.
    pub(crate) fn commit(&mut self, name: &Name, put: bool) -> Revision {
        let id = DefId::new(Family::Job, name.clone());
        let definition = Definition {
            id: id.clone(),
            kind: KindTag::new(Family::Job, "interval"),
            enabled: true,
            params: Params::default(),
            needs: config::SmallSet::default(),
            claims: config::SmallSet::default(),
            changed_at: Revision::ZERO,
        };
        let change = if put {
            Change { put: vec![definition], delete: Vec::new() }
        } else {
            Change { put: Vec::new(), delete: vec![id] }
        };
        let at = self.wanted().revision;
        let done = self.catalog.commit(at, change, Note::default());
        done.now_or_never().expect("it is in memory").expect("nobody else writes").revision
    }
}
