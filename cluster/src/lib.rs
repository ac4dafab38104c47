//! Who else is here: nodes, the links between them, and the receipts they give for each revision.

#![cfg_attr(test, allow(clippy::disallowed_methods))] // a test may spawn, and look at the clock

pub mod envelope;
pub mod errand;
pub mod link;
pub mod pulse;
pub mod receipt;

pub use errand::{Dispatch, Errand, Errands, Invoked, NodeAnswer, Outcome};
pub use link::ractor::RactorLinks;
pub use link::settings::{Identity, Limits, LinkSettings, StartError, Transport};
pub use link::{
    Failure, Handler, Incarnation, Incoming, LinkError, Links, Member, NodeId, PeerState, Request,
};
pub use receipt::{Board, NodeReceipt, Receipt, Served};
