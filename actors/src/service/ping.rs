//! `zeugma.ping`: says that the engine is there.

use schemars::JsonSchema;
use sdk::{Context, Result};
use serde::Serialize;

/// The answer to a ping.
#[derive(Serialize, JsonSchema)]
pub struct Pong {
    /// Always `zeugma`.
    pong: &'static str,
}

/// Says that the engine is there.
#[sdk::service(name = "zeugma.ping", namespace = "zeugma")]
pub async fn ping(_ctx: &Context) -> Result<Pong> {
    Ok(Pong { pong: "zeugma" })
}
