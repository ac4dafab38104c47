//! What this node holds of the store: the catalog that `load` gives, and how far the history has been followed.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arc_swap::ArcSwap;
use tokio::sync::watch;

use super::lineage::{Lineage, Position};
use super::scripts::Objects;
use crate::catalog::{ById, Catalog};
use crate::definition::Definition;
use crate::name::Revision;
use crate::store::{Entry, Op};

/// A catalog, and the history that it is a moment of.
#[derive(Clone, Debug, Default)]
pub(super) struct Held {
    /// Which history.
    pub(super) lineage: Lineage,
    /// What it says.
    pub(super) catalog: Arc<Catalog>,
    /// The ids of definitions that cannot be read. They are left out of the catalog.
    pub(super) unreadable: Arc<BTreeSet<String>>,
}

impl Held {
    /// Where this is. What cannot be read counts as well: it is something that is there.
    pub(super) fn position(&self) -> Position {
        let count = self.catalog.definitions.len() + self.unreadable.len();
        let (lineage, revision) = (self.lineage.clone(), self.catalog.revision);
        Position { lineage, revision, count: count as u64, damaged: false }
    }

    /// Puts together what is in Redis. Takes its time if it is much.
    pub(super) fn parse(position: &Position, objects: Objects) -> Self {
        let mut definitions = ById::new();
        let mut unreadable = BTreeSet::new();
        for (id, json) in objects {
            match serde_json::from_slice::<Definition>(&json) {
                Ok(definition) if definition.id.to_string() == id => {
                    definitions.insert(definition.id.clone(), Arc::new(definition));
                }
                _ => drop(unreadable.insert(id)),
            }
        }
        let catalog = Arc::new(Catalog { revision: position.revision, definitions });
        Self { lineage: position.lineage.clone(), catalog, unreadable: Arc::new(unreadable) }
    }
}

/// How far entries could be followed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Step {
    /// All of them.
    Done,
    /// Some are missing in between.
    Gap,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Replica {
    held: ArcSwap<Held>,
    nudge: watch::Sender<Revision>,
    /// One change at a time: the follower and a commit may bring the same entry at once.
    turn: Mutex<()>,
}

impl Replica {
    /// Begins with what was held before.
    pub(super) fn new(held: Held) -> Self {
        let nudge = watch::Sender::new(held.catalog.revision);
        Self { held: ArcSwap::from_pointee(held), nudge, turn: Mutex::default() }
    }

    /// What is held now.
    pub(super) fn now(&self) -> Arc<Held> {
        self.held.load_full()
    }

    /// Wakes after each change.
    pub(super) fn nudges(&self) -> watch::Receiver<Revision> {
        self.nudge.subscribe()
    }

    fn turn(&self) -> MutexGuard<'_, ()> {
        self.turn.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Follows entries of this history, oldest first. Those that are known are skipped, so that each counts once.
    pub(super) fn follow<'a>(&self, lineage: &Lineage, entries: impl IntoIterator<Item = &'a Entry>) -> Step {
        let turn = self.turn();
        let before = self.held.load_full();
        if before.lineage != *lineage {
            return Step::Gap;
        }
        let from = before.catalog.revision;
        let mut entries = entries.into_iter().skip_while(|entry| entry.revision <= from).peekable();
        if entries.peek().is_none_or(|first| first.revision != from.next()) {
            return if entries.peek().is_none() { Step::Done } else { Step::Gap };
        }
        let mut catalog = Catalog::clone(&before.catalog);
        let mut unreadable = Arc::clone(&before.unreadable);
        let mut step = Step::Done;
        for entry in entries {
            if entry.revision != catalog.revision.next() {
                step = Step::Gap;
                break;
            }
            apply(&mut catalog, entry);
            unreadable = still(&unreadable, &entry.ops);
        }
        let held = Held { lineage: before.lineage.clone(), catalog: Arc::new(catalog), unreadable };
        self.publish(held, turn);
        step
    }

    /// Follows one entry whose catalog somebody has put together already, out of `before`; unless it is known by now.
    pub(super) fn advance(&self, before: &Held, after: Arc<Catalog>, ops: &[Op]) {
        let turn = self.turn();
        let now = self.held.load_full();
        if now.lineage != before.lineage || now.catalog.revision != before.catalog.revision {
            return;
        }
        let unreadable = still(&now.unreadable, ops);
        self.publish(Held { lineage: now.lineage.clone(), catalog: after, unreadable }, turn);
    }

    /// Takes over all of a history at once, unless more of the same is held by now.
    pub(super) fn adopt(&self, held: Held) {
        let turn = self.turn();
        let now = self.held.load();
        if now.lineage == held.lineage && now.catalog.revision > held.catalog.revision {
            return;
        }
        drop(now);
        self.publish(held, turn);
    }

    fn publish(&self, held: Held, turn: MutexGuard<'_, ()>) {
        let revision = held.catalog.revision;
        self.held.store(Arc::new(held));
        self.nudge.send_replace(revision);
        drop(turn);
    }
}

/// What is still unreadable after these changes: writing or deleting a definition makes it whole.
fn still(unreadable: &Arc<BTreeSet<String>>, ops: &[Op]) -> Arc<BTreeSet<String>> {
    if unreadable.is_empty() {
        return unreadable.clone();
    }
    let whole: BTreeSet<String> = ops.iter().map(|op| op.id.to_string()).collect();
    Arc::new(unreadable.difference(&whole).cloned().collect())
}

fn apply(catalog: &mut Catalog, entry: &Entry) {
    catalog.revision = entry.revision;
    let definitions = &mut catalog.definitions;
    for op in &entry.ops {
        match &op.after {
            Some(after) => definitions.insert(op.id.clone(), Arc::new(after.clone())),
            None => definitions.remove(&op.id),
        };
    }
}
