//! A cluster in one thread and in virtual time: the production reconciler, pulse and board over a store and a membership
//! that fail as a seed says. The same seed gives the same run, so whatever fails can be looked at again.

mod checks;
mod flaky;
mod kind;
mod node;
mod script;
mod world;

use std::sync::atomic::{AtomicU64, Ordering};

/// How many seeds are tried if nobody says.
const SEEDS: u64 = 2_000;
/// How many are tried twice, to see that nothing but the seed decides.
const TWICE: u64 = 40;

fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{variable} is a number, not {text:?}")))
}

/// What every history of a cluster must keep, whatever happens to nodes, store and messages; see `simulation/checks.rs`.
/// `ZEUGMA_SEEDS` is how many seeds are tried; with `ZEUGMA_SEED` they begin there, with one alone if no number is said.
#[test]
fn simulation_of_thousands_of_histories() {
    let first = number("ZEUGMA_SEED");
    let count = number("ZEUGMA_SEEDS").unwrap_or(if first.is_some() { 1 } else { SEEDS });
    let first = first.unwrap_or(0);
    let next = AtomicU64::new(0);
    let work = || {
        let mut broken = Vec::new();
        let mut sums = script::Sums::default();
        loop {
            let at = next.fetch_add(1, Ordering::Relaxed);
            if at >= count {
                return (broken, sums);
            }
            let run = script::run(first + at);
            sums.add(&run.sums);
            if !run.broken.is_empty() {
                if count == 1 {
                    println!("{}", run.trace.join("\n"));
                }
                broken.push((run.seed, run.broken));
                if broken.len() >= 3 {
                    next.store(count, Ordering::Relaxed); // a few are enough to begin with
                }
            }
        }
    };
    let parts = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..2).map(|_| scope.spawn(work)).collect();
        threads
            .into_iter()
            .map(|thread| thread.join().expect("a simulation does not panic"))
            .collect::<Vec<_>>()
    });
    let mut broken = Vec::new();
    let mut sums = script::Sums::default();
    for (more, others) in parts {
        broken.extend(more);
        sums.add(&others);
    }
    println!("{count} seeds from {first}: {sums:?}");
    broken.sort();
    let tell = |(seed, what): &(u64, Vec<String>)| {
        format!("seed {seed}; again with: ZEUGMA_SEED={seed} ./test simulation\n  {}", what.join("\n  "))
    };
    assert!(broken.is_empty(), "\n{}", broken.iter().map(tell).collect::<Vec<_>>().join("\n"));
    if count >= SEEDS {
        sums.assert_that_things_went_wrong();
    }
}

#[test]
fn simulation_of_the_same_seed_is_the_same_history() {
    for seed in 0..number("ZEUGMA_SEEDS").map_or(TWICE, |count| count.min(1_000)) {
        let [first, second] = [script::run(seed), script::run(seed)];
        let differs = first.trace.iter().zip(&second.trace).position(|(a, b)| a != b);
        if let Some(at) = differs {
            let shown = |trace: &[String]| trace.iter().take(at + 3).cloned().collect::<Vec<_>>().join("\n");
            panic!("seed {seed}\n{}\n\nand\n{}", shown(&first.trace), shown(&second.trace));
        }
        assert_eq!(first.trace.len(), second.trace.len(), "seed {seed}");
    }
}
