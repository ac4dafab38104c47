//! Buckets of jobs and their leases: which node is to hold which, taking, prolonging and giving back.

use config::lease::Held;
use config::slots::{BATCH, JobState, Micros, Wanted};
use config::{Fence, Name, Revision};

use std::sync::atomic::Ordering::Relaxed;

use super::{Action, Asked, Core, Moment};

/// How long a lease lasts, in microseconds: until another node may go on where one has died.
pub const TERM: Micros = 5_000_000;
/// How long before its end a lease is not used any more.
const MARGIN: Micros = 500_000;
/// How often leases are prolonged.
const RENEW: Micros = 1_000_000;
/// How long until it is tried again to prolong them, when there was no answer.
const RENEW_AGAIN: Micros = 300_000;
/// How long until a lease is asked for again that was not free.
const TRY: Micros = 300_000;
/// How long a node waits that seems to know an older plan than the store.
const BEHIND: Micros = 300_000;
/// After this, a bucket that is not this node's to hold is asked for all the same: nobody else may be well.
const STRAY: Micros = 3 * TERM;
/// How long such a bucket is held before it is given to whoever is to hold it.
const GUEST: Micros = 30_000_000;
/// How long something is kept of a job that is gone: it may only be renamed.
const FORGET: Micros = 30_000_000;
/// How long after its start a node looks for what is kept of jobs that are gone, and how long until it does again.
const LIST: (Micros, Micros) = (10_000_000, 300_000_000);

/// The jobs that share a lease.
#[derive(Default)]
pub(super) struct Bucket {
    pub(super) jobs: Vec<usize>,
    /// Whether this node is the one that is to hold it, of those that are there.
    mine: bool,
    /// Those whose state is to be asked for.
    pub(super) unloaded: Vec<usize>,
    /// Jobs that are gone, and since when.
    pub(super) gone: Vec<(Name, Micros)>,
    tenure: Tenure,
    /// No slot is fired any more: the lease is given back as soon as all claims are answered.
    leaving: bool,
    /// Runs of other nodes are under way.
    pub(super) foreign: bool,
    pub(super) inspect_at: Micros,
    pub(super) inspecting: bool,
    /// It is known which runs are under way.
    pub(super) inspected: bool,
    /// When it is listed what is kept of its jobs.
    list_at: Option<Micros>,
    try_at: Micros,
    /// Since when this node does not hold it.
    free_since: Option<Micros>,
    guest_until: Micros,
}

#[derive(Default)]
enum Tenure {
    #[default]
    None,
    Asking,
    Held {
        held: Held,
        until: Micros,
    },
}

impl Bucket {
    /// The fence of the lease, while it may be used.
    pub(super) fn holds(&self, steady: Micros) -> Option<Fence> {
        match &self.tenure {
            Tenure::Held { held, until } if steady < *until => Some(held.fence),
            _ => None,
        }
    }

    /// The same, while slots may be fired.
    pub(super) fn fires(&self, steady: Micros) -> Option<Fence> {
        self.holds(steady).filter(|_| self.inspected && !self.leaving)
    }

    /// Whether there is nothing to look after.
    fn rests(&self, steady: Micros) -> bool {
        let empty = self.jobs.is_empty() && self.gone.is_empty() && self.free_since.is_none();
        empty && matches!(self.tenure, Tenure::None) && self.list_at.is_some_and(|at| steady < at)
    }

    /// Why its jobs are silent, if this node has not held it for longer than this.
    pub(super) fn silent_since(&self, steady: Micros, limit: Micros) -> Option<String> {
        let since = self.free_since.filter(|since| steady - since > limit)?;
        Some(format!(
            "this node is to fire it, but has had no lease for it for {} s",
            (steady - since) / 1_000_000
        ))
    }
}

/// The node that is to hold a bucket, of those that are there: the same on every node that sees the same ones.
pub fn proposed(bucket: u16, nodes: &[Name]) -> Option<&Name> {
    let weight = |node: &Name| {
        let mut x = super::salt(node) ^ (u64::from(bucket) << 48);
        x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        x ^ (x >> 31)
    };
    nodes.iter().max_by_key(|node| (weight(node), (*node).clone()))
}

impl Core {
    pub(super) fn proposed_here(&self, bucket: u16) -> bool {
        self.buckets[usize::from(bucket)].mine
    }

    /// Takes notice of the nodes that are there.
    pub(super) fn see_nodes(&mut self, nodes: &[Name]) {
        for (here, bucket) in self.buckets.iter_mut().zip(0_u16..) {
            here.mine = proposed(bucket, nodes) == Some(&self.node);
        }
    }

    /// Looks after leases, and all that was not answered.
    pub(super) fn chores(&mut self, at: Moment, out: &mut Vec<Action>) {
        for bucket in 0..u16::try_from(self.buckets.len()).unwrap_or(u16::MAX) {
            if self.buckets[usize::from(bucket)].rests(at.steady) {
                continue;
            }
            self.look_after(bucket, at, out);
            let here = &self.buckets[usize::from(bucket)];
            match &here.tenure {
                Tenure::Held { held, until } if at.steady >= *until => {
                    let fence = held.fence;
                    self.lose(bucket, fence, at);
                }
                Tenure::Held { .. } => self.keep(bucket, at, out),
                Tenure::Asking => {}
                Tenure::None => self.try_to_get(bucket, at, out),
            }
        }
        if !self.renewing && at.steady >= self.renew_at {
            let numbered = self.buckets.iter().zip(0_u16..);
            let held = numbered.filter_map(|(bucket, number)| match &bucket.tenure {
                Tenure::Held { held, .. } => Some((number, held.clone())),
                _ => None,
            });
            let held: Vec<_> = held.collect();
            if !held.is_empty() {
                self.renewing = true;
                self.renew_at = at.steady + RENEW;
                out.push(Action::Renew(held));
            }
        }
    }

    /// Sees to what is kept of a bucket, held or not: a node alone knows which of its runs nobody will tell the end of.
    fn look_after(&mut self, bucket: u16, at: Moment, out: &mut Vec<Action>) {
        let mine = self.proposed_here(bucket);
        let here = &mut self.buckets[usize::from(bucket)];
        if !here.inspecting && at.steady >= here.inspect_at && !here.jobs.is_empty() {
            here.inspecting = true;
            let fence = here.holds(at.steady).unwrap_or(Fence(0));
            out.push(Action::Inspect { bucket, fence });
        }
        let list_at = here.list_at.get_or_insert(at.steady + LIST.0);
        if mine && at.steady >= *list_at && !self.names.is_empty() {
            *list_at = at.steady + LIST.1;
            out.push(Action::List { bucket });
        }
    }

    /// Of these jobs something is kept: those that are gone are to be forgotten.
    pub(super) fn listed(&mut self, at: Moment, bucket: u16, names: Result<Vec<Name>, ()>) {
        let gone = |name: &Name| !self.names.contains_key(name);
        let gone: Vec<Name> = names.unwrap_or_default().into_iter().filter(gone).collect();
        let here = &mut self.buckets[usize::from(bucket)];
        for name in gone {
            if !here.gone.iter().any(|(there, _)| *there == name) {
                here.gone.push((name, at.steady));
            }
        }
    }

    fn try_to_get(&mut self, bucket: u16, at: Moment, out: &mut Vec<Action>) {
        let mine = self.proposed_here(bucket);
        let stopping = self.stopping;
        let here = &mut self.buckets[usize::from(bucket)];
        if (here.jobs.is_empty() && here.gone.is_empty()) || stopping {
            here.free_since = None;
            return;
        }
        let free_since = *here.free_since.get_or_insert(at.steady);
        let stray = !mine && at.steady - free_since > STRAY;
        if at.steady >= here.try_at && (mine || stray) {
            here.guest_until = if mine { 0 } else { at.steady + GUEST };
            here.try_at = at.steady + if mine { TRY } else { STRAY };
            here.tenure = Tenure::Asking;
            out.push(Action::Lease { bucket });
        }
    }

    /// Does what is to be done with a bucket that is held.
    fn keep(&mut self, bucket: u16, at: Moment, out: &mut Vec<Action>) {
        let mine = self.proposed_here(bucket);
        let here = &mut self.buckets[usize::from(bucket)];
        let Tenure::Held { held, .. } = &here.tenure else { return };
        let (held, fence) = (held.clone(), held.fence);
        let unwanted = here.jobs.is_empty() && here.gone.is_empty();
        here.leaving = unwanted || (!mine && at.steady >= here.guest_until);
        if here.leaving {
            let pending = |index: &usize| self.entries[*index].as_ref().is_some_and(|entry| entry.pending);
            if !here.jobs.iter().any(pending) {
                self.lose(bucket, fence, at);
                out.push(Action::Release(held));
            }
            return;
        }
        let old = |(_, since): &(Name, Micros)| at.steady - since > FORGET;
        let (forget, keep) = std::mem::take(&mut here.gone).into_iter().partition(old);
        here.gone = keep;
        let names: Vec<Name> = Vec::from_iter(forget).into_iter().map(|(name, _)| name).collect();
        if !names.is_empty() {
            out.push(Action::Forget { bucket, names });
        }
        let mut wanted = Vec::new();
        let mut later = Vec::new();
        for index in std::mem::take(&mut here.unloaded) {
            let Some(entry) = self.entries[index].as_mut() else { continue };
            if entry.bucket != bucket || entry.state.is_some() {
                continue;
            }
            match entry.asked {
                Asked::OnItsWay => {}
                Asked::NotBefore(when) if when > at.steady => later.push(index),
                Asked::No | Asked::NotBefore(_) => {
                    entry.asked = Asked::OnItsWay;
                    let (name, plan, known) = (entry.job.name.clone(), entry.job.plan, entry.known);
                    wanted.push(Wanted { name, plan, known });
                }
            }
        }
        self.buckets[usize::from(bucket)].unloaded = later;
        for wanted in wanted.chunks(BATCH) {
            out.push(Action::TakeOver { bucket, held: held.clone(), wanted: wanted.to_vec() });
        }
    }

    pub(super) fn leased(
        &mut self,
        at: Moment,
        bucket: u16,
        asked: Micros,
        held: Result<Option<Held>, ()>,
        out: &mut Vec<Action>,
    ) {
        let stopping = self.stopping;
        let here = &mut self.buckets[usize::from(bucket)];
        let asking = matches!(here.tenure, Tenure::Asking);
        match held {
            Ok(Some(held)) if asking && !stopping => {
                let fence = held.fence.0;
                here.tenure = Tenure::Held { held, until: asked + TERM - MARGIN };
                (here.inspected, here.inspect_at) = (false, 0);
                (here.leaving, here.free_since) = (false, None);
                here.unloaded.clone_from(&here.jobs);
                for index in here.jobs.clone() {
                    if let Some(entry) = self.entries[index].as_mut() {
                        entry.asked = Asked::No;
                        entry.job.made.tally.fence.store(fence, Relaxed);
                    }
                }
                self.chores_at = at.steady;
            }
            Ok(Some(held)) => out.push(Action::Release(held)),
            Ok(None) | Err(()) if asking => here.tenure = Tenure::None,
            Ok(None) | Err(()) => {}
        }
    }

    pub(super) fn renewed(&mut self, asked: Micros, answers: Result<Vec<(u16, Fence, bool)>, ()>) {
        self.renewing = false;
        let Ok(answers) = answers else {
            self.renew_at = asked + RENEW_AGAIN;
            return;
        };
        for (bucket, fence, held) in answers {
            let here = &mut self.buckets[usize::from(bucket)];
            match &mut here.tenure {
                Tenure::Held { held: there, until } if there.fence == fence => {
                    // One that is not held any more is over by now.
                    *until = if held { asked + TERM - MARGIN } else { 0 };
                }
                _ => {}
            }
        }
    }

    pub(super) fn taken_over(
        &mut self,
        at: Moment,
        (bucket, fence): (u16, Fence),
        wanted: Vec<(Name, Revision)>,
        states: Result<Option<Vec<JobState>>, ()>,
    ) {
        let here = &self.buckets[usize::from(bucket)];
        if here.holds(at.steady) != Some(fence) {
            return;
        }
        let inspected = here.inspected;
        let states: Vec<Option<JobState>> = match states {
            Ok(Some(states)) => states.into_iter().map(Some).collect(),
            Ok(None) => return self.lose(bucket, fence, at),
            Err(()) => vec![None; wanted.len()],
        };
        for ((name, plan), state) in wanted.into_iter().zip(states) {
            let Some(index) = self.entry_of(&name, plan) else { continue };
            let Some(entry) = self.entries[index].as_mut() else { continue };
            if let Some(state) = state.filter(|state| state.plan == plan) {
                (entry.asked, entry.state, entry.pending) = (Asked::No, Some(state), false);
                entry.job.made.tally.fence.store(fence.0, Relaxed);
                if inspected {
                    self.schedule(index, at);
                }
            } else {
                // No answer; or the store has a newer plan, of which this node will hear.
                entry.asked = Asked::NotBefore(at.steady + BEHIND);
                self.buckets[usize::from(bucket)].unloaded.push(index);
            }
        }
    }

    /// A lease is not held any more.
    pub(super) fn lose(&mut self, bucket: u16, fence: Fence, at: Moment) {
        let here = &mut self.buckets[usize::from(bucket)];
        match &here.tenure {
            Tenure::Held { held, .. } if held.fence == fence => {}
            _ => return,
        }
        here.tenure = Tenure::None;
        (here.inspected, here.leaving, here.foreign) = (false, false, false);
        here.free_since = Some(at.steady);
        here.try_at = at.steady;
        for index in here.jobs.clone() {
            self.unload(index);
            if let Some(entry) = self.entries[index].as_mut() {
                entry.foreign = 0;
                entry.job.made.tally.fence.store(0, Relaxed);
                entry.job.made.tally.next.store(0, Relaxed);
            }
        }
        self.buckets[usize::from(bucket)].unloaded.clear();
    }

    pub(super) fn release_all(&mut self, out: &mut Vec<Action>) {
        for here in &mut self.buckets {
            if let Tenure::Held { held, .. } = std::mem::take(&mut here.tenure) {
                out.push(Action::Release(held));
            }
        }
    }
}
