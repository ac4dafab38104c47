//! The pulse of a node: it keeps this node known to the others, and the others known to this one.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use config::members::{Heard, Load, Membership, NodeRecord, Report, Reported, Round};
use config::{Fault, Name, Revision, Store, StoreError};
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior};

use crate::link::{Incarnation, Links, Member};
use crate::receipt::{Board, Served};

/// How often a node says that it is there.
const BEAT: Duration = Duration::from_secs(1);
/// How long after the last beat a node is taken for gone.
pub const GONE_AFTER: Duration = Duration::from_secs(5);
/// How long requests may see an older revision than the store holds before the node is taken to have lost the thread.
const LAG: Duration = Duration::from_secs(3);

/// The nodes that were there at the last look, each with the number of its process's start.
type Known = BTreeMap<Name, u64>;

/// What a node is made of, as far as its pulse is concerned.
pub struct Pulse {
    /// Its name.
    pub node: Name,
    /// The number of this start of its process.
    pub incarnation: u64,
    /// Where other nodes reach it, if they do.
    pub address: Option<String>,
    /// The version of the program.
    pub version: String,
    /// How nodes know of each other.
    pub membership: Arc<dyn Membership>,
    /// Where the truth is.
    pub store: Arc<dyn Store>,
    /// What all nodes serve, as far as this one knows.
    pub board: Arc<Board>,
    /// The links to the others, if there are any.
    pub links: Option<Arc<dyn Links>>,
    /// How busy the node is.
    pub load: Box<dyn Fn() -> Load + Send + Sync>,
    /// Tells the other nodes that there may be news: a hint.
    pub nudge: Box<dyn Fn(Revision) + Send + Sync>,
    /// Called when the node has lost the thread: it is to look at everything anew.
    pub resync: Box<dyn Fn() + Send + Sync>,
}

/// How the pulse is, for the status.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Beat {
    /// Why the others do not hear this node, if they do not.
    pub trouble: Option<String>,
    /// Whether a process that was started later has taken this node's name.
    pub replaced: bool,
    /// How often the node had lost the thread.
    pub resyncs: u64,
}

impl Pulse {
    /// Beats until this is dropped, and says how it goes.
    pub async fn run(self, told: watch::Sender<Beat>) {
        let mut own = self.board.watch();
        let mut reported = self.membership.reported();
        let mut tick = tokio::time::interval(BEAT);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut said: Option<(Revision, Vec<Fault>)> = None;
        let mut behind_since: Option<Instant> = None;
        let mut known = Known::new();
        // Since when the members have been answered without an interruption.
        let mut answered: Option<Instant> = None;
        loop {
            let outcome = tokio::select! {
                biased; // the same order always, so that a simulation can be repeated
                _ = tick.tick() => {
                    self.look_behind(&mut behind_since, &told);
                    let since = answered.unwrap_or_else(Instant::now);
                    let outcome = self.beat(&mut known, since.elapsed() > GONE_AFTER).await;
                    answered = outcome.is_ok().then_some(since);
                    outcome
                }
                Ok(()) = own.changed() => Ok(Heard::Yes),
                Ok(()) = reported.changed() => self.listen(&known).await.map(|()| Heard::Yes),
            };
            let outcome = match outcome {
                Ok(Heard::Yes) => self.say(&mut said).await,
                other => other,
            };
            told.send_if_modified(|beat| {
                let before = beat.clone();
                match outcome {
                    Ok(Heard::Yes) => beat.trouble = None,
                    Ok(Heard::Replaced) => {
                        beat.replaced = true;
                        beat.trouble = Some(format!("another process has taken the name {}", self.node));
                    }
                    Err(error) => beat.trouble = Some(error.to_string()),
                }
                if beat.trouble != before.trouble {
                    match &beat.trouble {
                        Some(trouble) => tracing::warn!(%trouble, "the other nodes do not hear this one"),
                        None => tracing::info!("the other nodes hear this one"),
                    }
                }
                *beat != before
            });
        }
    }

    /// Says goodbye, so that nobody waits for this node.
    pub async fn leave(membership: &dyn Membership, node: &Name, incarnation: u64) {
        if let Err(error) = membership.leave(node, incarnation).await {
            tracing::debug!(%error, "no goodbye; the others will notice by themselves");
        }
    }

    /// Says that this node is there, and looks who else is. Nodes are forgotten only if there has been an answer for as
    /// long as they have been silent: after an outage all of them have been, and each comes back in its own time.
    async fn beat(&self, known: &mut Known, forget: bool) -> Result<Heard, StoreError> {
        let record = NodeRecord {
            node: self.node.clone(),
            incarnation: self.incarnation,
            address: self.address.clone(),
            version: self.version.clone(),
            revision: self.board.served(&self.node).map_or(Revision::ZERO, |served| served.revision),
            load: (self.load)(),
        };
        let Round { heard, members, reports } = self.membership.round(&record, GONE_AFTER).await?;
        if heard == Heard::Replaced {
            return Ok(heard);
        }
        let alive: Vec<&NodeRecord> = members.iter().filter(|m| m.alive).map(|m| &m.record).collect();
        let is_alive = |node: &Name| alive.iter().any(|record| record.node == *node);
        if forget {
            self.board.keep(|node| *node == self.node || is_alive(node));
            known.retain(|node, _| is_alive(node));
        }
        for record in &alive {
            // Its report may not have come yet, or be that of the process before it, which may have served more; until
            // it comes the beat says it, if a little late.
            let before = known.insert(record.node.clone(), record.incarnation);
            if record.node != self.node && before != Some(record.incarnation) {
                self.board.publish(&record.node, record.revision, Vec::new());
            }
        }
        if let Some(links) = &self.links
            && known.keys().all(is_alive)
        {
            let member = |record: &&NodeRecord| {
                let address = record.address.clone()?;
                let incarnation = Incarnation(record.incarnation);
                Some(Member { node: record.node.clone(), incarnation, address })
            };
            links.set_members(alive.iter().filter_map(member).collect());
            for peer in links.peers() {
                self.board.trouble(&peer.node, peer.trouble.filter(|_| !peer.up));
            }
        }
        self.hear(known, reports);
        Ok(Heard::Yes)
    }

    /// Hears what the other nodes serve.
    async fn listen(&self, known: &Known) -> Result<(), StoreError> {
        self.hear(known, self.membership.reports().await?);
        Ok(())
    }

    fn hear(&self, known: &Known, reports: Vec<Reported>) {
        for reported in reports {
            let Report { node, incarnation, revision, faults } = reported.report;
            if node != self.node && known.get(&node).is_some_and(|known| *known <= incarnation) {
                self.board.publish(&node, revision, faults);
            }
        }
    }

    /// Tells the others what this node serves, if that is news.
    async fn say(&self, said: &mut Option<(Revision, Vec<Fault>)>) -> Result<Heard, StoreError> {
        let Some(Served { revision, faults, .. }) = self.board.served(&self.node) else {
            return Ok(Heard::Yes);
        };
        let news = (revision, faults);
        if said.as_ref() == Some(&news) {
            return Ok(Heard::Yes);
        }
        let (node, incarnation) = (self.node.clone(), self.incarnation);
        let report = Report { node, incarnation, revision: news.0, faults: news.1.clone() };
        // A report whose answer is lost may have been heard: until one is answered, what the others see is not known.
        if said.take().is_none_or(|(before, _)| before < news.0) {
            (self.nudge)(news.0);
        }
        let heard = self.membership.report(&report).await?;
        *said = Some(news);
        Ok(heard)
    }

    /// Whether requests have been seeing too old a revision for too long: then everything is looked at anew.
    fn look_behind(&self, since: &mut Option<Instant>, told: &watch::Sender<Beat>) {
        let mine = self.board.served(&self.node).map_or(Revision::ZERO, |served| served.revision);
        let newest = self.board.newest().max(self.store.health().revision);
        if mine >= newest {
            *since = None;
            return;
        }
        let begun = *since.get_or_insert_with(Instant::now);
        if begun.elapsed() > LAG {
            tracing::error!(served = %mine, %newest, "this node has fallen behind; it looks at everything anew");
            told.send_modify(|beat| beat.resyncs += 1);
            (self.resync)();
            *since = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use config::Clock;
    use config::members::Memory;
    use config::store::memory::Memory as MemoryStore;

    use super::*;

    #[tokio::test]
    async fn a_report_of_the_process_before_says_nothing_of_the_one_that_runs() {
        let [a, b]: [Name; 2] = ["a", "b"].map(|name| name.parse().expect("a name"));
        let store = Arc::new(MemoryStore::new(Clock::System));
        let membership = Arc::new(Memory::new(Clock::System, store.clone()));
        let record = |incarnation, revision| NodeRecord {
            node: b.clone(),
            incarnation,
            address: None,
            version: "1".into(),
            revision: Revision(revision),
            load: Load::default(),
        };
        let report = Report { node: b.clone(), incarnation: 1, revision: Revision(7), faults: Vec::new() };
        membership.heartbeat(&record(1, 7), GONE_AFTER).await.expect("ok");
        membership.report(&report).await.expect("ok");
        // Killed, and started again from what it had on its disk.
        membership.heartbeat(&record(2, 5), GONE_AFTER).await.expect("ok");
        let board = Arc::<Board>::default();
        board.publish(&a, Revision(7), Vec::new());
        let (told, mut beat) = watch::channel(Beat { trouble: Some("not yet".into()), ..Beat::default() });
        let pulse = Pulse {
            node: a,
            incarnation: 3,
            address: None,
            version: "1".into(),
            membership,
            store,
            board: board.clone(),
            links: None,
            load: Box::new(Load::default),
            nudge: Box::new(|_| {}),
            resync: Box::new(|| {}),
        };
        let beating = tokio::spawn(pulse.run(told));
        beat.wait_for(|beat| beat.trouble.is_none()).await.expect("it beats");
        assert_eq!(board.served(&b).expect("it is there").revision, Revision(5));
        beating.abort();
    }
}
