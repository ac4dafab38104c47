//! Services: the kind that runs compiled-in ones, and those that come with the engine.

pub mod native;
pub mod ping;
