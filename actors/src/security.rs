//! Security definitions: who may call, and how we log in elsewhere.

pub mod basic;
