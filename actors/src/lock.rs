//! The locks that services take: leases of the store.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use config::lease::{Fence, Held};
use config::{Leases, StoreError};
use sdk::lock::Locking;
use sdk::task::Tasks;
use sdk::{Error, Result};

/// See the module.
pub(crate) struct Locks {
    pub(crate) leases: Arc<dyn Leases>,
    pub(crate) tasks: Tasks,
}

/// What the lease of a lock is called: those of the engine itself have no blank in their names.
fn held(name: &str, owner: &str, fence: u64) -> Held {
    Held { key: key(name), owner: owner.into(), fence: Fence(fence) }
}

fn key(name: &str) -> String {
    format!("lock {name}")
}

fn told(error: StoreError) -> Error {
    Error::unavailable(format!("there are no locks now: {error}"))
}

#[async_trait]
impl Locking for Locks {
    async fn take(&self, name: &str, owner: &str, ttl: Duration) -> Result<Option<u64>> {
        let held = self.leases.lease(&key(name), owner, ttl).await.map_err(told)?;
        Ok(held.map(|held| held.fence.0))
    }

    async fn give(&self, name: &str, owner: &str, fence: u64) -> Result<bool> {
        self.leases.release(&held(name, owner, fence)).await.map_err(told)
    }

    fn give_later(&self, name: &str, owner: &str, fence: u64) {
        let (leases, held) = (self.leases.clone(), held(name, owner, fence));
        self.tasks.spawn("lock-release", async move {
            if let Err(error) = leases.release(&held).await {
                tracing::warn!(lock = held.key, %error, "a lock is not given back; it ends by itself");
            }
        });
    }
}
