//! Sessions: which log-ins still count. A session lives as long as it is used, and can be ended on every node at once.
//!
//! Nodes remember for a while what they were told about a session, so that a request need not ask. The end of one is
//! pushed to all of them; a push that is lost makes a node learn of it later, when it asks again, never not at all.

mod memory;

#[cfg(test)]
pub(crate) mod contract;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::broadcast;

pub use self::memory::Memory;

use crate::store::StoreError;

/// How many ends of sessions wait for a listener that is slow; one that misses some asks anew about all.
pub const PUSHES: usize = 1024;

/// Where sessions are kept. Time is that of the place where they are kept. Ids are chosen by whoever opens a session,
/// and cannot be guessed.
#[async_trait]
pub trait Sessions: Send + Sync + 'static {
    /// Opens a session that ends after `ttl` without use. Once this answers, it survives a crash.
    async fn open(&self, id: &str, ttl: Duration) -> Result<(), StoreError>;

    /// Uses a session: it ends `ttl` from now. Whether it was there: one that has ended stays ended.
    async fn touch(&self, id: &str, ttl: Duration) -> Result<bool, StoreError>;

    /// Ends a session, and tells every node; whether it was there. Once this answers, it survives a crash.
    async fn close(&self, id: &str) -> Result<bool, StoreError>;

    /// The ids of sessions that are being ended, by any node. A hint: it may be late, doubled or lost.
    fn closed(&self) -> broadcast::Receiver<Arc<str>>;
}
