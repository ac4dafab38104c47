//! What all nodes of a simulated cluster share: the dice, time, the truth, and the notes that the checks read.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use chrono::{DateTime, TimeDelta};
use config::store::memory::Memory;
use config::{Catalog, Clock, DefId, Name, Revision, members};
use tokio::time::Instant;

use super::node::Life;
use super::script::Sums;

/// How likely what is. Each seed has its own.
#[derive(Clone, Copy, Debug, Default)]
pub struct Weather {
    /// A load, a heartbeat or a report fails before it happens.
    pub refused: f64,
    /// A commit, a heartbeat or a report happens, and is answered by an error.
    pub unanswered: f64,
    /// A hint gets lost.
    pub lost: f64,
    /// A hint comes twice.
    pub doubled: f64,
    /// How late a hint may be, in milliseconds.
    pub late: u64,
    /// A part does not start.
    pub no_start: f64,
    /// A part never answers whether it starts.
    pub hangs: f64,
    /// A part's probe panics.
    pub panics: f64,
    /// A node starts from what its last life had seen.
    pub stale: f64,
}

/// A commit that was acknowledged, between two numbers of the one count of all events.
pub struct Ack {
    pub tag: String,
    pub revision: Revision,
    pub began: u64,
    pub ended: u64,
}

/// What has happened.
#[derive(Default)]
pub struct Facts {
    pub trace: Vec<String>,
    pub broken: Vec<String>,
    pub acks: Vec<Ack>,
    pub events: u64,
    pub sums: Sums,
    /// Every catalog there was, by revision.
    pub catalogs: BTreeMap<Revision, Arc<Catalog>>,
    /// What each definition is built from, at each revision.
    pub versions: BTreeMap<Revision, Arc<BTreeMap<DefId, Revision>>>,
}

/// See the module.
pub struct World {
    dice: Mutex<fastrand::Rng>,
    begun: Instant,
    told: Mutex<Duration>,
    pub clock: Clock,
    pub truth: Arc<Memory>,
    pub members: members::Memory,
    weather: Mutex<Weather>,
    facts: Mutex<Facts>,
    /// The nodes that are up.
    lives: Mutex<BTreeMap<Name, Arc<Life>>>,
}

thread_local! {
    /// Where the parts that start on this thread find their world: a kind is given nothing but parameters.
    static HERE: RefCell<Option<Arc<World>>> = const { RefCell::new(None) };
}

impl World {
    /// A world that the seed decides, known to this thread.
    pub fn begin(seed: u64) -> Arc<Self> {
        fastrand::seed(seed); // the jitter of the production code
        let mut dice = fastrand::Rng::with_seed(seed);
        let mut one_of = |choices: &[f64]| choices[dice.usize(..choices.len())];
        let weather = Weather {
            refused: one_of(&[0.0, 0.02, 0.1, 0.4]),
            unanswered: one_of(&[0.0, 0.05, 0.3]),
            lost: one_of(&[0.0, 0.2, 0.6, 1.0]),
            doubled: one_of(&[0.0, 0.3]),
            late: one_of(&[0.0, 5.0, 200.0, 2_500.0]) as u64,
            no_start: one_of(&[0.0, 0.1, 0.4, 0.9]),
            hangs: one_of(&[0.0, 0.0, 0.0, 0.03]),
            panics: one_of(&[0.0, 0.0, 0.1, 0.4]),
            stale: one_of(&[0.0, 0.5, 1.0]),
        };
        let clock = Clock::manual(DateTime::UNIX_EPOCH);
        let truth = Arc::new(Memory::new(clock.clone()));
        let members = members::Memory::new(clock.clone(), truth.clone());
        let world = Arc::new(Self {
            dice: Mutex::new(dice),
            begun: Instant::now(),
            told: Mutex::default(),
            clock,
            truth,
            members,
            weather: Mutex::new(weather),
            facts: Mutex::default(),
            lives: Mutex::default(),
        });
        world.facts().catalogs.insert(Revision::ZERO, Arc::default());
        HERE.set(Some(world.clone()));
        world.note(format_args!("{weather:?}"));
        world
    }

    /// This thread's.
    pub fn here() -> Arc<Self> {
        HERE.with_borrow(|world| world.clone()).expect("a simulation runs on this thread")
    }

    /// Nobody finds it any more.
    pub fn end() {
        HERE.set(None);
    }

    pub fn facts(&self) -> MutexGuard<'_, Facts> {
        self.facts.lock().expect("one thread")
    }

    pub fn lives(&self) -> MutexGuard<'_, BTreeMap<Name, Arc<Life>>> {
        self.lives.lock().expect("one thread")
    }

    pub fn weather(&self) -> Weather {
        *self.weather.lock().expect("one thread")
    }

    /// From now on nothing goes wrong.
    pub fn calm(&self) {
        *self.weather.lock().expect("one thread") = Weather::default();
    }

    pub fn chance(&self, of: f64) -> bool {
        of > 0.0 && self.dice.lock().expect("one thread").f64() < of
    }

    pub fn below(&self, limit: u64) -> u64 {
        self.dice.lock().expect("one thread").u64(..limit.max(1))
    }

    /// Some time shorter than `limit` milliseconds.
    pub fn span(&self, limit: u64) -> Duration {
        Duration::from_millis(self.below(limit))
    }

    /// Makes the manual clock show what the timers have come to.
    pub fn tell_time(&self) {
        let now = self.begun.elapsed();
        let mut told = self.told.lock().expect("one thread");
        self.clock.advance(TimeDelta::from_std(now.saturating_sub(*told)).expect("a short time"));
        *told = now;
    }

    /// Writes down what happens.
    pub fn note(&self, what: std::fmt::Arguments<'_>) {
        let ms = self.begun.elapsed().as_millis();
        let mut facts = self.facts();
        facts.events += 1;
        facts.trace.push(format!("{ms:>6} {what}"));
    }

    /// Writes down that something is not as it must be.
    pub fn broken(&self, what: String) {
        self.note(format_args!("BROKEN {what}"));
        self.facts().broken.push(what);
    }
}
