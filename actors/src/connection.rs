//! Connections: named ways to the outside.

pub mod ftp;
pub mod http;
pub mod tls;
pub mod vault;
