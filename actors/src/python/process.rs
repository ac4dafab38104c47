//! One worker process, as the engine sees it: what is under way in it, what is to be sent, and when it is given up.

use std::collections::HashMap;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use bytes::BytesMut;
use rustix::process::{Pid, PidfdFlags, Signal, kill_process_group, pidfd_send_signal};
use sdk::{Context, Lock};
use serde_json::json;
use tokio::net::UnixStream;
use tokio::sync::{Notify, OwnedSemaphorePermit, oneshot};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::calls::Desk;
use super::frame::{self, Message, Reader};
use super::outbox::Outbox;
use super::zygote::Zygote;
use super::{calls, logs};

/// How long a service may take to stop once it is told to. Then its process is ended.
const GRACE: Duration = Duration::from_secs(1);
/// How often a worker is looked at.
const LOOK: Duration = Duration::from_secs(1);
/// From when on a worker that does not answer gets nothing more while others do.
const SILENT: Duration = Duration::from_secs(2);
/// How long a worker that uses too much memory may take to end what it began.
const LEAVING: Duration = Duration::from_secs(5);

/// One invocation that is under way.
pub(super) struct Flight {
    pub(super) answer: oneshot::Sender<Message>,
    pub(super) ctx: Context,
    /// Ends what it has asked of the engine.
    pub(super) ends: OnceLock<CancellationToken>,
    /// Since when nobody waits for it.
    pub(super) cancelled: Option<Instant>,
    /// Its place in the pool; nested ones have none.
    pub(super) place: Option<OwnedSemaphorePermit>,
    /// The locks that it has not given back. It may run on when nobody waits for it any more: they end with itself.
    locks: Vec<Lock>,
}

impl Flight {
    fn end_calls(&self) {
        if let Some(ends) = self.ends.get() {
            ends.cancel();
        }
    }
}

#[derive(Default)]
struct Flights {
    by_id: HashMap<u64, Flight>,
    closed: bool,
}

/// The worker has ended: nothing was sent.
pub(super) struct Gone;

/// See the module.
pub(super) struct Process {
    pub(super) pid: i32,
    pidfd: Option<OwnedFd>,
    zygote: Arc<Zygote>,
    outbox: Outbox,
    flights: Mutex<Flights>,
    next: AtomicU64,
    stale: Notify,
    pinged: Mutex<Option<Instant>>,
    leaving: AtomicBool,
    silent: AtomicBool,
    ended: AtomicBool,
    /// How many invocations are under way.
    pub(super) load: AtomicUsize,
    /// How many calls of it the engine works on.
    pub(super) calls: AtomicUsize,
    /// How many invocations have ended.
    pub(super) served: AtomicU64,
    /// How much memory it uses, in bytes, when it was last looked at.
    pub(super) memory: AtomicU64,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // What is behind these locks is whole between any two statements.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Process {
    pub(super) fn new(pid: i32, zygote: Arc<Zygote>, stream: UnixStream) -> Self {
        let pidfd =
            Pid::from_raw(pid).and_then(|pid| rustix::process::pidfd_open(pid, PidfdFlags::empty()).ok());
        Self {
            pid,
            pidfd,
            zygote,
            outbox: Outbox::new(stream),
            flights: Mutex::default(),
            next: AtomicU64::new(2),
            stale: Notify::new(),
            pinged: Mutex::default(),
            leaving: AtomicBool::new(false),
            silent: AtomicBool::new(false),
            ended: AtomicBool::new(false),
            load: AtomicUsize::new(0),
            calls: AtomicUsize::new(0),
            served: AtomicU64::new(0),
            memory: AtomicU64::new(0),
        }
    }

    /// Whether it takes invocations.
    pub(super) fn takes(&self) -> bool {
        !self.leaving.load(Ordering::Relaxed) && !self.ended.load(Ordering::Relaxed)
    }

    /// Whether it has not answered for a while.
    pub(super) fn is_silent(&self) -> bool {
        self.silent.load(Ordering::Relaxed)
    }

    /// Sends what `write` appends: at once, if the socket takes it.
    pub(super) fn send(&self, write: impl FnOnce(&mut BytesMut)) -> Result<(), Gone> {
        if self.ended.load(Ordering::Relaxed) {
            return Err(Gone);
        }
        self.outbox.send(write).map_err(|_| {
            // Nobody is sent here again before its end is seen: with nothing to do it would be everybody's first choice.
            self.leaving.store(true, Ordering::Relaxed);
            Gone
        })
    }

    // What is under way

    /// Enters an invocation and sends it. `Err` gives back its place: it was not sent.
    pub(super) fn begin(
        self: &Arc<Self>,
        ctx: &Context,
        place: Option<OwnedSemaphorePermit>,
        header: &[u8],
        body: &[u8],
    ) -> Result<Waiting, Option<OwnedSemaphorePermit>> {
        let id = self.next.fetch_add(2, Ordering::Relaxed);
        let (answer, answered) = oneshot::channel();
        {
            let mut flights = locked(&self.flights);
            if flights.closed {
                return Err(place);
            }
            let ends = OnceLock::new();
            let (ctx, locks) = (ctx.clone(), Vec::new());
            let flight = Flight { answer, ctx, ends, cancelled: None, place, locks };
            flights.by_id.insert(id, flight);
            self.load.fetch_add(1, Ordering::Relaxed);
        }
        match self.send(|out| frame::write(out, frame::INVOKE, id, header, body)) {
            Ok(()) => {
                Ok(Waiting { process: self.clone(), id, answered, deadline: ctx.deadline(), done: false })
            }
            Err(Gone) => Err(self.finished(id).and_then(|flight| flight.place)),
        }
    }

    fn finished(&self, id: u64) -> Option<Flight> {
        let flight = locked(&self.flights).by_id.remove(&id)?;
        self.load.fetch_sub(1, Ordering::Relaxed);
        flight.end_calls();
        Some(flight)
    }

    /// The context of an invocation that is under way, and what ends with it.
    pub(super) fn parent(&self, id: u64) -> Option<(Context, CancellationToken)> {
        let flights = locked(&self.flights);
        let flight = flights.by_id.get(&id).filter(|flight| flight.cancelled.is_none())?;
        Some((flight.ctx.clone(), flight.ends.get_or_init(CancellationToken::new).clone()))
    }

    /// Has a lock go with an invocation; whether that is still under way.
    pub(super) fn keep(&self, id: u64, lock: Lock) -> bool {
        let mut flights = locked(&self.flights);
        let flight = flights.by_id.get_mut(&id);
        flight.map(|flight| flight.locks.push(lock)).is_some()
    }

    /// A lock that an invocation has, by its fence.
    pub(super) fn give_back(&self, id: u64, fence: u64) -> Option<Lock> {
        let mut flights = locked(&self.flights);
        let locks = &mut flights.by_id.get_mut(&id)?.locks;
        let at = locks.iter().position(|lock| lock.fence() == fence)?;
        Some(locks.swap_remove(at))
    }

    fn cancel(&self, id: u64, reason: &str) {
        {
            let mut flights = locked(&self.flights);
            let Some(flight) = flights.by_id.get_mut(&id) else { return };
            flight.cancelled = Some(Instant::now());
            flight.end_calls();
        }
        let header = json!({ "id": id, "reason": reason }).to_string();
        // If it has ended, there is nothing left to cancel.
        drop(self.send(|out| frame::write(out, frame::CANCEL, id, header.as_bytes(), b"")));
        self.stale.notify_one();
    }

    // Its life

    /// Serves it until it ends or is given up. Answers why.
    pub(super) async fn live(self: &Arc<Self>, reader: Reader, desk: &Desk, limit: u64) -> String {
        let why = tokio::select! {
            why = self.read(reader, desk) => why,
            Err(error) = self.outbox.write() => format!("it does not read any more: {error}"),
            why = self.watch(limit) => why,
        };
        self.end();
        why
    }

    async fn read(self: &Arc<Self>, mut reader: Reader, desk: &Desk) -> String {
        loop {
            loop {
                match reader.next() {
                    Ok(Some(message)) => {
                        if let Some(why) = self.take(message, desk) {
                            return why.into();
                        }
                    }
                    Ok(None) => break,
                    Err(frame::Broken(what)) => return format!("it sent {what}"),
                }
            }
            if self.outbox.stream.readable().await.is_err() {
                return "it is gone".into();
            }
            reader.data.reserve(64 * 1024);
            match self.outbox.stream.try_read_buf(&mut reader.data) {
                Ok(0) => return "it is gone".into(),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(_) => return "it is gone".into(),
            }
        }
    }

    fn take(self: &Arc<Self>, message: Message, desk: &Desk) -> Option<&'static str> {
        match message.kind {
            frame::RESULT | frame::ERROR => {
                if let Some(flight) = self.finished(message.id) {
                    self.served.fetch_add(1, Ordering::Relaxed);
                    drop(flight.answer.send(message)); // nobody may wait any more
                }
            }
            frame::CALL => calls::take(self, desk, message),
            frame::LOG => logs::frame(&desk.package, &message.header),
            frame::PONG => {
                *locked(&self.pinged) = None;
                self.silent.store(false, Ordering::Relaxed);
            }
            frame::BYE => return Some("it has done what it was told to"),
            frame::HELLO | frame::LOADED => return Some("it sent what belongs to its start"),
            _ => {} // a later version may say more
        }
        None
    }

    /// Ends when the worker has to be given up.
    async fn watch(&self, limit: u64) -> String {
        let mut look = tokio::time::interval(LOOK);
        look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut leaving: Option<Instant> = None;
        loop {
            let oldest = {
                let flights = locked(&self.flights);
                if self.load.load(Ordering::Relaxed) == 0 {
                    None
                } else {
                    flights.by_id.values().filter_map(|flight| flight.cancelled).min()
                }
            };
            let given_up = async {
                match oldest {
                    Some(since) => tokio::time::sleep_until(since + GRACE).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = given_up => {
                    return format!("a service did not stop within {GRACE:?} after its time was over");
                }
                () = self.stale.notified() => {}
                _ = look.tick() => {
                    self.ping();
                    let used = resident(self.pid);
                    self.memory.store(used, Ordering::Relaxed);
                    let late = leaving.is_some_and(|since| since.elapsed() > LEAVING);
                    if late || used > limit.saturating_add(limit / 4) {
                        return format!("it uses {} MB of memory, and {} MB are allowed", used >> 20, limit >> 20);
                    }
                    if used > limit && leaving.is_none() {
                        leaving = Some(Instant::now());
                        tracing::warn!(pid = self.pid, used, limit, "a Python worker uses too much memory and is replaced");
                        self.leave();
                    }
                }
            }
        }
    }

    fn ping(&self) {
        let mut pinged = locked(&self.pinged);
        match *pinged {
            Some(since) => self.silent.store(since.elapsed() > SILENT, Ordering::Relaxed),
            None if self.load.load(Ordering::Relaxed) > 0 => {
                *pinged = Some(Instant::now());
                drop(pinged);
                drop(self.send(|out| frame::write(out, frame::PING, 0, b"{}", b""))); // its end is seen elsewhere
            }
            None => {}
        }
    }

    /// Tells it to end what it began, and then itself.
    pub(super) fn leave(&self) {
        self.leaving.store(true, Ordering::Relaxed);
        drop(self.send(|out| frame::write(out, frame::DRAIN, 0, b"{}", b""))); // its end is seen elsewhere
    }

    /// Ends it. Whoever waits for it is told.
    pub(super) fn end(&self) {
        if self.ended.swap(true, Ordering::Relaxed) {
            return;
        }
        let flights = {
            let mut flights = locked(&self.flights);
            flights.closed = true;
            std::mem::take(&mut flights.by_id)
        };
        for flight in flights.values() {
            flight.end_calls();
        }
        self.load.store(0, Ordering::Relaxed);
        self.zygote.kill(self.pid);
        if let Some(pidfd) = &self.pidfd
            && pidfd_send_signal(pidfd, Signal::KILL).is_ok()
            && let Some(group) = Pid::from_raw(self.pid)
        {
            let _ = kill_process_group(group, Signal::KILL); // it may have been alone
        }
        drop(flights); // their locks are free for others, now that nothing of them runs
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.end();
    }
}

/// How much memory a process uses, in bytes; 0 if it has ended.
fn resident(pid: i32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kilobytes = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
    kilobytes.unwrap_or_default() * 1024
}

/// Waits for the answer of one invocation. If it is dropped before, the service is told to stop.
pub(super) struct Waiting {
    process: Arc<Process>,
    id: u64,
    answered: oneshot::Receiver<Message>,
    deadline: Instant,
    done: bool,
}

impl Waiting {
    /// The answer; none, if the process has ended.
    pub(super) async fn answer(mut self) -> Option<Message> {
        let answer = (&mut self.answered).await;
        self.done = true;
        answer.ok()
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        if !self.done {
            let late = Instant::now() + Duration::from_millis(5) >= self.deadline;
            self.process
                .cancel(self.id, if late { "its deadline is over" } else { "nobody waits for it any more" });
        }
    }
}
