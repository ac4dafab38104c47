//! The way from one node to the truth and to the other nodes: it hangs, fails, is late, and answers with errors what
//! has happened all the same.

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use async_trait::async_trait;
use config::members::{Heard, Member, Membership, NodeRecord, Report, Reported, Round};
use config::store::{Change, CommitError, Entry, Health, Note, Store, StoreError};
use config::{Catalog, Name, Revision};
use tokio::sync::watch;

use super::node::Life;

fn unavailable(why: &str) -> StoreError {
    StoreError::Unavailable(why.into())
}

impl Life {
    /// Waits while this node is held up, and then fails if the dice say so.
    async fn reach(&self) -> Result<(), StoreError> {
        self.held.free().await;
        if self.world.chance(0.1) {
            tokio::time::sleep(self.world.span(4)).await;
        }
        self.world.tell_time();
        if self.world.chance(self.world.weather().refused) {
            self.world.facts().sums.refused += 1;
            return Err(unavailable("out of reach"));
        }
        Ok(())
    }

    /// It has happened; whether whoever asked for it gets to know is for the dice.
    fn answer(&self) -> Result<(), StoreError> {
        if self.world.chance(self.world.weather().unanswered) {
            self.world.facts().sums.unanswered += 1;
            return Err(unavailable("no answer in time"));
        }
        Ok(())
    }

    /// It has been told who is there.
    fn knows(&self, members: &[Member]) {
        let alive = members.iter().filter(|member| member.alive);
        *self.known.lock().expect("one thread") =
            alive.map(|member| (member.record.node.clone(), member.record.incarnation)).collect();
    }

    /// Sees what the truth is now.
    pub fn look(&self, catalog: Arc<Catalog>) {
        let mut view = self.view.lock().expect("one thread");
        if catalog.revision > view.revision {
            self.world.note(format_args!("{} sees {}", self.node, catalog.revision));
            *view = catalog;
        }
    }

    /// A hint goes out: once, twice or not at all.
    fn hint(&self, send: impl Fn()) {
        let weather = self.world.weather();
        if self.world.chance(weather.lost) {
            self.world.facts().sums.hints_lost += 1;
            return;
        }
        send();
        if self.world.chance(weather.doubled) {
            send();
        }
    }

    /// Follows the truth for as long as the node lives: soon after a hint, and after a second in any case.
    pub async fn follow(self: Arc<Self>) {
        loop {
            let hinted = tokio::select! {
                biased;
                () = self.news.notified() => true,
                () = tokio::time::sleep(Duration::from_secs(1)) => false,
            };
            let weather = self.world.weather();
            if hinted && self.world.chance(weather.lost) {
                self.world.facts().sums.hints_lost += 1;
                continue;
            }
            if weather.late > 0 {
                tokio::time::sleep(self.world.span(weather.late)).await;
            }
            if self.reach().await.is_ok() {
                let before = self.view.lock().expect("one thread").revision;
                let truth = self.world.truth.load().await.expect("it is in memory");
                self.look(truth);
                let now = self.view.lock().expect("one thread").revision;
                if now > before {
                    self.hint(|| {
                        self.nudged.send_replace(now);
                    });
                }
            }
        }
    }

    /// Passes on that somebody has reported.
    pub async fn overhear(self: Arc<Self>) {
        loop {
            self.gossip.notified().await;
            let late = self.world.weather().late;
            if late > 0 {
                tokio::time::sleep(self.world.span(late)).await;
            }
            self.hint(|| self.reported.send_modify(|count| *count += 1));
        }
    }
}

/// Nobody logs in here; but every part that starts is given them, and they take room for many.
static SESSIONS: LazyLock<Arc<config::sessions::Memory>> =
    LazyLock::new(|| Arc::new(config::sessions::Memory::new(config::Clock::System)));

/// See the module: what the node takes for its store.
pub struct FlakyStore(pub Arc<Life>);

#[async_trait]
impl Store for FlakyStore {
    async fn load(&self) -> Result<Arc<Catalog>, StoreError> {
        self.0.inspect();
        self.0.reach().await?;
        Ok(self.0.view.lock().expect("one thread").clone())
    }

    async fn commit(
        &self,
        expect: Revision,
        change: Change,
        note: Note,
    ) -> Result<Arc<Catalog>, CommitError> {
        self.0.reach().await?;
        let world = &self.0.world;
        let tag = note.author.clone();
        let outcome = world.truth.commit(expect, change, note).await;
        world.note(format_args!("{} commits {tag} upon {expect}: {}", self.0.node, outcome.is_ok()));
        let after = outcome?;
        world.facts().catalogs.insert(after.revision, after.clone());
        world.lives().values().for_each(|life| life.news.notify_one());
        self.0.answer()?;
        self.0.look(after.clone());
        self.0.hint(|| {
            self.0.nudged.send_replace(after.revision);
        });
        Ok(after)
    }

    async fn history(&self, before: Option<Revision>, limit: usize) -> Result<Vec<Entry>, StoreError> {
        self.0.reach().await?;
        self.0.world.truth.history(before, limit).await
    }

    fn nudges(&self) -> watch::Receiver<Revision> {
        self.0.nudged.subscribe()
    }

    fn describe(&self) -> String {
        "simulated".into()
    }

    fn journal(&self) -> Arc<dyn config::Journal> {
        Arc::new(config::journal::Memory::new(config::Clock::System)) // nobody reads it here
    }

    fn sessions(&self) -> Arc<dyn config::Sessions> {
        SESSIONS.clone()
    }

    fn health(&self) -> Health {
        Health::at_hand(self.0.view.lock().expect("one thread").revision)
    }
}

/// See the module: what the node takes for its membership.
pub struct FlakyMembers(pub Arc<Life>);

#[async_trait]
impl Membership for FlakyMembers {
    async fn incarnation(&self) -> Result<u64, StoreError> {
        self.0.reach().await?;
        self.0.world.members.incarnation().await
    }

    async fn heartbeat(&self, record: &NodeRecord, ttl: Duration) -> Result<Heard, StoreError> {
        self.0.reach().await?;
        let heard = self.0.world.members.heartbeat(record, ttl).await?;
        self.0.answer()?;
        Ok(heard)
    }

    async fn leave(&self, node: &Name, incarnation: u64) -> Result<(), StoreError> {
        self.0.reach().await?;
        self.0.world.members.leave(node, incarnation).await
    }

    async fn members(&self) -> Result<Vec<Member>, StoreError> {
        self.0.reach().await?;
        let members = self.0.world.members.members().await?;
        self.0.answer()?;
        self.0.knows(&members);
        Ok(members)
    }

    async fn round(&self, record: &NodeRecord, ttl: Duration) -> Result<Round, StoreError> {
        // One command, as to Redis: it gets through as a whole, or not.
        self.0.reach().await?;
        let round = self.0.world.members.round(record, ttl).await?;
        self.0.answer()?;
        if round.heard == Heard::Yes {
            self.0.knows(&round.members);
        }
        Ok(round)
    }

    async fn report(&self, report: &Report) -> Result<Heard, StoreError> {
        self.0.reach().await?;
        let heard = self.0.world.members.report(report).await?;
        self.0.world.lives().values().for_each(|life| life.gossip.notify_one());
        let Report { node, revision, faults, .. } = report;
        self.0.world.note(format_args!("{node} reports {revision} with {} faults", faults.len()));
        self.0.answer()?;
        Ok(heard)
    }

    async fn reports(&self) -> Result<Vec<Reported>, StoreError> {
        self.0.reach().await?;
        self.0.world.members.reports().await
    }

    fn reported(&self) -> watch::Receiver<u64> {
        self.0.reported.subscribe()
    }
}
