//! What must hold in every history. Snapshots are looked at before any later one can be made, receipts at the moment at
//! which they are given, and the rest at the end.

use std::collections::BTreeMap;
use std::sync::Arc;

use actors::{Part, Snapshot};
use cluster::Receipt;
use config::{Catalog, DefId, Membership as _, Revision, Store as _};
use futures_util::FutureExt as _;

use super::kind;
use super::node::{Life, REGISTRY};
use super::world::World;

impl Life {
    /// Checks the snapshot that requests see now, against the truth and against the one before.
    pub fn inspect(&self) {
        let now = self.live.now();
        let before = std::mem::replace(&mut *self.inspected.lock().expect("one thread"), now.clone());
        if Arc::ptr_eq(&before, &now) {
            return;
        }
        let node = &self.node;
        let (revision, faults) = (now.revision, now.faults.len());
        self.world.note(format_args!("{node} serves {revision} with {faults} faults"));
        self.world.facts().sums.snapshots += 1;
        if revision < before.revision {
            self.world.broken(format!("{node} went back from {} to {revision}", before.revision));
        }
        for what in mixed(&self.world, &now).into_iter().chain(let_go(&self.world, &before, &now)) {
            self.world.broken(format!("{node} at {revision}: {what}"));
        }
    }

    /// Checks a receipt, at the moment at which it is given to a client of this node.
    pub fn believe(&self, receipt: &Receipt) {
        let (world, revision) = (&self.world, receipt.revision);
        let all = receipt.nodes.len();
        world.note(format_args!("{}: {revision} is settled on {all} nodes", self.node));
        world.facts().sums.settled += 1;
        world.tell_time();
        let members = world.members.members().now_or_never().expect("in memory").expect("in memory");
        let known = self.known.lock().expect("one thread").clone();
        for member in members.into_iter().filter(|member| member.alive) {
            let (name, incarnation) = (member.record.node, member.record.incarnation);
            let Some(life) = world.lives().get(&name).cloned() else { continue }; // dead, but nobody knows yet
            if known.get(&name) != Some(&incarnation) || life.incarnation.get() != Some(&incarnation) {
                continue; // it has come since this node has looked last
            }
            let served = life.live.now().revision;
            if served < revision {
                let who = &self.node;
                world.broken(format!("{who} says that all serve {revision}, but {name} serves {served}"));
            }
            if !receipt.nodes.iter().any(|node| node.node == name) {
                world.broken(format!("a receipt of {revision} leaves out {name}, which is there"));
            }
        }
    }
}

impl World {
    fn catalog(&self, revision: Revision) -> Option<Arc<Catalog>> {
        self.facts().catalogs.get(&revision).cloned()
    }

    /// What each definition is to be built from at a revision.
    fn versions(&self, revision: Revision) -> Option<Arc<BTreeMap<DefId, Revision>>> {
        if let Some(found) = self.facts().versions.get(&revision) {
            return Some(found.clone());
        }
        let catalog = REGISTRY.with_implicit(&*self.catalog(revision)?);
        let versions = Arc::new(config::diff::plan([], &catalog).start.into_iter().flatten().collect());
        self.facts().versions.insert(revision, Arc::clone(&versions));
        Some(versions)
    }

    /// Checks that what was acknowledged is in the history once, where it was said to be, and in order.
    pub fn check_history(&self) {
        let history = self.truth.history(None, usize::MAX).now_or_never().expect("in memory").expect("ok");
        let tags: Vec<&str> = history.iter().rev().map(|entry| entry.note.author.as_str()).collect();
        for (at, entry) in history.iter().rev().enumerate() {
            if entry.revision.0 != at as u64 + 1 {
                self.broken(format!("revision {} is at place {} of the history", entry.revision, at + 1));
            }
        }
        let mut once = tags.clone();
        once.sort_unstable();
        if let Some(twice) = once.windows(2).find(|pair| pair[0] == pair[1]) {
            self.broken(format!("{} was committed twice", twice[0]));
        }
        let acks = std::mem::take(&mut self.facts().acks);
        for ack in &acks {
            let at = usize::try_from(ack.revision.0).expect("small") - 1;
            if tags.get(at) != Some(&ack.tag.as_str()) {
                self.broken(format!(
                    "{} was acknowledged as {}, which is {:?}",
                    ack.tag,
                    ack.revision,
                    tags.get(at)
                ));
            }
            let later = acks.iter().filter(|later| later.began > ack.ended);
            for later in later.filter(|later| later.revision <= ack.revision) {
                self.broken(format!("{} came after {}, but has an older revision", later.tag, ack.tag));
            }
        }
        self.facts().sums.acknowledged += acks.len() as u64;
    }

    /// What keeps the cluster from being at rest: nothing, once all is well.
    pub fn unrest(&self) -> Vec<String> {
        let newest = self.facts().catalogs.keys().next_back().copied().unwrap_or_default();
        let lives: Vec<_> = self.lives().values().cloned().collect();
        let mut found = Vec::new();
        for life in &lives {
            let (node, now) = (&life.node, life.live.now());
            if now.revision != newest {
                found.push(format!("{node} serves {}, not {newest}", now.revision));
            }
            found.extend(now.faults.values().map(|fault| format!("{node}: {fault}")));
            let board = life.board.watch().borrow().clone();
            let nodes: Vec<_> = board.keys().collect();
            let there: Vec<_> = lives.iter().map(|life| &life.node).collect();
            if nodes != there {
                found.push(format!("{node} knows of {nodes:?}, not of {there:?}"));
            }
            for (other, served) in board.iter().filter(|(_, served)| served.revision != newest) {
                found.push(format!("{node} believes that {other} serves {}", served.revision));
            }
            for (other, served) in board.iter().filter(|(_, served)| !served.faults.is_empty()) {
                found.push(format!("{node} believes that {other} has faults: {:?}", served.faults));
            }
        }
        found
    }
}

/// What a snapshot holds that is not of its revision, unless a fault says so; and what it does not hold, with no fault.
fn mixed(world: &World, now: &Snapshot) -> Vec<String> {
    let (Some(catalog), Some(versions)) = (world.catalog(now.revision), world.versions(now.revision)) else {
        return vec!["there is no such revision".into()];
    };
    let mut found = Vec::new();
    for (id, version) in versions.iter().filter(|(id, _)| !now.faults.contains_key(*id)) {
        match now.parts.get(id) {
            None => found.push(format!("{id} does not run, and no fault says why")),
            Some(part) if part.version != *version => {
                found.push(format!("{id} is of {}, not of {version}", part.version));
            }
            Some(part) => {
                let wanted = catalog.get(id).map(kind::value);
                let runs = match &part.part {
                    Part::Connection(connection) => connection.client().downcast_ref::<u64>().copied(),
                    _ => None,
                };
                if wanted.is_some_and(|wanted| runs != Some(wanted)) {
                    found.push(format!("{id} has the value {runs:?}, not {wanted:?}"));
                }
            }
        }
    }
    for id in now.parts.keys().filter(|id| !versions.contains_key(*id)) {
        found.push(format!("{id} runs, and is not wanted"));
    }
    found
}

/// What served, is still wanted, and does not serve any more, though what it was built from does.
fn let_go(world: &World, before: &Snapshot, now: &Snapshot) -> Vec<String> {
    let Some(versions) = world.versions(now.revision) else { return Vec::new() };
    let gone =
        before.parts.iter().filter(|(id, _)| versions.contains_key(*id) && !now.parts.contains_key(*id));
    let whole = |part: &actors::Running| part.definition.needs.iter().all(|id| now.parts.contains_key(id));
    gone.filter(|(_, part)| whole(part))
        .map(|(id, _)| format!("{id} was running before and is wanted, but does not run"))
        .collect()
}
