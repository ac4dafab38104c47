//! The TLS sessions of one connection, which its transfers resume, as servers demand.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustls::client::{
    ClientSessionMemoryCache, ClientSessionStore, Resumption, Tls12ClientSessionValue,
    Tls13ClientSessionValue,
};
use rustls::pki_types::ServerName;
use rustls::version::TLS12;
use rustls::{ClientConfig, NamedGroup, SupportedProtocolVersion};
use suppaftp::tokio::AsyncRustlsConnector;

/// How many tickets are kept: as many as the cache keeps for one server.
const MOST: usize = 8;

/// For servers that run short of tickets.
pub(super) const TLS12_ONLY: &[&SupportedProtocolVersion] = &[&TLS12];

/// A store of sessions that counts. Each connection to the server has its own, which it shares with its transfers and
/// nobody else: servers let a transfer in only with a session of the very connection that asked for it.
///
/// With TLS 1.3 a session is resumed with a ticket that serves once, and the server sends new ones as it likes. ProFTPD
/// (1.3.8) sends two at the start and another one with each download, but none with an upload: after two uploads there is
/// none left, and the next transfer would be refused. Then it is time for a new connection. With TLS 1.2 a session can be
/// resumed as often as one likes.
#[derive(Debug)]
pub(super) struct Tickets {
    cache: ClientSessionMemoryCache,
    left: Mutex<usize>,
    had: AtomicBool,
}

impl Tickets {
    pub(super) fn new() -> Arc<Self> {
        let cache = ClientSessionMemoryCache::new(MOST);
        Arc::new(Self { cache, left: Mutex::new(0), had: AtomicBool::new(false) })
    }

    /// A connector for a connection and its transfers.
    pub(super) fn connector(self: &Arc<Self>, config: &ClientConfig) -> AsyncRustlsConnector {
        let mut config = config.clone();
        config.resumption = Resumption::store(self.clone());
        tokio_rustls::TlsConnector::from(Arc::new(config)).into()
    }

    /// Whether there were tickets and all are used. A server that never sent one does not demand any.
    pub(super) fn are_spent(&self) -> bool {
        self.had.load(Ordering::SeqCst) && *self.left() == 0
    }

    fn left(&self) -> MutexGuard<'_, usize> {
        self.left.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ClientSessionStore for Tickets {
    fn set_kx_hint(&self, server: ServerName<'static>, group: NamedGroup) {
        self.cache.set_kx_hint(server, group);
    }

    fn kx_hint(&self, server: &ServerName<'_>) -> Option<NamedGroup> {
        self.cache.kx_hint(server)
    }

    fn set_tls12_session(&self, server: ServerName<'static>, session: Tls12ClientSessionValue) {
        self.cache.set_tls12_session(server, session);
    }

    fn tls12_session(&self, server: &ServerName<'_>) -> Option<Tls12ClientSessionValue> {
        self.cache.tls12_session(server)
    }

    fn remove_tls12_session(&self, server: &ServerName<'static>) {
        self.cache.remove_tls12_session(server);
    }

    fn insert_tls13_ticket(&self, server: ServerName<'static>, ticket: Tls13ClientSessionValue) {
        self.cache.insert_tls13_ticket(server, ticket);
        self.had.store(true, Ordering::SeqCst);
        let mut left = self.left();
        *left = (*left + 1).min(MOST); // the cache lets go of the oldest
    }

    fn take_tls13_ticket(&self, server: &ServerName<'static>) -> Option<Tls13ClientSessionValue> {
        let ticket = self.cache.take_tls13_ticket(server)?;
        let mut left = self.left();
        *left = left.saturating_sub(1);
        Some(ticket)
    }
}
