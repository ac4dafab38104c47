//! The sessions that log-ins have opened on this node, the oldest first: there is an end to how many.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// How many there are of a definition.
const MOST: usize = 250_000;

/// See the module.
pub(super) struct Opened {
    most: usize,
    ids: Mutex<VecDeque<u128>>,
}

impl Default for Opened {
    fn default() -> Self {
        Self::of(MOST)
    }
}

impl Opened {
    /// For this many.
    pub(super) fn of(most: usize) -> Self {
        Self { most, ids: Mutex::default() }
    }

    /// One that is about to be opened.
    pub(super) fn note(&self, id: &str) {
        self.ids().extend(u128::from_str_radix(id, 16));
    }

    /// One that has to end first.
    pub(super) fn too_many(&self) -> Option<String> {
        let ids = self.ids();
        let oldest = ids.front().filter(|_| ids.len() > self.most)?;
        Some(format!("{oldest:032x}"))
    }

    /// It has ended.
    pub(super) fn ended(&self, id: &str) {
        let mut ids = self.ids();
        if ids.front().copied() == u128::from_str_radix(id, 16).ok() {
            ids.pop_front();
        }
    }

    fn ids(&self) -> MutexGuard<'_, VecDeque<u128>> {
        self.ids.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
