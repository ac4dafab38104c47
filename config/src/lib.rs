//! What is wanted: names, definitions, the catalog, bundles, secrets, settings and the store. Knows no kind by name.

#![cfg_attr(test, allow(clippy::disallowed_methods))] // a test may spawn, and look at the clock

pub mod budgets;
pub mod bundle;
pub mod cache;
pub mod catalog;
pub mod clock;
pub mod definition;
pub mod diff;
pub mod fault;
pub mod journal;
pub mod lease;
pub mod members;
pub mod name;
pub mod rights;
pub mod rules;
pub mod secret;
pub mod sessions;
pub mod settings;
pub mod slots;
pub mod small_set;
pub mod sources;
pub mod store;
pub mod units;

pub use catalog::{ById, Catalog};
pub use clock::Clock;
pub use definition::{Clear, Definition, Draft, Params, Place};
pub use fault::{Fault, Faults};
pub use journal::Journal;
pub use lease::{Fence, Leases};
pub use members::Membership;
pub use name::{DefId, Family, KindTag, Name, Revision};
pub use rights::{Principal, Role};
pub use rules::{About, Checked, Claim, Clash, Need, Pointer, Rules, Want};
pub use secret::reference::{Reference, References};
pub use secret::{Keyring, Secret};
pub use sessions::Sessions;
pub use slots::Slots;
pub use small_set::SmallSet;
pub use store::{Change, CommitError, Note, Store, StoreError};
pub use units::{Size, Span};
