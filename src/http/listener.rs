//! stub
use crate::app::App;
use crate::http::tls::Certificates;
use config::settings::Settings;
use sdk::Result;
use std::net::SocketAddr;
use tokio::time::Instant;
/// l
pub struct Limits;
impl Limits {
    /// o
    pub fn of(_: &Settings) -> Self {
        Self
    }
}
/// L
pub struct Listener {
    /// a
    pub address: SocketAddr,
}
impl Listener {
    /// d
    pub async fn drained(self, _: Instant) -> bool {
        true
    }
}
/// open
pub async fn open<S>(
    _: &'static str,
    address: SocketAddr,
    _: S,
    _: &Limits,
    _: Option<Certificates>,
    _: &App,
) -> Result<Listener> {
    Ok(Listener { address })
}
