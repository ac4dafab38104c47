//! Who may call: each kind of credential, what is refused, and changes while requests come in.

mod bearer;
mod certificates;
mod directions;
mod keys;
mod sessions;
mod smuggling;
mod swap;
