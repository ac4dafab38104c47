//! Leases: who of several nodes does something that only one may do, for a while.
//!
//! A lease ends by itself. A holder that stalls may not notice, so each lease carries a fence: a number that only
//! grows, and that whatever the holder does must show. Who has seen a higher one refuses a lower one.

mod memory;

use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

pub use self::memory::Memory;

use crate::store::StoreError;

/// Which holding of a lease this is: higher than that of any earlier one, of any lease of the cluster.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct Fence(pub u64);

/// A lease that is held.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Held {
    /// What it is for.
    pub key: String,
    /// Who holds it: a node and its incarnation.
    pub owner: String,
    /// Which holding this is.
    pub fence: Fence,
}

/// Where leases are kept. Time is that of the place where they are kept. A holder has to stop before its lease ends by
/// its own reckoning, counted from before it asked.
#[async_trait]
pub trait Leases: Send + Sync + 'static {
    /// Takes a lease for `ttl`, unless somebody has it.
    async fn lease(&self, key: &str, owner: &str, ttl: Duration) -> Result<Option<Held>, StoreError>;

    /// Prolongs leases to `ttl` from now, all in one round trip; for each, whether it was still held.
    async fn renew(&self, held: &[Held], ttl: Duration) -> Result<Vec<bool>, StoreError>;

    /// Gives a lease back; whether it was still held.
    async fn release(&self, held: &Held) -> Result<bool, StoreError>;
}

#[cfg(test)]
pub(crate) mod contract {
    //! The contract that all leases keep, as a test.

    use tokio::time::{Instant, sleep};

    use super::*;

    const LONG: Duration = Duration::from_secs(20);

    pub(crate) async fn keeps(leases: &dyn Leases) {
        let take = async |key: &str, owner: &str, ttl| leases.lease(key, owner, ttl).await.expect("answers");
        let first = take("job", "one", LONG).await.expect("is free");
        assert_eq!((first.key.as_str(), first.owner.as_str()), ("job", "one"));
        assert_eq!(take("job", "two", LONG).await, None);
        assert_eq!(take("job", "one", LONG).await, None, "not even the holder takes it twice");
        let other = take("other job", "two", LONG).await.expect("is free");
        assert!(other.fence > first.fence);

        let foreign = Held { owner: "two".into(), ..first.clone() };
        let old = Held { fence: Fence(first.fence.0 - 1), ..first.clone() };
        let all = [first.clone(), foreign.clone(), other.clone(), old.clone()];
        assert_eq!(leases.renew(&all, LONG).await.expect("answers"), [true, false, true, false]);
        assert_eq!(leases.renew(&[], LONG).await.expect("answers"), Vec::<bool>::new());
        assert!(!leases.release(&foreign).await.expect("answers"));
        assert!(!leases.release(&old).await.expect("answers"));
        assert!(leases.release(&first).await.expect("answers"));
        assert!(!leases.release(&first).await.expect("answers"));

        // Taken over once it has ended, and not before.
        let short = Duration::from_millis(50);
        let begin = Instant::now();
        let second = take("job", "one", short).await.expect("is free");
        let third = loop {
            if let Some(held) = take("job", "two", LONG).await {
                break held;
            }
            assert!(begin.elapsed() < LONG, "it never ends");
            sleep(Duration::from_millis(2)).await;
        };
        assert!(begin.elapsed() >= short && third.fence > second.fence);
        assert_eq!(leases.renew(&[second], LONG).await.expect("answers"), [false]);
    }
}
