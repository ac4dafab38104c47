//! A commit: one script, and what is done when its answer is lost.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use redis::aio::MultiplexedConnection as Connection;
use serde::Serialize;
use tokio::time::{Instant, sleep};

use super::lineage::{JUMP, Position};
use super::link::{COMMAND, Failure};
use super::scripts::{self, Commit, Continuation, Objects, Outcome};
use super::{Held, Inner};
use crate::catalog::Catalog;
use crate::name::Revision;
use crate::store::{Change, CommitError, Note, StoreError};

/// How long it is tried to find out what became of a commit whose answer was lost.
const DOUBT: Duration = Duration::from_secs(5);
/// How long a writer who was too late waits for the change that was faster: reading again then helps.
const CATCH_UP: Duration = Duration::from_secs(1);

impl Inner {
    pub(super) async fn commit(
        &self,
        expect: Revision,
        change: Change,
        note: Note,
    ) -> Result<Arc<Catalog>, CommitError> {
        let (number, connection) = self.connection().await?;
        let held = self.held_at(expect).await?;
        let after = Arc::new(change.applied_to(&held.catalog));
        let ops = change.ops(&held.catalog, &after);
        let mut commit = Commit {
            id: scripts::commit_id(),
            lineage: held.lineage.clone(),
            expect,
            note: json(&note)?,
            ops: json(&ops)?,
            objects: Vec::new(),
            keep: self.keep,
        };
        // Of an id that is written and deleted in one change, only what is left of it counts.
        let left: BTreeMap<_, _> = ops.iter().map(|op| (&op.id, &op.after)).collect();
        for (id, definition) in left {
            let written = definition.as_ref().map(json).transpose()?.unwrap_or_default();
            commit.objects.push((id.to_string(), written));
        }
        match self.carry_out(&mut commit, number, connection).await? {
            Outcome::Done => {
                self.replica.advance(&held, after.clone(), &ops);
                Ok(after)
            }
            Outcome::Conflict(current) => {
                self.seen(current, CATCH_UP).await;
                Err(CommitError::Conflict { expected: expect, current })
            }
            Outcome::Void => {
                let error = "the connection to Redis broke; the change was not made";
                Err(StoreError::Unavailable(error.into()).into())
            }
            Outcome::Stranger => {
                self.look.notify_one();
                let error = "Redis holds another history than a moment ago; the change was not made";
                Err(StoreError::Unavailable(error.into()).into())
            }
        }
    }

    /// Sends a commit, and finds out what became of it if there is no answer. The connection may have broken unseen long
    /// ago, so that nothing has happened yet: then it is sent once more.
    async fn carry_out(
        &self,
        commit: &mut Commit,
        mut number: u64,
        mut connection: Connection,
    ) -> Result<Outcome, StoreError> {
        let mut last = false;
        loop {
            let failure = match commit.send(&mut connection, &self.keys).await {
                Ok(outcome) => return Ok(outcome),
                Err(failure) => failure,
            };
            self.broken(number, &failure).await;
            if failure.answered {
                return Err(failure.into());
            }
            let outcome;
            (number, connection, outcome) = self.find_out(commit, &failure).await?;
            if last || outcome != Outcome::Void {
                return Ok(outcome);
            }
            last = true;
            commit.id = scripts::commit_id();
        }
    }

    /// What is held at exactly this revision.
    async fn held_at(&self, expect: Revision) -> Result<Arc<Held>, CommitError> {
        let mut held = self.replica.now();
        if held.catalog.revision < expect {
            // The writer read it from another node, which was faster; or it has never happened.
            let head = |mut connection| async move { scripts::head(&mut connection, &self.keys).await };
            let found = self.ask(head).await?;
            if found.revision >= expect && !self.seen(expect, COMMAND).await {
                let error = format!("this node has not seen revision {expect} yet");
                return Err(StoreError::Unavailable(error).into());
            }
            held = self.replica.now();
        }
        let current = held.catalog.revision;
        if current == expect { Ok(held) } else { Err(CommitError::Conflict { expected: expect, current }) }
    }

    /// What became of a commit that was not answered. Its bytes may still be on their way, so that not to find it is not
    /// enough: it must be kept from happening later.
    async fn find_out(
        &self,
        commit: &Commit,
        lost: &Failure,
    ) -> Result<(u64, Connection, Outcome), StoreError> {
        let end = Instant::now() + DOUBT;
        let mut pause = Duration::from_millis(20);
        loop {
            let tried = async {
                let mut connection = self.link.connect().await?;
                let outcome = commit.verify(&mut connection, &self.keys).await?;
                Ok::<_, Failure>((connection, outcome))
            };
            let failure = match tokio::time::timeout_at(end, tried).await {
                Ok(Ok((connection, outcome))) => {
                    let mut shared = self.shared.lock().await;
                    let (number, connection) = self.share(&mut shared, connection);
                    return Ok((number, connection, outcome));
                }
                Ok(Err(failure)) => failure.message,
                Err(_) => lost.message.clone(),
            };
            if Instant::now() + pause >= end {
                return Err(StoreError::Unavailable(format!(
                    "{failure}; whether revision {} was made is not known: look at the history before repeating the \
                     change",
                    commit.expect.next()
                )));
            }
            sleep(pause).await;
            pause = (pause * 2).min(Duration::from_millis(500));
        }
    }

    /// An operator's decision about a Redis whose content is not what this node holds.
    pub(super) async fn decide(&self, note: Note, restore: bool) -> Result<Arc<Catalog>, StoreError> {
        let mut connection = self.link.connect().await?;
        let found = scripts::head(&mut connection, &self.keys).await?;
        let held = self.replica.now();
        if !restore {
            self.last_good.keep_a_copy("given-up")?;
        }
        let objects = if restore { Some(objects(&held.catalog)?) } else { None };
        let lineage = if restore {
            held.lineage.continued(&found.lineage)
        } else {
            found.lineage.continued(&held.lineage)
        };
        let floor = above(held.catalog.revision, &found);
        let next = Continuation { found, lineage, floor, note: json(&note)?, objects };
        if !scripts::go_on(&mut connection, &self.keys, &next).await? {
            return Err(StoreError::Unavailable("Redis has changed meanwhile; look again".into()));
        }
        self.take_over(&mut connection).await?;
        self.look.notify_one();
        Ok(self.replica.now().catalog.clone())
    }

    /// Fetches everything.
    pub(super) async fn take_over(&self, connection: &mut Connection) -> Result<(), Failure> {
        let (position, objects) = scripts::snapshot(connection, &self.keys).await?;
        let parse = tokio::task::spawn_blocking(move || Held::parse(&position, objects)).await;
        let held =
            parse.map_err(|error| Failure::told(format!("the catalog cannot be put together: {error}")))?;
        if !held.unreadable.is_empty() {
            let ids: Vec<&str> = held.unreadable.iter().take(10).map(String::as_str).collect();
            self.alarm(&format!(
                "Redis holds {} definitions that cannot be read; they are left out: {}",
                held.unreadable.len(),
                ids.join(", ")
            ));
        }
        self.replica.adopt(held);
        Ok(())
    }
}

/// A revision that nobody has used.
pub(super) fn above(held: Revision, found: &Position) -> Revision {
    Revision(held.0.max(found.revision.0) + JUMP)
}

pub(super) fn objects(catalog: &Catalog) -> Result<Objects, StoreError> {
    catalog
        .definitions
        .values()
        .map(|definition| Ok((definition.id.to_string(), json(&**definition)?)))
        .collect()
}

pub(super) fn json<T: Serialize>(value: &T) -> Result<Vec<u8>, StoreError> {
    serde_json::to_vec(value)
        .map_err(|error| StoreError::Unavailable(format!("cannot be written as JSON: {error}")))
}
