//! Zeugma: an integration engine. One service is mounted on many channels; everything is changed while it runs.

#![cfg_attr(test, allow(clippy::disallowed_methods))] // a test may spawn, and look at the clock

pub mod app;
pub mod cli;
pub mod definitions;
pub mod demo;
pub mod http;
pub mod jobs;
pub mod joining;
pub mod logging;
pub mod management;
pub mod metrics;
pub mod nodes;
pub mod reference;
pub mod watch;

// What the author of a service sees: `zeugma::service`, `zeugma::Context` and the rest.
pub use sdk::*;
