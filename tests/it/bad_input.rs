//! Bad input: everything that is wrong with a bundle is said at once, with its place; and no secret is ever shown.

mod mistakes;
mod secrets;
