//! What the tests stand on: an engine in this process, real servers as processes, and certificates for them.

pub(crate) mod certs;
pub(crate) mod engine;
pub(crate) mod ftp;
pub(crate) mod ftp_script;
pub(crate) mod process;
