//! The store of a cluster: Redis holds the truth, and every node a replica that follows it within milliseconds.
//!
//! A commit is one script (`scripts.rs`): it compares the revision, appends to a stream whose ids are revisions, and
//! writes the definitions. Each node waits at the end of that stream (`follower.rs`), so that news arrives by itself,
//! in order and once, and after an interruption goes on where it was. What has come is also written to the node's disk
//! (`last_good.rs`): with Redis away, a node serves from there, starts from there, and takes no changes.
//!
//! A node never takes nothing for something: a Redis that came back empty or holds a stranger's history is not
//! followed (`lineage.rs`). The node serves what it has, says so, and refuses changes until Redis has its data again,
//! or an operator decides: [`Redis::restore`] writes back what this node holds, [`Redis::accept`] takes what is there.
//!
//! Replication of Redis is asynchronous: a fail-over may lose the last commits. That is found and told, not prevented.
//!
//! An ACL user needs no more than this, `zeugma` being the name of the cluster:
//! `ACL SETUSER app on >password ~{zeugma:zeugma}:* -@all +@connection +@read +@write +@scripting +@transaction +time +role`

mod budgets;
mod cache;
mod commit;
mod follower;
mod import;
mod journal;
mod keys;
mod last_good;
mod lease;
mod lineage;
mod link;
mod log;
mod members;
mod replica;
mod scripts;
mod sessions;
mod slots;

#[cfg(test)]
mod tests;

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use redis::aio::MultiplexedConnection as Connection;
use tokio::sync::{Notify, broadcast, watch};

use self::journal::RedisJournal;
use self::keys::Keys;
use self::last_good::LastGood;
use self::link::{Failure, Link};
use self::replica::{Held, Replica};
use self::sessions::RedisSessions;
use super::{Change, CommitError, Entry, HISTORY_LIMIT, Health, Note, State, Store, StoreError};
use crate::catalog::Catalog;
use crate::clock::Clock;
use crate::journal::Journal;
use crate::name::{Name, Revision};
use crate::sessions::{PUSHES, Sessions};
use crate::settings::StoreUrl;

/// How long a start waits for Redis before it goes on from what is on disk; or, if there is nothing, gives up.
const PATIENCE: (Duration, Duration) = (Duration::from_secs(5), Duration::from_secs(35));

/// A node's access to the store of its cluster.
pub struct Redis {
    inner: Arc<Inner>,
    /// They end with this value.
    _tasks: [Task; 2],
}

impl std::fmt::Debug for Redis {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Redis").field("at", &self.inner.name).field("health", &self.health()).finish()
    }
}

struct Inner {
    name: String,
    link: Link,
    keys: Keys,
    clock: Clock,
    /// How many revisions the history keeps.
    keep: u64,
    replica: Replica,
    last_good: LastGood,
    saved: watch::Sender<Option<Revision>>,
    state: watch::Sender<State>,
    /// The connection that everything but the follower shares, and its number; none if it has broken.
    shared: tokio::sync::Mutex<Option<(u64, Connection)>>,
    dialed: AtomicU64,
    alarms: Mutex<(u64, Option<String>)>,
    resyncs: AtomicU64,
    /// Why Redis may lose what it has confirmed, if it may.
    risk: watch::Sender<Option<String>>,
    /// Tells the follower to look again now: something is wrong with its server, or an operator has decided.
    look: Notify,
    /// Counts the receipts that have come in, of any node.
    receipts: watch::Sender<u64>,
    /// The sessions that were ended, by any node.
    closed: broadcast::Sender<Arc<str>>,
}

impl Redis {
    /// Joins the cluster of this name. `folder` is the node's data folder. With Redis away, it begins with what this
    /// node has seen last.
    ///
    /// # Errors
    /// If the URL is not one of Redis, a file cannot be read, the login is refused, or Redis is away and this node has
    /// nothing to begin with.
    pub async fn open(
        url: &StoreUrl,
        cluster: &Name,
        folder: &Path,
        clock: Clock,
    ) -> Result<Self, StoreError> {
        Self::open_with(url, cluster, folder, clock, HISTORY_LIMIT).await
    }

    /// The same, with a history that keeps `keep` revisions.
    async fn open_with(
        url: &StoreUrl,
        cluster: &Name,
        folder: &Path,
        clock: Clock,
        keep: u64,
    ) -> Result<Self, StoreError> {
        let address = url.redis().ok_or_else(|| StoreError::Unavailable(format!("{url} is no Redis")))?;
        let last_good = LastGood::new(folder, cluster)?;
        let held = last_good.read()?;
        let known = held.is_some();
        let held = held.unwrap_or_default();
        let saved = known.then_some(held.catalog.revision);
        let started = State::Away { since: clock.now(), error: "no answer yet".into() };
        let inner = Arc::new(Inner {
            name: format!("{url} (cluster {cluster})"),
            link: Link::new(address)?,
            keys: Keys::new(cluster),
            clock,
            keep,
            replica: Replica::new(held),
            last_good,
            saved: watch::Sender::new(saved),
            state: watch::Sender::new(started),
            shared: tokio::sync::Mutex::new(None),
            dialed: AtomicU64::new(0),
            alarms: Mutex::default(),
            resyncs: AtomicU64::new(0),
            risk: watch::Sender::new(None),
            look: Notify::new(),
            receipts: watch::Sender::new(0),
            closed: broadcast::Sender::new(PUSHES),
        });
        let mut state = inner.state.subscribe();
        let tasks = [Task::spawn(follower::run(inner.clone())), Task::spawn(follower::save(inner.clone()))];
        let store = Self { inner, _tasks: tasks };
        // The first thing that is found out, good or bad, is enough to begin with.
        let patience = if known { PATIENCE.0 } else { PATIENCE.1 };
        drop(tokio::time::timeout(patience, state.changed()).await);
        let state = state.borrow_and_update().clone();
        match state {
            State::Away { error, .. } if !known => Err(StoreError::Unavailable(format!(
                "{}: {error}; and this node has no earlier catalog to begin with",
                store.inner.name
            ))),
            _ => Ok(store),
        }
    }

    /// Whether the truth can be reached, and a way to wait until that changes.
    pub fn state(&self) -> watch::Receiver<State> {
        self.inner.state.subscribe()
    }

    /// Writes back to Redis what this node holds, whatever is there: the answer to a Redis that lost its data. The
    /// revision goes on upwards, and every node of the cluster follows. Returns the new catalog.
    ///
    /// # Errors
    /// If Redis is away, or its content changes meanwhile.
    pub async fn restore(&self, note: Note) -> Result<Arc<Catalog>, StoreError> {
        self.inner.decide(note, true).await
    }

    /// Takes over what is in Redis, whatever it is, and gives up what this node holds: the other answer. The revision
    /// goes on upwards. What was held stays in the data folder as `last-good.given-up.json`.
    ///
    /// # Errors
    /// If Redis is away, or its content changes meanwhile.
    pub async fn accept(&self, note: Note) -> Result<Arc<Catalog>, StoreError> {
        self.inner.decide(note, false).await
    }

    /// Connects anew and gets in step, for somebody who knows that news should have come by now.
    pub fn look(&self) {
        self.inner.look.notify_one();
    }

    /// Waits until everything held is on this node's disk, before the node stops.
    pub async fn flush(&self, limit: Duration) {
        let mut saved = self.inner.saved.subscribe();
        let all = |saved: &Option<Revision>| {
            let held = self.inner.replica.now();
            held.lineage.is_empty() || *saved == Some(held.catalog.revision)
        };
        drop(tokio::time::timeout(limit, saved.wait_for(all)).await);
    }
}

impl Inner {
    /// A connection for a command: the shared one, or a new one if that has broken. Fails at once if Redis is known to be
    /// away.
    async fn connection(&self) -> Result<(u64, Connection), StoreError> {
        match &*self.state.borrow() {
            State::Connected => {}
            State::Away { error, .. } => {
                self.look.notify_one();
                return Err(StoreError::Unavailable(format!("Redis cannot be reached: {error}")));
            }
            State::Refused { error, .. } => return Err(StoreError::Unavailable(error.clone())),
        }
        let mut shared = self.shared.lock().await;
        if let Some((number, connection)) = &*shared {
            return Ok((*number, connection.clone()));
        }
        let connection = self.link.connect().await.map_err(|failure| {
            StoreError::Unavailable(format!("Redis cannot be reached: {}", failure.message))
        })?;
        Ok(self.share(&mut shared, connection))
    }

    /// Asks something that does no harm when it is done twice: if the connection has broken unseen, over a new one.
    async fn ask<T, F: Future<Output = Result<T, Failure>>>(
        &self,
        question: impl Fn(Connection) -> F,
    ) -> Result<T, StoreError> {
        let mut last = false;
        loop {
            let (number, connection) = self.connection().await?;
            match question(connection).await {
                Ok(answer) => return Ok(answer),
                Err(failure) => {
                    self.broken(number, &failure).await;
                    if last || failure.answered {
                        return Err(failure.into());
                    }
                    last = true;
                }
            }
        }
    }

    fn share(&self, shared: &mut Option<(u64, Connection)>, connection: Connection) -> (u64, Connection) {
        let number = self.dialed.fetch_add(1, Ordering::Relaxed);
        *shared = Some((number, connection.clone()));
        (number, connection)
    }

    /// Looks at why a command on this connection failed, and gives up the connection if that is why.
    async fn broken(&self, number: u64, failure: &Failure) {
        if failure.answered && !failure.elsewhere {
            return;
        }
        let mut shared = self.shared.lock().await;
        if shared.as_ref().is_some_and(|(current, _)| *current == number) {
            *shared = None;
        }
        if failure.elsewhere {
            self.look.notify_one();
        }
    }

    /// Something that should never happen.
    fn alarm(&self, what: &str) {
        tracing::error!(store = %self.name, "{what}");
        let mut alarms = self.alarms.lock().unwrap_or_else(PoisonError::into_inner);
        *alarms = (alarms.0 + 1, Some(what.to_owned()));
    }

    /// Waits a moment until this node has seen `revision`.
    async fn seen(&self, revision: Revision, limit: Duration) -> bool {
        let mut nudges = self.replica.nudges();
        tokio::time::timeout(limit, nudges.wait_for(|now| *now >= revision)).await.is_ok()
    }
}

#[async_trait]
impl Store for Redis {
    async fn load(&self) -> Result<Arc<Catalog>, StoreError> {
        Ok(self.inner.replica.now().catalog.clone())
    }

    async fn commit(
        &self,
        expect: Revision,
        change: Change,
        note: Note,
    ) -> Result<Arc<Catalog>, CommitError> {
        self.inner.commit(expect, change, note).await
    }

    async fn history(&self, before: Option<Revision>, limit: usize) -> Result<Vec<Entry>, StoreError> {
        let keys = &self.inner.keys;
        let read = |mut connection| async move { log::history(&mut connection, keys, before, limit).await };
        let entries = self.inner.ask(read).await?;
        entries.into_iter().map(|entry| entry.map_err(StoreError::Corrupt)).collect()
    }

    fn nudges(&self) -> watch::Receiver<Revision> {
        self.inner.replica.nudges()
    }

    fn describe(&self) -> String {
        self.inner.name.clone()
    }

    fn sessions(&self) -> Arc<dyn Sessions> {
        Arc::new(RedisSessions(self.inner.clone()))
    }

    fn journal(&self) -> Arc<dyn Journal> {
        Arc::new(RedisJournal(self.inner.clone()))
    }

    fn health(&self) -> Health {
        let held = self.inner.replica.now();
        let (alarms, last_alarm) = self.inner.alarms.lock().unwrap_or_else(PoisonError::into_inner).clone();
        Health {
            state: self.inner.state.borrow().clone(),
            revision: held.catalog.revision,
            saved: *self.inner.saved.borrow(),
            resyncs: self.inner.resyncs.load(Ordering::Relaxed),
            alarms,
            last_alarm,
            risk: self.inner.risk.borrow().clone(),
            unreadable: held.unreadable.iter().cloned().collect(),
        }
    }
}

/// A task that ends when this is dropped.
struct Task(tokio::task::JoinHandle<()>);

impl Task {
    #[allow(clippy::disallowed_methods, reason = "this crate is below the kit for tasks, and ends its own")]
    fn spawn(work: impl Future<Output = ()> + Send + 'static) -> Self {
        Self(tokio::spawn(work))
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}
