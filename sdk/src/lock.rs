//! Locks of the cluster: what only one service may do at a time, on whichever node it runs.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use crate::Result;

/// How long a lock may be held at most.
pub const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);
/// How long the name of a lock may be, in bytes.
pub const MAX_NAME: usize = 1_000;

/// What keeps the locks: the seam to the engine.
#[async_trait]
pub trait Locking: Send + Sync + 'static {
    /// Takes a lock for `ttl`, unless somebody has it. Answers the number of this holding of it.
    async fn take(&self, name: &str, owner: &str, ttl: Duration) -> Result<Option<u64>>;
    /// Gives it back; whether it was still held.
    async fn give(&self, name: &str, owner: &str, fence: u64) -> Result<bool>;
    /// The same in the background; if that fails, the lock ends by itself.
    fn give_later(&self, name: &str, owner: &str, fence: u64);
}

/// A lock that is held. It is given back when this is dropped, and ends by itself when its time is over: whatever must not
/// be done twice shows [`Lock::fence`], which only grows, where it is done.
pub struct Lock {
    name: String,
    owner: String,
    fence: u64,
    locking: Arc<dyn Locking>,
    given: bool,
}

impl Lock {
    /// One that was taken.
    pub(crate) fn new(name: &str, owner: &str, fence: u64, locking: Arc<dyn Locking>) -> Self {
        Self { name: name.into(), owner: owner.into(), fence, locking, given: false }
    }

    /// The number of this holding, higher than that of any earlier one.
    pub fn fence(&self) -> u64 {
        self.fence
    }

    /// Gives it back; whether it was still held, or had ended by itself.
    ///
    /// # Errors
    /// Unavailable, if the store is away; the lock then ends by itself.
    pub async fn release(mut self) -> Result<bool> {
        self.given = true;
        self.locking.give(&self.name, &self.owner, self.fence).await
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        if !self.given {
            self.locking.give_later(&self.name, &self.owner, self.fence);
        }
    }
}

impl fmt::Debug for Lock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Lock({:?}, {})", self.name, self.fence)
    }
}
