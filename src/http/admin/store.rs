//! The endpoint by which an operator decides about a Redis that lost its data, or holds that of others.

use cluster::Receipt;
use config::store::State;
use config::{Revision, Store as _};
use sdk::{Error, Result};
use tokio::time::Instant;

use super::answer::Failure;
use super::call::Call;
use super::shapes::Decision;
use crate::definitions::{Refused, WAIT};

/// Writes back what this node holds, or takes what is there, and waits until every node serves that.
pub(super) async fn decide(call: Call) -> Result<Receipt, Failure> {
    let decision = decision(call.segment("decision"))?;
    let (wait, note) = (call.wait("wait", WAIT)?, call.note()?);
    let Some(cluster) = &call.app.cluster else {
        return Err(
            Error::invalid("this node keeps its definitions itself: there is nothing to decide").into()
        );
    };
    let store = cluster.store();
    match store.health().state {
        State::Refused { .. } => {}
        // To overwrite a store that is followed would undo changes that this node has not seen.
        State::Connected => {
            return Err(Error::conflict("the store is followed: there is nothing to decide").into());
        }
        State::Away { error, .. } => return Err(Error::unavailable(format!("Redis is away: {error}")).into()),
    }
    tracing::warn!(
        ?decision,
        author = note.author,
        reason = note.reason,
        "an operator decides about the store"
    );
    let begun = Instant::now();
    let decided = match decision {
        Decision::Restore => store.restore(note).await,
        Decision::Accept => store.accept(note).await,
    };
    let revision: Revision = decided.map_err(Refused::from)?.revision;
    Ok(call.app.definitions.board.settled(revision, begun, wait).await)
}

fn decision(word: &str) -> Result<Decision> {
    match word {
        "restore" => Ok(Decision::Restore),
        "accept" => Ok(Decision::Accept),
        _ => Err(Error::not_found("the decision is restore or accept")),
    }
}
