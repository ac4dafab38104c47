//! Background tasks that have a name, belong to the call that began them and can be waited for when the node stops.

use std::future::Future;

use tokio_util::task::{AbortOnDropHandle, TaskTracker};

use crate::call::Call;

/// Ends the work that it stands for when it is dropped.
#[derive(Debug)]
#[must_use = "the work ends when this is dropped"]
pub struct Endless(#[allow(dead_code, reason = "held for its drop")] AbortOnDropHandle<()>);

/// The tasks of one node. A clone is the same set.
#[derive(Clone, Debug, Default)]
pub struct Tasks(TaskTracker);

impl Tasks {
    /// Starts `work` in the background; a panic in it is caught by the runtime and logged here.
    pub fn spawn<F>(&self, name: &'static str, work: F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        #[allow(clippy::disallowed_methods)] // the one place that may
        let task = tokio::spawn(within(Call::current(), work));
        self.0.spawn(async move {
            if let Err(error) = task.await
                && error.is_panic()
            {
                tracing::error!(task = name, "a background task panicked");
            }
        });
    }

    /// Starts work that has no end of its own: it ends when the guard is dropped, and is not waited for.
    pub fn endless<F>(&self, name: &'static str, work: F) -> Endless
    where
        F: Future<Output = ()> + Send + 'static,
    {
        #[allow(clippy::disallowed_methods)] // the guard ends it
        let task = tokio::spawn(within(Call::current(), work));
        tracing::trace!(task = name, "started");
        Endless(AbortOnDropHandle::new(task))
    }

    /// How many are running.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether none is running.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Waits until none is running.
    pub async fn idle(&self) {
        self.0.close();
        self.0.wait().await;
        self.0.reopen();
    }
}

/// Does work for the call that began it, if it was one.
async fn within(call: Option<Call>, work: impl Future<Output = ()>) {
    match call {
        Some(call) => call.scope(work).await,
        None => work.await,
    }
}
