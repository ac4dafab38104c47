//! The loop around the core: it tells the core what happens and does what the core wants done.

use std::collections::{BTreeMap, HashMap};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use config::slots::{Micros, Outcome};
use config::{Family, Name};
use futures_util::FutureExt as _;
use imbl::ordmap::DiffItem;
use sdk::Cid;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::core::{Action, Core, Event, Launch, Moment, Number};
use super::deeds::{Deeds, within};
use super::fire;
use super::job::Job;
use super::time::StoreTime;
use super::{Health, Scheduler};
use crate::part::Part;
use crate::running::Parts;

/// How many runs a node has under way at once.
pub(super) const CAPACITY: usize = 4_096;
/// How often the store's time and the other nodes are asked for.
const LOOK: Duration = Duration::from_secs(1);
/// How often it is seen whether other jobs are wanted, should the hint be lost.
const JOBS: Duration = Duration::from_millis(500);
/// A slot that is this late without a reason is a fault.
const SILENT: Micros = 30_000_000;
/// How many events are taken at once before what is due is looked at.
const AT_ONCE: usize = 512;

/// What one life of the loop has.
pub(super) struct Owner {
    scheduler: Scheduler,
    core: Core,
    time: StoreTime,
    deeds: Deeds,
    events: mpsc::Receiver<Event>,
    cancels: HashMap<Number, CancellationToken>,
    /// The parts whose jobs the core was told of.
    seen: Parts,
    /// How many jobs there are, also if the core was not told of them yet.
    jobs: usize,
    changes: Option<(u64, u64)>,
    looking: bool,
    nodes: Vec<Name>,
}

/// What a look at the store has found.
pub(super) struct Seen {
    pub(super) asked: Micros,
    pub(super) look: Option<config::slots::Look>,
    /// The owners that are there, by node; none if nobody knows.
    pub(super) owners: Option<BTreeMap<Name, String>>,
}

impl Owner {
    pub(super) fn new(scheduler: Scheduler, owner: String) -> Self {
        let (tell, events) = mpsc::channel(CAPACITY + 1_024);
        let node = scheduler.with.node.clone();
        let core = Core::new(node, owner.clone(), CAPACITY, || Cid::new().to_string());
        let deeds = Deeds::new(&scheduler, owner, tell);
        Self {
            scheduler,
            core,
            time: StoreTime::new(),
            deeds,
            events,
            cancels: HashMap::new(),
            seen: Parts::new(),
            jobs: 0,
            changes: None,
            looking: false,
            nodes: Vec::new(),
        }
    }

    /// Runs until it is told to stop and everything is written down.
    pub(super) async fn run(mut self, alive: Arc<AtomicI64>, mut stop: watch::Receiver<bool>) {
        let mut board = self.scheduler.with.board.watch();
        let (tell_seen, mut seen) = mpsc::channel(4);
        let mut looks = tokio::time::interval(LOOK);
        looks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut jobs = tokio::time::interval(JOBS);
        jobs.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut stopping = false;
        loop {
            alive.store(self.time.steady(), Ordering::Relaxed);
            let wait = self.time.moment().map_or(Duration::from_millis(100), |at| {
                Duration::from_micros(self.core.idle_for(at).unsigned_abs())
            });
            tokio::select! {
                event = self.events.recv() => {
                    let mut next = event;
                    let mut left = AT_ONCE;
                    while let Some(event) = next {
                        self.step(event);
                        left -= 1;
                        next = if left > 0 { self.events.try_recv().ok() } else { None };
                    }
                }
                () = tokio::time::sleep(wait) => self.step(Event::Tick),
                _ = looks.tick() => {
                    self.report();
                    if !self.looking && self.jobs > 0 {
                        self.looking = true;
                        self.deeds.look(self.time.steady(), tell_seen.clone());
                    }
                }
                Some(seen) = seen.recv() => self.saw(seen),
                Ok(()) = board.changed() => self.look_for_jobs(),
                _ = jobs.tick() => self.look_for_jobs(),
                Ok(()) = stop.changed(), if !stopping => {
                    stopping = true;
                    self.step(Event::Stop);
                }
            }
            if stopping && (self.core.is_done() || self.time.moment().is_none()) {
                return;
            }
        }
    }

    /// Tells the core, once it is known what time it is.
    fn step(&mut self, event: Event) {
        let Some(at) = self.time.moment() else { return };
        if let Event::Ended { run, .. } = &event {
            self.cancels.remove(run);
        }
        for action in self.core.step(at, event) {
            match action {
                Action::Run(launch) => self.launch(launch, at),
                Action::Cancel { run } => {
                    if let Some(cancel) = self.cancels.get(&run) {
                        cancel.cancel();
                    }
                }
                other => self.deeds.perform(other, at),
            }
        }
    }

    fn launch(&mut self, launch: Launch, at: Moment) {
        let Launch { run, job, due, record, .. } = launch;
        self.scheduler.meters.late(at.now - due);
        let cancel = CancellationToken::new();
        self.cancels.insert(run, cancel.clone());
        let (live, tell) = (self.scheduler.with.live.clone(), self.deeds.tell.clone());
        self.scheduler.with.tasks.spawn("job", async move {
            let fired = AssertUnwindSafe(fire::fire(&live, &job, &record)).catch_unwind();
            let (outcome, why, attempts) = tokio::select! {
                fired = fired => match fired {
                    Ok(fire::End { outcome, why, attempts }) => (outcome, why, attempts),
                    Err(_) => (Outcome::Failed, Some("firing it panicked".to_owned()), 1),
                },
                () = cancel.cancelled() => {
                    (Outcome::Cancelled, Some("overlap: the next slot has come".to_owned()), 1)
                }
            };
            // The loop ends last; it takes what is told for as long as it lives.
            drop(tell.send(Event::Ended { run, outcome, why, attempts }).await);
        });
    }

    fn saw(&mut self, seen: Seen) {
        self.looking = false;
        if let Some(look) = seen.look {
            self.time.told(seen.asked, look.now);
            let state = (look.changes, look.link);
            if self.changes.is_some_and(|before| before != state) {
                self.step(Event::Changed);
            }
            self.changes = Some(state);
        }
        if let Some(owners) = seen.owners {
            let nodes: Vec<Name> = owners.keys().cloned().collect();
            self.deeds.owners = Some(owners.into_values().collect());
            if nodes != self.nodes && self.time.moment().is_some() {
                self.nodes.clone_from(&nodes);
                self.step(Event::Nodes(nodes));
            }
        }
        self.look_for_jobs();
    }

    /// Tells the core which jobs are wanted by now, if others are.
    fn look_for_jobs(&mut self) {
        let snapshot = self.scheduler.with.live.now();
        if self.seen.ptr_eq(&snapshot.parts) {
            return;
        }
        self.jobs = snapshot.parts.keys().filter(|id| id.family == Family::Job).count();
        if self.time.moment().is_none() {
            return; // it is asked what time it is if there are jobs
        }
        let (mut put, mut gone) = (Vec::new(), Vec::new());
        for item in self.seen.diff(&snapshot.parts) {
            match item {
                DiffItem::Add(id, running) | DiffItem::Update { new: (id, running), .. } => {
                    let Part::Job(made) = &running.part else { continue };
                    let (plan, gate) = (running.definition.changed_at, running.gate.clone());
                    put.push(Job { name: id.name.clone(), plan, made: made.clone(), gate });
                }
                DiffItem::Remove(id, _) if id.family == Family::Job => gone.push(id.name.clone()),
                DiffItem::Remove(..) => {}
            }
        }
        self.seen = snapshot.parts.clone();
        if !put.is_empty() || !gone.is_empty() {
            self.step(Event::Jobs { put, gone });
        }
    }

    /// Says how it is.
    fn report(&self) {
        let silent = self.time.moment().map(|at| self.core.silent(at, SILENT)).unwrap_or_default();
        let (runs, jobs) = (self.core.runs(), self.jobs);
        self.scheduler.health.send_if_modified(|health| {
            let new = Health { runs, jobs, silent, restarts: health.restarts };
            let news = *health != new;
            *health = new;
            news
        });
    }
}

/// Lets one life after the other run, until the node stops: a life that panics, or whose loop stands still, is ended,
/// and the next one begins with nothing but what the store has.
pub(super) async fn watched(scheduler: Scheduler, mut stop: watch::Receiver<bool>) {
    let mut lives = 0_u32;
    let owner = loop {
        match (scheduler.with.incarnation)() {
            Some(number) => break format!("{}#{number}", scheduler.with.node),
            None if *stop.borrow() => return,
            None => {
                within(Duration::from_millis(100), stop.changed()).await;
            }
        }
    };
    loop {
        let name = if lives == 0 { owner.clone() } else { format!("{owner}.{lives}") };
        let alive = Arc::new(AtomicI64::new(0));
        let life = Owner::new(scheduler.clone(), name).run(alive.clone(), stop.clone());
        let mut life = std::pin::pin!(on_a_thread(life));
        let mut last = (alive.load(Ordering::Relaxed), Instant::now());
        loop {
            tokio::select! {
                ended = &mut life => {
                    if ended {
                        drop(scheduler); // and with it the store, before `stop` says that this has ended
                        return;
                    }
                    tracing::error!("the scheduler's loop has failed; it begins anew");
                    break;
                }
                () = tokio::time::sleep(Duration::from_secs(1)) => {}
            }
            let now = alive.load(Ordering::Relaxed);
            if now != last.0 {
                last = (now, Instant::now());
            } else if last.1.elapsed() > STUCK {
                tracing::error!("the scheduler's loop stands still; it begins anew");
                break;
            }
        }
        lives += 1;
        scheduler.health.send_modify(|health| health.restarts = u64::from(lives));
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

/// Runs a life on a thread of its own: one that stands still would take along what its thread has to do for others, such as
/// waking the whole node. Whether it ended by itself; if this is dropped, it ends where it waits next.
async fn on_a_thread(life: impl Future<Output = ()> + Send + 'static) -> bool {
    let (tell, told) = tokio::sync::oneshot::channel();
    let (alive, gone) = tokio::sync::oneshot::channel::<()>();
    let runtime = tokio::runtime::Handle::current();
    let run = move || {
        let ended = runtime.block_on(async move {
            tokio::select! {
                biased;
                _ = gone => false,
                () = life => true,
            }
        });
        // Not before nothing of it is left: a store that it held is free for the next node.
        if ended && tell.send(()).is_err() {
            tracing::debug!("nobody waits for the scheduler's loop any more");
        }
    };
    if let Err(error) = std::thread::Builder::new().name("scheduler".into()).spawn(run) {
        tracing::error!(%error, "there is no thread for the scheduler's loop");
        return false;
    }
    let ended = told.await.is_ok(); // a panic ends the thread, and says nothing
    drop(alive);
    ended
}

/// How long the loop may stand still.
const STUCK: Duration = Duration::from_secs(15);
