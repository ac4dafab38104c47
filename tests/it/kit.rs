//! What the tests stand on: nodes in this process, real servers as processes, certificates, services and kinds.

pub mod black_hole;
pub mod certs;
pub mod cluster;
pub mod curl;
pub mod engine;
pub mod ftp;
pub mod ftp_script;
pub mod http_servers;
pub mod kinds;
pub mod node;
pub mod process;
pub mod program;
pub mod proxy;
pub mod recorder;
pub mod services;
pub mod tokens;
pub mod vault;
