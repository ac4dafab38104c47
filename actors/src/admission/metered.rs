//! How often the callers of one security definition may call, by all channels that use it together.

use std::hash::Hasher;
use std::sync::Arc;

use async_trait::async_trait;
use schemars::JsonSchema;
use sdk::{Admitted, Caller, Error, HttpHead, Result, Security, Visit};
use serde::{Deserialize, Serialize};

use super::limiter::Limiter;
use super::{Rate, Whose, of_address, of_caller};
use crate::kind::Start;

/// Who has a budget of their own among the callers of a definition.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Of {
    /// Each caller.
    #[default]
    Caller,
    /// Each address that callers come from.
    Address,
    /// All callers together.
    Definition,
}

impl Whose for Of {
    fn word(self) -> &'static str {
        match self {
            Self::Caller => "caller",
            Self::Address => "address",
            Self::Definition => "definition",
        }
    }
}

/// What checks callers, with a limit if one is wanted: only those who are let in are counted, so that no stranger uses up
/// what is theirs.
pub fn metered(checks: Arc<dyn Security>, rate: Option<&Rate<Of>>, start: &Start) -> Arc<dyn Security> {
    match rate {
        Some(rate) => Arc::new(Metered { checks, by: rate.by, limiter: Limiter::start(rate, start) }),
        None => checks,
    }
}

struct Metered {
    checks: Arc<dyn Security>,
    by: Of,
    limiter: Arc<Limiter>,
}

impl Metered {
    async fn count(&self, caller: &Caller, head: &HttpHead) -> Result<()> {
        match self.by {
            Of::Caller => self.limiter.take(&of_caller(caller)).await,
            Of::Address => self.limiter.take(&of_address(head.peer.ip())).await,
            Of::Definition => self.limiter.take("").await,
        }
    }
}

#[async_trait]
impl Security for Metered {
    fn guess(&self, head: &HttpHead) -> Option<Error> {
        self.checks.guess(head)
    }

    fn fingerprint(&self, head: &HttpHead, into: &mut dyn Hasher) -> bool {
        self.checks.fingerprint(head, into)
    }

    async fn check(&self, head: &HttpHead) -> Result<Caller> {
        let caller = self.checks.check(head).await?;
        self.count(&caller, head).await?;
        Ok(caller)
    }

    async fn admit(&self, head: &HttpHead, visit: &Visit<'_>) -> Result<Admitted> {
        let admitted = self.checks.admit(head, visit).await?;
        self.count(&admitted.caller, head).await?;
        Ok(admitted)
    }
}
