//! Receipts: which revision each node serves, with which faults, so that a writer can wait until all of them do.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use config::members::{Membership, Report};
use config::{Fault, Name, Revision};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};

/// What a node says about itself after each change.
#[derive(Clone, Debug)]
pub struct Served {
    /// The revision that its requests see.
    pub revision: Revision,
    /// Since when.
    pub at: Instant,
    /// What is wrong there.
    pub faults: Vec<Fault>,
    /// Why this node cannot be spoken to, if it cannot.
    pub trouble: Option<String>,
}

/// One node's part of a receipt.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct NodeReceipt {
    /// The node.
    pub node: Name,
    /// The revision that its requests see.
    pub revision: Revision,
    /// How long after the commit it served the change, in milliseconds; none while it does not yet.
    pub ms: Option<f64>,
    /// What is wrong there.
    pub faults: Vec<Fault>,
    /// Why it lags, as far as that is known; none if it does not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lag: Option<String>,
}

/// The answer to "did my change reach every node?".
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Receipt {
    /// The revision asked about.
    pub revision: Revision,
    /// Each live node.
    pub nodes: Vec<NodeReceipt>,
    /// Whether all of them serve it.
    pub settled: bool,
}

/// What the nodes have said last.
pub struct Board {
    said: watch::Sender<BTreeMap<Name, Served>>,
    faults: Mutex<BTreeMap<Name, Faults>>,
    /// Who is asked which nodes there are, and the name of this one.
    others: OnceLock<(Name, Arc<dyn Membership>)>,
}

/// What is wrong on a node.
#[derive(Debug, Default)]
struct Faults {
    /// With definitions that are wanted.
    wanted: Vec<Fault>,
    /// With what was not taken.
    aside: Vec<Fault>,
}

/// How long the membership may take to say who is there, when nobody gave it longer.
const LAST_LOOK: Duration = Duration::from_millis(250);

impl Default for Board {
    fn default() -> Self {
        let said = watch::Sender::new(BTreeMap::new());
        Self { said, faults: Mutex::default(), others: OnceLock::new() }
    }
}

impl std::fmt::Debug for Board {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Board").field(&*self.said.borrow()).finish()
    }
}

impl Board {
    /// From now on, who is there is asked of `membership` before a receipt says that all of them serve something: a
    /// node that has joined a moment ago may not have been heard of here. `me` is this node.
    pub fn ask(&self, me: Name, membership: Arc<dyn Membership>) {
        drop(self.others.set((me, membership)));
    }

    /// A node says what it serves. Saying the same revision again keeps the time.
    pub fn publish(&self, node: &Name, revision: Revision, faults: Vec<Fault>) {
        let faults = self.all_faults(node, |all| all.wanted = faults);
        self.said.send_modify(|board| {
            let before = board.get(node).filter(|served| served.revision == revision);
            let at = before.map_or_else(Instant::now, |served| served.at);
            let trouble = board.get(node).and_then(|served| served.trouble.clone());
            board.insert(node.clone(), Served { revision, at, faults, trouble });
        });
    }

    /// A node says what is wrong with something that it was to take and did not, in the place of what it said before.
    pub fn aside(&self, node: &Name, faults: Vec<Fault>) {
        let faults = self.all_faults(node, |all| all.aside = faults);
        self.said.send_if_modified(|board| match board.get_mut(node) {
            Some(served) if served.faults != faults => {
                served.faults = faults;
                true
            }
            _ => false,
        });
    }

    fn all_faults(&self, node: &Name, change: impl FnOnce(&mut Faults)) -> Vec<Fault> {
        let mut faults = self.faults.lock().unwrap_or_else(PoisonError::into_inner);
        let of_node = faults.entry(node.clone()).or_default();
        change(of_node);
        of_node.wanted.iter().chain(&of_node.aside).cloned().collect()
    }

    /// Why a node cannot be spoken to, if it cannot.
    pub fn trouble(&self, node: &Name, trouble: Option<String>) {
        self.said.send_if_modified(|board| match board.get_mut(node) {
            Some(served) if served.trouble != trouble => {
                served.trouble = trouble;
                true
            }
            _ => false,
        });
    }

    /// Forgets the nodes that are gone.
    pub fn keep(&self, is_here: impl Fn(&Name) -> bool) {
        self.faults.lock().unwrap_or_else(PoisonError::into_inner).retain(|node, _| is_here(node));
        self.said.send_if_modified(|board| {
            let before = board.len();
            board.retain(|node, _| is_here(node));
            board.len() != before
        });
    }

    /// What a node has said last.
    pub fn served(&self, node: &Name) -> Option<Served> {
        self.said.borrow().get(node).cloned()
    }

    /// The newest revision that some node serves.
    pub fn newest(&self) -> Revision {
        self.said.borrow().values().map(|served| served.revision).max().unwrap_or_default()
    }

    /// What the nodes have said last, and a way to wait until one of them says something else.
    pub fn watch(&self) -> watch::Receiver<BTreeMap<Name, Served>> {
        self.said.subscribe()
    }

    /// Waits until every node serves `revision`, but not longer than `limit`; latencies count from `committed`.
    pub async fn settled(&self, revision: Revision, committed: Instant, limit: Duration) -> Receipt {
        let end = Instant::now() + limit;
        let mut board = self.said.subscribe();
        let all = |board: &BTreeMap<Name, Served>| {
            !board.is_empty() && board.values().all(|served| served.revision >= revision)
        };
        // Too late or not: the receipt says who lags.
        while timeout_at(end, board.wait_for(all)).await.is_ok_and(|found| found.is_ok()) {
            let last = end.max(Instant::now() + LAST_LOOK);
            match timeout_at(last, self.look_for_others(revision)).await {
                Ok(true) => {} // it is on the board by now, and waited for like every other
                Ok(false) | Err(_) => break,
            }
        }
        let board = board.borrow();
        let receipt = |(node, served): (&Name, &Served)| {
            let there = served.revision >= revision;
            let why = || match &served.trouble {
                Some(trouble) => format!("it cannot be reached: {trouble}"),
                None => "it has not said that it serves this revision".into(),
            };
            NodeReceipt {
                node: node.clone(),
                revision: served.revision,
                ms: there.then(|| served.at.saturating_duration_since(committed).as_secs_f64() * 1000.0),
                faults: served.faults.clone(),
                lag: (!there).then(why),
            }
        };
        Receipt { revision, nodes: board.iter().map(receipt).collect(), settled: all(&board) }
    }
}

impl Board {
    /// Puts nodes on the board that are there and, by what they say, do not serve `revision` yet; whether there are any.
    async fn look_for_others(&self, revision: Revision) -> bool {
        let Some((me, membership)) = self.others.get() else { return false };
        let (Ok(members), Ok(reports)) = (membership.members().await, membership.reports().await) else {
            return false; // Redis is away: what is known has to do
        };
        let mut late = false;
        for record in members.into_iter().filter(|member| member.alive).map(|member| member.record) {
            let said =
                |report: &&Report| report.node == record.node && report.incarnation >= record.incarnation;
            let report = reports.iter().map(|reported| &reported.report).find(said);
            let (newest, faults) = match report {
                Some(report) => (report.revision.max(record.revision), report.faults.clone()),
                None => (record.revision, Vec::new()),
            };
            let is_new = self.served(&record.node).is_none();
            if record.node != *me && (is_new || newest < revision) {
                self.publish(&record.node, newest, faults);
                late |= newest < revision;
            }
        }
        late
    }
}

#[cfg(test)]
mod tests {
    use config::Clock;
    use config::members::{Load, Memory, NodeRecord};
    use config::store::memory::Memory as MemoryStore;

    use super::*;

    #[test]
    fn what_was_not_taken_is_told_beside_what_does_not_run() {
        let board = Board::default();
        let node: Name = "a".parse().expect("a name");
        let told = || -> Vec<String> {
            board.served(&node).into_iter().flat_map(|served| served.faults).map(|fault| fault.at).collect()
        };
        board.aside(&node, vec![Fault::new("file", "")]);
        assert_eq!(told(), Vec::<String>::new());
        board.publish(&node, Revision(1), vec![Fault::new("channel/x", "")]);
        assert_eq!(told(), ["channel/x", "file"]);
        board.publish(&node, Revision(2), vec![]);
        assert_eq!(told(), ["file"]);
        board.aside(&node, vec![]);
        assert_eq!((told(), board.served(&node).map(|served| served.revision)), (vec![], Some(Revision(2))));
    }

    #[tokio::test]
    async fn a_receipt_knows_of_the_node_that_has_just_joined() {
        let [a, b]: [Name; 2] = ["a", "b"].map(|name| name.parse().expect("a name"));
        let membership = Arc::new(Memory::new(Clock::System, Arc::new(MemoryStore::new(Clock::System))));
        let record = NodeRecord {
            node: b.clone(),
            incarnation: 1,
            address: None,
            version: "1".into(),
            revision: Revision(6),
            load: Load::default(),
        };
        membership.heartbeat(&record, Duration::from_secs(60)).await.expect("ok");
        let board = Board::default();
        board.ask(a.clone(), membership.clone());
        board.publish(&a, Revision(7), vec![]);
        let late = board.settled(Revision(7), Instant::now(), Duration::from_millis(5)).await;
        assert!(!late.settled && late.nodes.len() == 2, "{late:?}");
        assert_eq!((&late.nodes[1].node, late.nodes[1].revision), (&b, Revision(6)));
        // What it reports counts, though no pulse has brought it here.
        let report = Report { node: b, incarnation: 1, revision: Revision(7), faults: Vec::new() };
        membership.report(&report).await.expect("ok");
        let board = Board::default();
        board.ask(a.clone(), membership);
        board.publish(&a, Revision(7), vec![]);
        let receipt = board.settled(Revision(7), Instant::now(), Duration::from_secs(10)).await;
        assert!(receipt.settled && receipt.nodes.len() == 2, "{receipt:?}");
    }

    #[tokio::test]
    async fn a_receipt_waits_for_every_node_and_names_the_one_that_lags() {
        let board = Board::default();
        let [a, b]: [Name; 2] = ["a", "b"].map(|n| n.parse().expect("a name"));
        board.publish(&a, Revision(7), vec![]);
        board.publish(&b, Revision(6), vec![Fault::new("channel/x", "does not start")]);
        let late = board.settled(Revision(7), Instant::now(), Duration::from_millis(5)).await;
        assert!(!late.settled);
        assert_eq!((late.nodes[1].ms, late.nodes[1].faults.len()), (None, 1));
        let (receipt, ()) =
            tokio::join!(board.settled(Revision(7), Instant::now(), Duration::from_secs(10)), async {
                board.publish(&b, Revision(8), vec![]);
            });
        assert!(receipt.settled && receipt.nodes.iter().all(|n| n.ms.is_some()));
    }
}
