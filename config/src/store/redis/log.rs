//! The history as Redis keeps it: a stream whose ids are revisions.

use std::collections::HashMap;
use std::time::Duration;

use chrono::DateTime;
use redis::aio::MultiplexedConnection as Connection;

use super::keys::Keys;
use super::link::{COMMAND, Failure, bounded};
use crate::name::Revision;
use crate::store::Entry;

/// How many entries are fetched at once.
const PAGE: usize = 64;
/// A page of large entries takes longer than other answers.
const PAGE_LIMIT: Duration = Duration::from_secs(10);
/// How long a node waits for news before it looks whether Redis still holds the same history.
pub(super) const BLOCK: Duration = Duration::from_secs(2);

type Rows = Vec<(String, HashMap<String, Vec<u8>>)>;

/// What has come in.
#[derive(Debug, Default)]
pub(super) struct News {
    /// New revisions, oldest first. An entry that cannot be read is told as an error.
    pub(super) entries: Vec<Result<Entry, String>>,
    /// Whether a node has given a receipt.
    pub(super) receipts: bool,
    /// The sessions that were ended.
    pub(super) closed: Vec<String>,
}

/// Where the streams of hints were read up to.
#[derive(Debug)]
pub(super) struct Places {
    receipt: String,
    closed: String,
}

impl Default for Places {
    fn default() -> Self {
        Self { receipt: "0-0".into(), closed: "0-0".into() }
    }
}

/// Waits until there is something after `revision`, or a hint after `places`, which it moves on; nothing if nothing
/// came for a while. The wait itself is what makes news arrive at once.
pub(super) async fn wait(
    connection: &mut Connection,
    keys: &Keys,
    revision: Revision,
    places: &mut Places,
) -> Result<News, Failure> {
    let mut read = redis::cmd("XREAD");
    read.arg("BLOCK").arg(BLOCK.as_millis() as u64).arg("COUNT").arg(PAGE).arg("STREAMS");
    read.arg(keys.log()).arg(keys.receipts()).arg(keys.closed());
    read.arg(after(revision)).arg(&places.receipt).arg(&places.closed);
    let found: Option<HashMap<String, Rows>> = bounded(BLOCK + COMMAND, read.query_async(connection)).await?;
    let mut found = found.unwrap_or_default();
    if let Some((id, _)) = found.get(&keys.receipts()).and_then(|rows| rows.last()) {
        id.clone_into(&mut places.receipt);
    }
    let closed = found.remove(&keys.closed()).unwrap_or_default();
    if let Some((id, _)) = closed.last() {
        id.clone_into(&mut places.closed);
    }
    let session =
        |(_, mut fields): (String, HashMap<String, Vec<u8>>)| String::from_utf8(fields.remove("id")?).ok();
    let closed = closed.into_iter().filter_map(session).collect();
    let receipts = found.contains_key(&keys.receipts());
    let entries = found.remove(&keys.log()).unwrap_or_default().into_iter().map(entry).collect();
    Ok(News { entries, receipts, closed })
}

/// The next entries after `revision`, if there are any.
pub(super) async fn read(
    connection: &mut Connection,
    keys: &Keys,
    revision: Revision,
) -> Result<Vec<Result<Entry, String>>, Failure> {
    let mut range = redis::cmd("XRANGE");
    range.arg(keys.log()).arg(format!("({}", after(revision))).arg("+").arg("COUNT").arg(PAGE);
    let rows: Rows = bounded(PAGE_LIMIT, range.query_async(connection)).await?;
    Ok(rows.into_iter().map(entry).collect())
}

/// The newest entries before `before`, or of all; at most `limit`, newest first.
pub(super) async fn history(
    connection: &mut Connection,
    keys: &Keys,
    before: Option<Revision>,
    limit: usize,
) -> Result<Vec<Result<Entry, String>>, Failure> {
    let mut entries = Vec::new();
    let mut before = before;
    while entries.len() < limit {
        let end = before.map_or_else(|| "+".into(), |before| format!("({}-0", before.0));
        if before.is_some_and(|before| before.0 == 0) {
            break;
        }
        let count = PAGE.min(limit - entries.len());
        let mut range = redis::cmd("XREVRANGE");
        range.arg(keys.log()).arg(end).arg("-").arg("COUNT").arg(count);
        let rows: Rows = bounded(PAGE_LIMIT, range.query_async(connection)).await?;
        let Some((id, _)) = rows.last() else { break };
        before = Some(revision_of(id).map_err(Failure::told)?);
        let last = rows.len() < count;
        entries.extend(rows.into_iter().map(entry));
        if last {
            break;
        }
    }
    Ok(entries)
}

fn after(revision: Revision) -> String {
    format!("{}-0", revision.0)
}

fn revision_of(id: &str) -> Result<Revision, String> {
    let revision = id.split_once('-').and_then(|(revision, _)| revision.parse().ok());
    revision.map(Revision).ok_or_else(|| format!("the history holds an entry {id:?}, which is no revision"))
}

fn entry((id, mut fields): (String, HashMap<String, Vec<u8>>)) -> Result<Entry, String> {
    let revision = revision_of(&id)?;
    let wrong = |what: &str| format!("revision {revision} of the history cannot be read: {what}");
    let mut field = |name: &str| fields.remove(name).ok_or_else(|| wrong(&format!("it has no {name}")));
    let json = |error: serde_json::Error| wrong(&error.to_string());
    let at = String::from_utf8(field("at")?).ok().and_then(|at| at.parse().ok());
    Ok(Entry {
        revision,
        at: at.and_then(DateTime::from_timestamp_micros).ok_or_else(|| wrong("it has no time"))?,
        note: serde_json::from_slice(&field("note")?).map_err(json)?,
        ops: serde_json::from_slice(&field("ops")?).map_err(json)?,
    })
}
