//! Security definitions: who may call, and how we log in elsewhere.

pub mod admin_token;
pub mod any_of;
pub mod api_key;
pub mod basic;
pub mod bearer;
mod fingerprint;
mod fixed;
pub mod jwt;
pub mod mtls;
pub mod vault;
