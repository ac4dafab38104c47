//! What runs: kinds, the one registry, the reconciler, supervision, routes and the live snapshot.

#![cfg_attr(test, allow(clippy::disallowed_methods))] // a test may spawn, and look at the clock

// The `service` attribute writes paths that begin with `zeugma`; here that is the sdk itself.
extern crate sdk as zeugma;

pub mod admission;
pub mod authority;
mod background;
pub mod backoff;
mod cache;
pub mod channel;
pub mod check;
pub mod connection;
pub mod engine;
pub mod gate;
pub mod health;
pub mod job;
pub mod keeper;
pub mod kind;
pub mod line;
mod lock;
pub mod meter;
pub mod package;
pub mod part;
pub mod python;
pub mod reconcile;
pub mod references;
pub mod registry;
pub mod routes;
pub mod running;
pub mod scheduler;
pub mod security;
pub mod service;
pub mod shape;
pub mod snapshot;
pub mod supervisor;
pub mod worker;

pub use engine::Bound;
pub use gate::{Gate, Phase};
pub use health::Health;
pub use kind::{AnyKind, Kind, Start};
pub use meter::{Meter, Meters};
pub use part::Part;
pub use reconcile::Reconciler;
pub use registry::Registry;
pub use running::Running;
pub use snapshot::{Live, Snapshot};
