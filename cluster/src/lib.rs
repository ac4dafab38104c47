//! Who else is here: nodes, and the receipts they give for each revision.

#![cfg_attr(test, allow(clippy::disallowed_methods))] // a test may spawn, and look at the clock

pub mod receipt;

pub use receipt::{Board, NodeReceipt, Receipt, Served};
