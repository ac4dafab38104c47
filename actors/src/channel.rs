//! Channels: where requests come in.

pub mod compression;
pub mod cors;
pub mod failure;
pub mod rest;
