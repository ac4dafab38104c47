//! The use case of changing what is wanted: check everything, commit once, wait for the receipt.

use std::sync::Arc;

use actors::Registry;
use cluster::Board;
use config::{Keyring, Store};

/// See the module.
#[derive(Clone)]
pub struct Definitions {
    /// Where the truth lives.
    pub store: Arc<dyn Store>,
    /// The kinds.
    pub registry: Arc<Registry>,
    /// Seals the secrets.
    pub keyring: Keyring,
    /// Where nodes say what they serve.
    pub board: Arc<Board>,
}
