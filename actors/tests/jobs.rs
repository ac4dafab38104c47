//! Many nodes that fire jobs, in one thread and in virtual time: the production core, leases and slots over a store that
//! fails as a seed says. The same seed gives the same run, so whatever fails can be looked at again.

extern crate zeugma_actors as actors;

#[path = "jobs/checks.rs"]
mod checks;
#[path = "jobs/node.rs"]
mod node;
#[path = "jobs/plans.rs"]
mod plans;
#[path = "jobs/script.rs"]
mod script;
#[path = "jobs/world.rs"]
mod world;

use std::sync::atomic::{AtomicU64, Ordering};

/// How many seeds are tried if nobody says.
const SEEDS: u64 = 10_000;

fn number(variable: &str) -> Option<u64> {
    #[allow(clippy::disallowed_methods, reason = "which seeds are tried is told to tests by the environment")]
    let text = std::env::var(variable).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{variable} is a number, not {text:?}")))
}

/// What holds for slots whatever happens to nodes and store; see `jobs/checks.rs`. `ZEUGMA_SEEDS` is how many seeds are
/// tried; with `ZEUGMA_SEED` they begin there, with one alone, and its history printed, if no number is said.
#[test]
fn simulation_of_jobs_on_many_nodes() {
    let first = number("ZEUGMA_SEED");
    let count = number("ZEUGMA_SEEDS").unwrap_or(if first.is_some() { 1 } else { SEEDS });
    let first = first.unwrap_or(0);
    let next = AtomicU64::new(0);
    let work = || {
        let (mut broken, mut sums) = (Vec::new(), script::Sums::default());
        loop {
            let at = next.fetch_add(1, Ordering::Relaxed);
            if at >= count {
                return (broken, sums);
            }
            let run = script::run(first + at, count == 1);
            sums.add(&run.sums);
            if count == 1 {
                println!("{}", run.trace.join("\n"));
            }
            if !run.broken.is_empty() {
                broken.push((first + at, run.broken));
                if broken.len() >= 3 {
                    next.store(count, Ordering::Relaxed); // a few are enough to begin with
                }
            }
        }
    };
    let parts = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..2).map(|_| scope.spawn(work)).collect();
        let joined = threads.into_iter().map(|thread| thread.join().expect("a simulation does not panic"));
        joined.collect::<Vec<_>>()
    });
    let (mut broken, mut sums) = (Vec::new(), script::Sums::default());
    for (more, others) in parts {
        broken.extend(more);
        sums.add(&others);
    }
    println!("{count} seeds from {first}: {sums:?}");
    broken.sort();
    let tell = |(seed, what): &(u64, Vec<String>)| {
        let what = what.iter().take(5).cloned().collect::<Vec<_>>().join("\n  ");
        format!("seed {seed}; again with: ZEUGMA_SEED={seed} ./test simulation_of_jobs\n  {what}")
    };
    assert!(broken.is_empty(), "\n{}", broken.iter().map(tell).collect::<Vec<_>>().join("\n"));
    if count >= 1_000 {
        sums.assert_that_things_went_wrong();
    }
}

#[test]
fn simulation_of_jobs_with_the_same_seed_is_the_same_history() {
    for seed in 0..10 {
        let [first, second] = [(); 2].map(|()| script::run(seed, true).trace);
        assert!(first.len() > 20);
        assert_eq!(first, second, "seed {seed}");
    }
}
