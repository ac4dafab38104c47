//! How often the callers of one security definition may call, by all channels that use it together.

use std::hash::Hasher;
use std::net::IpAddr;
use std::sync::Arc;

use async_trait::async_trait;
use schemars::JsonSchema;
use sdk::{Admitted, Caller, Error, HttpHead, Result, Security, Verdict, Visit};
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

/// The budgets of the callers of a definition.
pub struct Budget {
    by: Of,
    limiter: Arc<Limiter>,
}

impl Budget {
    /// The one that is wanted, if any.
    pub fn of(rate: Option<&Rate<Of>>, start: &Start) -> Option<Arc<Self>> {
        rate.map(|rate| Arc::new(Self { by: rate.by, limiter: Limiter::start(rate, start) }))
    }

    /// A caller who is let in, from there if that is known.
    ///
    /// # Errors
    /// Too many, with the time to wait.
    pub async fn take(&self, caller: &Caller, address: Option<IpAddr>) -> Result<()> {
        match (self.by, address) {
            (Of::Caller, _) => self.limiter.take(&of_caller(caller)).await,
            (Of::Address, Some(address)) => self.limiter.take(&of_address(address)).await,
            (Of::Address, None) => Ok(()),
            (Of::Definition, _) => self.limiter.take("").await,
        }
    }
}

/// What checks callers, with a limit if one is wanted: only those who are let in are counted, so that no stranger uses up
/// what is theirs.
pub fn metered(checks: Arc<dyn Security>, rate: Option<&Rate<Of>>, start: &Start) -> Arc<dyn Security> {
    within(checks, Budget::of(rate, start))
}

/// The same, with a budget that others use as well.
pub fn within(checks: Arc<dyn Security>, budget: Option<Arc<Budget>>) -> Arc<dyn Security> {
    match budget {
        Some(budget) => Arc::new(Metered { checks, budget }),
        None => checks,
    }
}

struct Metered {
    checks: Arc<dyn Security>,
    budget: Arc<Budget>,
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
        self.budget.take(&caller, Some(head.peer.ip())).await?;
        Ok(caller)
    }

    async fn admit(&self, head: &HttpHead, visit: &Visit<'_>) -> Result<Admitted> {
        self.judge(head, visit).await.0
    }

    /// One request too many says nothing against what it shows.
    async fn judge(&self, head: &HttpHead, visit: &Visit<'_>) -> (Result<Admitted>, Verdict) {
        let (outcome, verdict) = self.checks.judge(head, visit).await;
        let Ok(admitted) = outcome else { return (outcome, verdict) };
        let taken = self.budget.take(&admitted.caller, Some(head.peer.ip())).await;
        (taken.map(|()| admitted), verdict)
    }
}
