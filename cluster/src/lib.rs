//! Who else is here: nodes, and the receipts they give for each revision.

pub mod receipt;

pub use receipt::{Board, NodeReceipt, Receipt, Served};
