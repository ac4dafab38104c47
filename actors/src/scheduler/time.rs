//! The store's time, as a node knows it: by asking now and then, and by its own steady clock in between.

use config::slots::Micros;
use tokio::time::Instant;

use super::core::Moment;

/// How many answers are remembered: the quickest of them is believed.
const ANSWERS: usize = 8;
/// An answer that shows another time than it possibly could, by more than this, shows that the store's clock was moved.
const MOVED: Micros = 20_000;

/// See the module.
#[derive(Debug)]
pub struct StoreTime {
    begun: Instant,
    /// Of each answer: how far the store's time is from ours, and how long the answer took.
    answers: Vec<(Micros, Micros)>,
}

impl StoreTime {
    /// Nothing is known yet.
    pub fn new() -> Self {
        Self { begun: Instant::now(), answers: Vec::new() }
    }

    /// By the steady clock, in microseconds.
    pub fn steady(&self) -> Micros {
        i64::try_from(self.begun.elapsed().as_micros()).unwrap_or(i64::MAX)
    }

    /// Takes notice of an answer to a question that was asked at a moment of the steady clock.
    pub fn told(&mut self, asked: Micros, now: Micros) {
        self.told_at(asked, now, self.steady());
    }

    fn told_at(&mut self, asked: Micros, now: Micros, steady: Micros) {
        let took = steady - asked;
        let apart = now - (asked + took / 2);
        if self.apart().is_some_and(|known| (known - apart).abs() > took / 2 + MOVED) {
            self.answers.clear();
        }
        if self.answers.len() >= ANSWERS {
            self.answers.remove(0);
        }
        self.answers.push((apart, took));
    }

    fn apart(&self) -> Option<Micros> {
        self.answers.iter().min_by_key(|(_, took)| *took).map(|(apart, _)| *apart)
    }

    /// This moment, once the store has said what time it is.
    pub fn moment(&self) -> Option<Moment> {
        let steady = self.steady();
        self.apart().map(|apart| Moment { steady, now: steady + apart })
    }
}

impl Default for StoreTime {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_quickest_answer_is_believed_until_the_clock_is_moved() {
        let mut time = StoreTime::new();
        assert!(time.moment().is_none());
        time.told_at(1_000, 51_000 + 400, 3_000);
        assert_eq!(time.apart(), Some(49_400));
        time.told_at(9_000, 59_100, 9_200);
        assert_eq!(time.apart(), Some(50_000));
        time.told_at(20_000, 100_000, 90_000); // slow, and it may well be so
        assert_eq!(time.apart(), Some(50_000));
        time.told_at(100_000, 9_100_100, 100_200);
        assert_eq!(time.apart(), Some(9_000_000));
    }
}
