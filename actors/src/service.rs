//! Services: the kinds that run compiled-in ones and those of packages, and those that come with the engine.

pub mod billing;
pub mod echo;
pub mod ftp_handler;
pub mod input_logger;
pub mod jwt;
pub mod native;
pub mod ping;
pub mod python;
pub mod raw_request_logger;

use std::borrow::Cow;

/// The prefix of the engine's own services in programs written for the system that many users come from.
const ALIAS: &str = "zato.";
/// The prefix of the engine's own services.
const OWN: &str = "zeugma.";

/// The name that a service really has: `zato.ping` is `zeugma.ping`.
pub fn canonical(name: &str) -> Cow<'_, str> {
    match name.strip_prefix(ALIAS) {
        Some(rest) => Cow::Owned(format!("{OWN}{rest}")),
        None => Cow::Borrowed(name),
    }
}
