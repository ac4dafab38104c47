//! The HTTP edge: listeners, the data path and the admin API.

pub mod admin;
pub mod ingress;
pub mod listener;
pub mod tls;
pub(crate) mod zato;
