//! What the tests start: nodes, servers, and the services compiled into test nodes.

pub mod kinds;
pub mod node;
pub mod services;
