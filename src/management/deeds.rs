//! What management services do beside changes of definitions, for the audit log.

use std::future::Future;

use chrono::DateTime;
use config::Name;
use config::journal::Deed;
use http::StatusCode;
use sdk::task::Tasks;
use sdk::{Context, Error, Result};

use super::{Management, address, author, by_operator};
use crate::definitions::Doing;

/// Where it is done.
pub(super) struct Place {
    /// On which node.
    pub(super) node: Name,
    /// Where it is written down.
    pub(super) tasks: Tasks,
}

impl Management {
    /// Does `work` about something, such as a job, and has it noted, whatever comes of it. Operators call services
    /// through the admin API, which notes that by itself.
    pub(super) async fn noted<T>(
        &self,
        ctx: &Context,
        about: String,
        work: impl Future<Output = Result<T>>,
    ) -> Result<T> {
        let definitions = self.definitions()?;
        let place = self.place.get().ok_or_else(|| Error::unavailable("the node starts"))?;
        if by_operator(ctx) {
            return work.await;
        }
        let deed = Deed {
            at: DateTime::UNIX_EPOCH,
            node: place.node.clone(),
            what: ctx.service().to_owned(),
            request: about,
            status: 0,
            by: None,
            address: address(ctx),
            author: Some(author(ctx)),
            reason: None,
            cid: ctx.cid().to_string(),
        };
        let journal = definitions.store.journal();
        let doing = Doing::begin(journal, place.tasks.clone(), Default::default(), deed);
        let outcome = work.await;
        doing.end(outcome.as_ref().map_or_else(|error| error.kind().status(), |_| StatusCode::OK)).await;
        outcome
    }
}
