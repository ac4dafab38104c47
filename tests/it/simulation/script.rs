//! What happens in one simulation, all of it decided by the seed: writes, kills, stops and hold-ups; then quiet.

use std::sync::Arc;
use std::time::Duration;

use config::store::{Change, CommitError, Note, Store as _};
use config::{Catalog, DefId, Name};
use tokio::time::Instant;

use super::flaky::FlakyStore;
use super::kind;
use super::node::Life;
use super::world::{Ack, World};

/// How long the cluster may take to come to rest once nothing goes wrong any more. A part that has failed too often is
/// tried again after half a minute, give or take.
const REST: Duration = Duration::from_secs(90);
/// The definitions that others need; they are always there.
const BASES: u64 = 2;
/// The definitions that come and go.
const LEAVES: u64 = 5;

/// How often what has happened, so that one sees that the simulations are not idle.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sums {
    pub acknowledged: u64,
    pub conflicts: u64,
    pub refused: u64,
    pub unanswered: u64,
    pub hints_lost: u64,
    pub not_started: u64,
    pub hung: u64,
    pub workers_lost: u64,
    pub killed: u64,
    pub stopped: u64,
    pub held: u64,
    pub resyncs: u64,
    pub snapshots: u64,
    pub settled: u64,
    pub unsettled: u64,
    /// Virtual time.
    pub seconds: u64,
}

impl Sums {
    fn each(&mut self) -> [&mut u64; 16] {
        let Self {
            acknowledged,
            conflicts,
            refused,
            unanswered,
            hints_lost,
            not_started,
            hung,
            workers_lost,
            ..
        } = self;
        let first =
            [acknowledged, conflicts, refused, unanswered, hints_lost, not_started, hung, workers_lost];
        let Self { killed, stopped, held, resyncs, snapshots, settled, unsettled, seconds, .. } = self;
        let second = [killed, stopped, held, resyncs, snapshots, settled, unsettled, seconds];
        let mut all = first.into_iter().chain(second);
        std::array::from_fn(|_| all.next().expect("as many as there are"))
    }

    /// Adds those of others.
    pub fn add(&mut self, other: &Self) {
        let mut other = *other;
        for (sum, more) in self.each().into_iter().zip(other.each()) {
            *sum += *more;
        }
    }

    /// With many seeds, each of them must have happened.
    pub fn assert_that_things_went_wrong(mut self) {
        let told = format!("{self:?}");
        assert!(self.each().iter().all(|sum| **sum > 0), "something never happened: {told}");
    }
}

/// What came out.
pub struct Run {
    pub seed: u64,
    pub broken: Vec<String>,
    pub trace: Vec<String>,
    pub sums: Sums,
}

/// Runs one.
pub fn run(seed: u64) -> Run {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    let runtime = runtime.expect("a runtime");
    let world = runtime.block_on(async {
        let begun = Instant::now();
        let world = World::begin(seed);
        // As one task among the others it has its turn when they have theirs, in an order that never changes.
        tokio::spawn(play(world.clone())).await.expect("the script does not panic");
        world.facts().sums.seconds += begun.elapsed().as_secs();
        let lives = std::mem::take(&mut *world.lives());
        for life in lives.into_values() {
            life.kill();
        }
        world
    });
    World::end();
    drop(runtime);
    let mut facts = world.facts();
    let (broken, trace) = (std::mem::take(&mut facts.broken), std::mem::take(&mut facts.trace));
    Run { seed, broken, trace, sums: facts.sums }
}

async fn play(world: Arc<World>) {
    let world = &world;
    let nodes: Vec<Name> = (0..=world.below(5)).map(|n| format!("n{n}").parse().expect("a name")).collect();
    for node in &nodes {
        Life::begin(node.clone(), Arc::default(), world.clone()).await;
    }
    let mut back = Vec::new(); // who comes back, when, and with what it had seen
    for step in 0..5 + world.below(8) {
        tokio::time::sleep(world.span([1, 60, 2_500][world.below(3) as usize])).await;
        for (node, _, view) in back.extract_if(.., |(_, when, _)| *when <= Instant::now()) {
            begin_again(world, node, view).await;
        }
        let lives: Vec<_> = world.lives().values().cloned().collect();
        if lives.is_empty() {
            continue;
        }
        let life = lives[world.below(lives.len() as u64) as usize].clone();
        match world.below(20) {
            0..11 => life.spawn(write(life.clone(), step)),
            11..14 => life.spawn(ask(life.clone())),
            14..16 => {
                world.note(format_args!("{} is held up", life.node));
                world.facts().sums.held += 1;
                life.held.set(true);
                let span = world.span(9_000);
                let held = life.clone();
                life.spawn(async move {
                    tokio::time::sleep(span).await;
                    held.held.set(false);
                });
            }
            ends => {
                let view = life.view.lock().expect("one thread").clone();
                if ends < 19 {
                    world.facts().sums.killed += 1;
                    life.kill();
                } else if !life.held.is() {
                    world.facts().sums.stopped += 1;
                    life.stop().await;
                } else {
                    continue;
                }
                back.push((life.node.clone(), Instant::now() + world.span(7_000), view));
            }
        }
    }
    world.note(format_args!("quiet"));
    world.calm();
    for life in world.lives().values() {
        life.held.set(false);
    }
    for (node, _, view) in back {
        begin_again(world, node, view).await;
    }
    rest(world).await;
    world.check_history();
}

async fn begin_again(world: &Arc<World>, node: Name, view: Arc<Catalog>) {
    let stale = world.chance(world.weather().stale);
    let view = if stale { view } else { world.truth.load().await.expect("it is in memory") };
    Life::begin(node, view, world.clone()).await;
}

/// Waits until all is well everywhere, and asks every node for a receipt then.
async fn rest(world: &Arc<World>) {
    let deadline = Instant::now() + REST;
    while !world.unrest().is_empty() {
        if Instant::now() > deadline {
            for what in world.unrest() {
                world.broken(format!("after {REST:?} of quiet: {what}"));
            }
            return;
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    let newest = world.truth.load().await.expect("it is in memory").revision;
    let lives: Vec<_> = world.lives().values().cloned().collect();
    for life in lives {
        life.inspect();
        if let Some(receipt) = life.settled(newest, Duration::ZERO).await {
            life.believe(&receipt);
        } else {
            world.broken(format!("{} has no receipt of {newest} though all is well", life.node));
        }
    }
}

/// A client of this node that writes until it knows that it has, as well as it can.
async fn write(life: Arc<Life>, number: u64) {
    let store = FlakyStore(life.clone());
    let world = life.world.clone();
    for attempt in 0..6 {
        if attempt > 0 {
            tokio::time::sleep(world.span(150)).await;
        }
        let Ok(current) = store.load().await else { continue };
        let tag = format!("w{number}.{attempt}");
        let began = world.facts().events;
        let change = change(&world, &current, number);
        let note = Note { author: tag.clone(), reason: None, ..Note::default() };
        match store.commit(current.revision, change, note).await {
            Ok(after) => {
                let revision = after.revision;
                world.note(format_args!("{tag} is acknowledged as {revision}"));
                let ended = world.facts().events;
                world.facts().acks.push(Ack { tag, revision, began, ended });
                let limit = world.span(4_000);
                match life.settled(revision, limit).await {
                    Some(receipt) => life.believe(&receipt),
                    None => world.facts().sums.unsettled += 1,
                }
                return;
            }
            Err(CommitError::Conflict { .. }) => world.facts().sums.conflicts += 1,
            Err(CommitError::Store(_)) => {} // it may have happened or not
        }
    }
}

/// A client of this node that asks whether the newest revision is served everywhere.
async fn ask(life: Arc<Life>) {
    let newest = life.world.facts().catalogs.keys().next_back().copied().unwrap_or_default();
    let limit = life.world.span(4_000);
    match life.settled(newest, limit).await {
        Some(receipt) => life.believe(&receipt),
        None => life.world.facts().sums.unsettled += 1,
    }
}

/// Up to three definitions written; now and then one is switched off or deleted.
fn change(world: &World, current: &Catalog, number: u64) -> Change {
    let id = |stem: &str, n: u64| -> DefId { format!("connection/{stem}{n}").parse().expect("an id") };
    let base = id("base", world.below(BASES));
    let leaf = id("leaf", world.below(LEAVES));
    let mut change = Change::default();
    match world.below(8) {
        0 => change.delete.push(leaf),
        1 => change.put.push(kind::definition(leaf, number, None, false)),
        2..4 => change.put.push(kind::definition(base, number, None, true)),
        _ => {
            for n in 0..=world.below(2) {
                let need = (world.chance(0.6) && current.get(&base).is_some()).then_some(&base);
                change.put.push(kind::definition(id("leaf", n), number, need, true));
            }
        }
    }
    change
}
