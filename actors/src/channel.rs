//! Channels: where requests come in.

pub mod rest;
