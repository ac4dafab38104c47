//! The pool: at most so many connections at a time, the one used last used next, and none that the server has left.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::future::join_all;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout, timeout_at};

use super::failure::Failure;
use super::session::{Limits, Session, Settings};

/// How many calls may wait, for each connection of the pool.
const WAITING_PER_CONNECTION: usize = 25;
/// A connection that was not heard of for this long is asked for a sign of life before it is used: many routers and
/// servers forget silently.
const CHECK_AFTER: Duration = Duration::from_secs(10);
/// For how long a password that was refused is not sent again.
const LOGIN_PAUSE: Duration = Duration::from_secs(30);
/// How long a probe waits for a connection that is not in use.
const BUSY: Duration = Duration::from_secs(1);
/// How long saying goodbye may take.
const GOODBYE: Duration = Duration::from_secs(2);

/// See the module.
pub(super) struct Pool {
    pub(super) settings: Settings,
    size: usize,
    /// One for each connection in use. A connection is opened only when none is idle, so there are never more than
    /// permits.
    permits: Arc<Semaphore>,
    /// The one used last is at the end.
    idle: Mutex<Vec<Session>>,
    /// Each connection that works has a clone.
    open: Arc<()>,
    /// When a login was refused last, and how.
    refused: Mutex<Option<(Instant, String)>>,
    waiting: AtomicUsize,
    connects: AtomicU64,
    reused: AtomicU64,
    /// Whether only TLS 1.2 is spoken from now on.
    tls12: AtomicBool,
    /// Whether the server does not speak it.
    no_tls12: AtomicBool,
    closed: AtomicBool,
}

/// A connection in use. Dropped, it is closed; it goes back to the pool only with [`Lease::give_back`].
pub(super) struct Lease {
    pool: Arc<Pool>,
    session: Session,
    /// Whether it was used before, so that the server may have closed it unnoticed.
    pub(super) reused: bool,
    permit: OwnedSemaphorePermit,
}

impl Pool {
    /// An empty pool. Nothing is connected yet.
    pub(super) fn new(settings: Settings, size: usize) -> Arc<Self> {
        Arc::new(Self {
            settings,
            size,
            permits: Arc::new(Semaphore::new(size)),
            idle: Mutex::default(),
            open: Arc::default(),
            refused: Mutex::default(),
            waiting: AtomicUsize::new(0),
            connects: AtomicU64::new(0),
            reused: AtomicU64::new(0),
            tls12: AtomicBool::new(false),
            no_tls12: AtomicBool::new(false),
            closed: AtomicBool::new(false),
        })
    }

    /// The other side, as errors name it.
    pub(super) fn server(&self) -> String {
        format!("the FTP server {}:{}", self.settings.host, self.settings.port)
    }

    /// A connection, an idle one if there is one of use.
    pub(super) async fn lease(self: &Arc<Self>, limits: &Limits) -> Result<Lease, Failure> {
        let permit = self.permit(limits.deadline).await?;
        self.lease_with(permit, limits).await
    }

    async fn lease_with(
        self: &Arc<Self>,
        permit: OwnedSemaphorePermit,
        limits: &Limits,
    ) -> Result<Lease, Failure> {
        while let Some(mut session) = self.pop() {
            if session.used.elapsed() > self.settings.idle || !session.is_quiet().await {
                continue;
            }
            if session.heard.elapsed() > CHECK_AFTER {
                match limits.step(session.noop()).await {
                    Ok(()) => {}
                    Err(silent @ (Failure::Slow | Failure::Late)) => return Err(silent),
                    Err(_) => continue,
                }
            }
            self.reused.fetch_add(1, Ordering::Relaxed);
            return Ok(Lease { pool: self.clone(), session, reused: true, permit });
        }
        let session = self.connect(limits.deadline).await?;
        Ok(Lease { pool: self.clone(), session, reused: false, permit })
    }

    /// Whether no connection is open.
    pub(super) fn has_none(&self) -> bool {
        Arc::strong_count(&self.open) == 1
    }

    /// Asks the server for a sign of life, on each idle connection; without one, on a new one.
    pub(super) async fn ping(self: &Arc<Self>, limits: &Limits) -> Result<(), Failure> {
        let soon = limits.deadline.min(Instant::now() + BUSY);
        let Ok(permit) = self.permit(soon).await else {
            // All are in use, and each of those calls finds out by itself whether the server is there.
            return Ok(());
        };
        let mut alive = false;
        let idle = self.idle().len();
        for _ in 0..idle {
            let Some(mut session) = self.pop_oldest() else { break };
            if session.used.elapsed() > self.settings.idle {
                drop(timeout(GOODBYE, session.quit()).await); // it is closed either way
                continue;
            }
            match limits.step(session.noop()).await {
                Ok(()) => {
                    alive = true;
                    self.keep(session);
                }
                Err(silent @ (Failure::Slow | Failure::Late)) => return Err(silent),
                Err(_) => {} // the server has closed this one; that says nothing about the others
            }
        }
        if !alive {
            self.lease_with(permit, limits).await?.give_back();
        }
        Ok(())
    }

    /// What an operator wants to know.
    pub(super) fn stats(&self) -> serde_json::Value {
        serde_json::json!({ "pool": {
            "size": self.size,
            "idle": self.idle().len(),
            "in_use": self.size - self.permits.available_permits(),
            "waiting": self.waiting.load(Ordering::Relaxed),
            "connects": self.connects.load(Ordering::Relaxed),
            "reused": self.reused.load(Ordering::Relaxed),
        }})
    }

    /// Says goodbye on the idle connections; those in use are closed when they come back.
    pub(super) async fn close(&self) {
        self.closed.store(true, Ordering::SeqCst);
        let idle = std::mem::take(&mut *self.idle());
        drop(timeout(GOODBYE, join_all(idle.into_iter().map(Session::quit))).await);
    }

    async fn permit(&self, deadline: Instant) -> Result<OwnedSemaphorePermit, Failure> {
        if let Ok(permit) = self.permits.clone().try_acquire_owned() {
            return Ok(permit);
        }
        let before = self.waiting.fetch_add(1, Ordering::SeqCst);
        let _leave = Waits(&self.waiting);
        if before >= self.size * WAITING_PER_CONNECTION {
            return Err(Failure::Crowded(before));
        }
        match timeout_at(deadline, self.permits.clone().acquire_owned()).await {
            Ok(Ok(permit)) => Ok(permit),
            Ok(Err(_)) | Err(_) => Err(Failure::NoneFree(self.size)),
        }
    }

    async fn connect(&self, deadline: Instant) -> Result<Session, Failure> {
        if let Some((at, why)) = &*lock(&self.refused)
            && at.elapsed() < LOGIN_PAUSE
        {
            return Err(Failure::NotLetIn(why.clone()));
        }
        let open = |tls12| Session::open(&self.settings, tls12, &self.open, deadline);
        let tls12 = self.tls12.load(Ordering::Relaxed);
        let mut outcome = open(tls12).await;
        if tls12 && matches!(&outcome, Err(Failure::NoTls(_))) {
            self.no_tls12.store(true, Ordering::Relaxed);
            self.tls12.store(false, Ordering::Relaxed);
            outcome = open(false).await;
        }
        match &outcome {
            Ok(_) => {
                self.connects.fetch_add(1, Ordering::Relaxed);
                *lock(&self.refused) = None;
            }
            // While others are let in, it is their number that the server does not like.
            Err(Failure::NotLetIn(why)) if self.has_none() => {
                *lock(&self.refused) = Some((Instant::now(), why.clone()));
            }
            Err(_) => {}
        }
        outcome
    }

    fn pop(&self) -> Option<Session> {
        self.idle().pop()
    }

    fn pop_oldest(&self) -> Option<Session> {
        let mut idle = self.idle();
        (!idle.is_empty()).then(|| idle.remove(0))
    }

    /// Puts a connection among the idle ones, unless it is of no more use.
    fn keep(&self, session: Session) {
        if session.is_spent() {
            self.tls12.store(!self.no_tls12.load(Ordering::Relaxed), Ordering::Relaxed);
            return;
        }
        let mut idle = self.idle();
        if !self.closed.load(Ordering::SeqCst) {
            idle.push(session);
        }
    }

    fn idle(&self) -> MutexGuard<'_, Vec<Session>> {
        lock(&self.idle)
    }
}

impl Lease {
    /// The connection.
    pub(super) fn session(&mut self) -> &mut Session {
        &mut self.session
    }

    /// Puts a new connection in the place of this one.
    pub(super) async fn renew(self, deadline: Instant) -> Result<Self, Failure> {
        let Self { pool, session, permit, .. } = self;
        drop(session);
        let session = pool.connect(deadline).await?;
        Ok(Self { pool, session, reused: false, permit })
    }

    /// The connection is as it was: the next call may have it.
    pub(super) fn give_back(self) {
        let Self { pool, mut session, permit, .. } = self;
        session.used = Instant::now();
        pool.keep(session);
        drop(permit); // only now: whoever gets it finds the connection
    }
}

/// Counts one who waits, for as long as it lives.
struct Waits<'a>(&'a AtomicUsize);

impl Drop for Waits<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
