//! Journals in Redis: a bounded stream each, whose ids are times by its clock.

use std::collections::HashMap;
use std::sync::Arc;

use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};
use redis::aio::MultiplexedConnection as Connection;

use super::Inner;
use super::link::{COMMAND, bounded};
use crate::journal::{Deed, Journal, Log};
use crate::store::StoreError;

/// How many entries are fetched at once.
const PAGE: usize = 500;
/// How many microseconds a millisecond has, less one: an id counts within a millisecond, and so far that is told in
/// its time.
const WITHIN: u64 = 999;

type Rows = Vec<(String, HashMap<String, Vec<u8>>)>;

/// The journals of a cluster, as one node sees them.
pub(super) struct RedisJournal(pub(super) Arc<Inner>);

/// The time that an id stands for.
fn time(id: &str) -> Option<DateTime<Utc>> {
    let (ms, n) = id.split_once('-')?;
    let n = n.parse::<u64>().ok()?.min(WITHIN);
    DateTime::from_timestamp_millis(ms.parse().ok()?)?.checked_add_signed(TimeDelta::microseconds(n as i64))
}

/// The id that stands for a time.
fn id(at: DateTime<Utc>) -> String {
    format!("{}-{}", at.timestamp_millis(), at.timestamp_subsec_micros() % 1000)
}

#[async_trait]
impl Journal for RedisJournal {
    async fn note(&self, log: Log, deed: Deed) -> Result<(), StoreError> {
        let key = &self.0.keys.journal(log.as_str());
        let text = &serde_json::to_vec(&deed).map_err(|e| StoreError::Corrupt(e.to_string()))?;
        let call = |mut connection: Connection| async move {
            let mut add = redis::cmd("XADD");
            add.arg(key).arg("MAXLEN").arg("~").arg(log.keeps()).arg("*").arg("deed").arg(text);
            bounded(COMMAND, add.query_async::<()>(&mut connection)).await
        };
        self.0.ask(call).await
    }

    async fn read(
        &self,
        log: Log,
        before: Option<DateTime<Utc>>,
        limit: usize,
    ) -> Result<Vec<Deed>, StoreError> {
        let key = &self.0.keys.journal(log.as_str());
        let mut end = before.map_or_else(|| "+".into(), |before| format!("({}", id(before)));
        let mut deeds = Vec::new();
        while deeds.len() < limit {
            let count = PAGE.min(limit - deeds.len());
            let end_here = &end;
            let call = |mut connection: Connection| async move {
                let mut range = redis::cmd("XREVRANGE");
                range.arg(key).arg(end_here).arg("-").arg("COUNT").arg(count);
                bounded(COMMAND, range.query_async::<Rows>(&mut connection)).await
            };
            let rows = self.0.ask(call).await?;
            let Some((last, _)) = rows.last() else { break };
            let next = format!("({last}");
            let done = rows.len() < count;
            deeds.extend(rows.iter().filter_map(|(id, fields)| {
                let deed: Deed = serde_json::from_slice(fields.get("deed")?).ok()?;
                Some(Deed { at: time(id)?, ..deed })
            }));
            if done {
                break;
            }
            end = next;
        }
        Ok(deeds)
    }
}
