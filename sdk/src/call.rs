//! The call that a task works for: what the log writes behind each of its lines.

use std::future::Future;
use std::sync::Arc;

use crate::Cid;

tokio::task_local! {
    static CURRENT: Call;
}

/// A call of a service. Kept with the task rather than in a tracing span: a span costs a request about as much as
/// finding its route, and nearly all requests log nothing.
#[derive(Clone, Debug)]
pub struct Call {
    /// Its correlation id.
    pub cid: Cid,
    /// The service that runs.
    pub service: Arc<str>,
}

impl Call {
    /// The call that the running task works for; none outside of calls.
    pub fn current() -> Option<Self> {
        CURRENT.try_with(Self::clone).ok()
    }

    /// Does work for this call.
    pub async fn scope<F: Future>(self, work: F) -> F::Output {
        CURRENT.scope(self, work).await
    }
}
