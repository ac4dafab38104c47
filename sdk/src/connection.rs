//! Handles to connections: what a service does with them. The engine's kinds do the work behind them.

pub mod ftp;
pub mod http;
pub mod vault;

use crate::Context;

/// The typed handle of a kind of connection, bound to one invocation: its calls carry that cid and end at that
/// deadline.
pub trait Handle: Sized {
    /// What the engine keeps for it.
    type Client: Clone + Send + Sync + 'static;

    /// The client, for this invocation.
    fn bind(client: Self::Client, ctx: &Context) -> Self;
}
