//! What the core wants done to the store, in the background, each with a deadline and an answer.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use config::lease::Held;
use config::slots::{Micros, Slots, Wanted, lease_of};
use config::{Leases, Membership, Name};
use sdk::task::Tasks;
use tokio::sync::mpsc;

use super::Scheduler;
use super::core::{Action, Event, Moment, TERM};
use super::owner::Seen;

/// How long something may take: longer than a store tries by itself.
const LIMIT: Duration = Duration::from_secs(6);

/// Waits for an answer, but not longer than `limit`.
pub(super) async fn within<T>(limit: Duration, work: impl Future<Output = T>) -> Option<T> {
    tokio::time::timeout(limit, work).await.ok()
}

/// The same for a store, whose errors are told to whoever reads the log.
async fn asked<T>(
    what: &'static str,
    work: impl Future<Output = Result<T, config::StoreError>>,
) -> Result<T, ()> {
    match within(LIMIT, work).await {
        Some(Ok(answer)) => Ok(answer),
        Some(Err(error)) => {
            tracing::debug!(%error, what, "the store of jobs has not done it");
            Err(())
        }
        None => Err(()),
    }
}

/// See the module.
pub(super) struct Deeds {
    slots: Arc<dyn Slots>,
    leases: Arc<dyn Leases>,
    members: Option<Arc<dyn Membership>>,
    tasks: Tasks,
    node: Name,
    owner: String,
    pub(super) tell: mpsc::Sender<Event>,
    /// The owners that are there; none if nobody knows.
    pub(super) owners: Option<BTreeSet<String>>,
}

impl Deeds {
    pub(super) fn new(scheduler: &Scheduler, owner: String, tell: mpsc::Sender<Event>) -> Self {
        let with = &scheduler.with;
        let (slots, leases) = (with.slots.clone(), with.leases.clone());
        let (members, tasks) = (with.members.clone(), with.tasks.clone());
        let node = with.node.clone();
        Self { slots, leases, members, tasks, node, owner, tell, owners: None }
    }

    fn answer(&self, name: &'static str, work: impl Future<Output = Event> + Send + 'static) {
        let tell = self.tell.clone();
        self.tasks.spawn(name, async move {
            let event = work.await;
            // Nobody listens any more only if the node stops.
            drop(tell.send(event).await);
        });
    }

    /// Does it.
    pub(super) fn perform(&self, action: Action, at: Moment) {
        let (slots, leases) = (self.slots.clone(), self.leases.clone());
        let (owner, asked_at) = (self.owner.clone(), at.steady);
        match action {
            Action::Lease { bucket } => self.answer("job-lease", async move {
                let held = asked("lease", leases.lease(&lease_of(bucket), &owner, term())).await;
                Event::Leased { bucket, asked: asked_at, held }
            }),
            Action::Renew(held) => self.answer("job-renew", async move {
                let (buckets, held): (Vec<u16>, Vec<Held>) = held.into_iter().unzip();
                let answers = asked("renew", leases.renew(&held, term())).await;
                let answers = answers.map(|answers| {
                    let each = buckets.into_iter().zip(held).zip(answers);
                    each.map(|((bucket, held), still)| (bucket, held.fence, still)).collect()
                });
                Event::Renewed { asked: asked_at, answers }
            }),
            Action::Release(held) => self.tasks.spawn("job-release", async move {
                let _ = asked("release", leases.release(&held)).await; // it ends by itself
            }),
            Action::TakeOver { bucket, held, wanted } => self.answer("job-take-over", async move {
                let states = asked("take over", slots.take_over(&held, &wanted)).await;
                let pair = |wanted: Wanted| (wanted.name, wanted.plan);
                let wanted = wanted.into_iter().map(pair).collect();
                Event::TakenOver { bucket, fence: held.fence, wanted, states }
            }),
            Action::Inspect { bucket, fence } => {
                let owners = self.owners.clone();
                self.answer("job-inspect", async move {
                    let runs = asked("inspect", slots.under_way(bucket)).await;
                    // Of an earlier life of this very process nobody will tell anything.
                    let there = |node: &String| {
                        process_of(node) != process_of(&owner)
                            && owners.as_ref().is_none_or(|owners| owners.contains(process_of(node)))
                    };
                    let runs = runs.map(|runs| {
                        let each = runs.into_iter().map(|(name, record)| {
                            let alive = there(&record.node);
                            (name, record, alive)
                        });
                        each.collect()
                    });
                    Event::UnderWay { bucket, fence, runs }
                });
            }
            Action::List { bucket } => self.answer("job-list", async move {
                Event::Known { bucket, names: asked("list", slots.known(bucket)).await }
            }),
            Action::Claim { number, claims } => self.answer("job-claim", async move {
                let answers = asked("claim", slots.claim(&owner, &claims)).await;
                Event::Claimed { number, answers }
            }),
            Action::End { number, endings } => self.answer("job-end", async move {
                let done = asked("end", slots.end(&endings)).await.is_ok();
                Event::Written { number, done }
            }),
            Action::Forget { bucket, names } => self.tasks.spawn("job-forget", async move {
                let _ = asked("forget", slots.forget(bucket, &names)).await; // what is left does no harm
            }),
            Action::Run(_) | Action::Cancel { .. } => {}
        }
    }

    /// Asks what time it is, and who is there.
    pub(super) fn look(&self, asked_at: Micros, tell: mpsc::Sender<Seen>) {
        let (slots, members) = (self.slots.clone(), self.members.clone());
        let (node, own) = (self.node.clone(), self.owner.clone());
        self.tasks.spawn("job-look", async move {
            let look = asked("look", slots.look()).await.ok();
            let owners = match members {
                Some(members) => asked("members", members.members()).await.ok().map(|members| {
                    let alive = members.into_iter().filter(|member| member.alive).map(|m| m.record);
                    alive.map(|r| (r.node.clone(), format!("{}#{}", r.node, r.incarnation))).collect()
                }),
                None => Some(std::iter::once((node, own)).collect()),
            };
            drop(tell.send(Seen { asked: asked_at, look, owners }).await);
        });
    }
}

/// The process that this owner is, or was a life of: what is behind the number of its start.
fn process_of(owner: &str) -> &str {
    let number = owner.rfind('#').unwrap_or(0);
    owner[number..].find('.').map_or(owner, |dot| &owner[..number + dot])
}

fn term() -> Duration {
    Duration::from_micros(TERM.unsigned_abs())
}
