//! Links between nodes that are processes of their own, over real sockets: calls, faults, refusals and limits.

#[path = "links/calls.rs"]
mod calls;
#[path = "links/faults.rs"]
mod faults;
#[path = "links/kit.rs"]
mod kit;
#[path = "links/node.rs"]
mod node;
#[path = "links/refusals.rs"]
mod refusals;
