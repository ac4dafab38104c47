//! The desk: takes a frame that another node sent and gives the frame that answers it. Knows no transport.

use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use tokio::sync::Semaphore;
use tokio::time::Instant;

use crate::envelope::{
    Envelope, EnvelopeError, Head, Kind, MAX_PART, MAX_TEXT, MAX_WORD, Refusal, Versions, refuse_version,
    short,
};
use crate::link::parts::Store;
use crate::link::settings::Limits;
use crate::link::{Failure, Handler, Incarnation, Incoming, Me, NodeId};

/// The longest that anything is handled or kept, whatever the sender asks for.
const LONGEST: Duration = Duration::from_secs(300);

/// Whether there is a link to this start of a node.
pub(crate) type Known = Box<dyn Fn(&NodeId, Incarnation) -> bool + Send + Sync>;

/// An answer that is there, or that takes a while.
pub(crate) enum Answer {
    Now(Vec<u8>),
    Later(BoxFuture<'static, Vec<u8>>),
}

/// See the module.
pub(crate) struct Desk {
    me: Me,
    versions: Versions,
    known: Known,
    handler: Mutex<Option<Arc<dyn Handler>>>,
    handled: Arc<Semaphore>,
    store: Mutex<Store>,
}

impl Desk {
    pub(crate) fn new(me: Me, versions: Versions, limits: Limits, known: Known) -> Self {
        Self {
            me,
            versions,
            known,
            handler: Mutex::new(None),
            handled: Arc::new(Semaphore::new(limits.handled)),
            store: Mutex::new(Store::new(limits)),
        }
    }

    /// Who answers calls from now on.
    pub(crate) fn serve(&self, handler: Arc<dyn Handler>) {
        *self.handler.lock().unwrap_or_else(PoisonError::into_inner) = Some(handler);
    }

    /// Refuses calls from now on; those under way go on.
    pub(crate) fn close(&self) {
        *self.handler.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// Answers a frame. Every frame has an answer: one that is left without one costs its sender the whole deadline.
    pub(crate) fn take(self: &Arc<Self>, frame: Vec<u8>) -> Answer {
        let first = frame.first_chunk::<2>().map_or(0, |version| u16::from_be_bytes(*version));
        let envelope = match Envelope::decode(frame.into(), self.versions) {
            Ok(envelope) => envelope,
            Err(EnvelopeError::Version(version)) => {
                tracing::warn!(version, spoken = %self.versions, "an envelope of another version is refused");
                return Answer::Now(refuse_version(self.versions));
            }
            Err(EnvelopeError::TooLarge(size)) => {
                let refusal = Refusal::TooLarge { size: size as u64, limit: MAX_PART as u64 };
                return Answer::Now(self.refuse(first, 0, refusal));
            }
            Err(error) => {
                tracing::warn!(%error, "an envelope cannot be read");
                return Answer::Now(self.refuse(
                    first,
                    0,
                    Refusal::Garbled(short(error.to_string(), MAX_TEXT)),
                ));
            }
        };
        let id = envelope.head.id;
        match self.answer(first, envelope) {
            Ok(answer) => answer,
            Err(refusal) => Answer::Now(self.refuse(first, id, refusal)),
        }
    }

    fn answer(self: &Arc<Self>, version: u16, envelope: Envelope) -> Result<Answer, Refusal> {
        let Envelope { head, payload } = envelope;
        let now = Instant::now();
        let until = now + Duration::from_millis(head.budget_ms).min(LONGEST);
        let key = (head.source.clone(), head.incarnation, head.id);
        // What a former start of a node says, or one that has been taken out, is not acted on.
        if !(self.known)(&head.source, head.incarnation) {
            return Err(Refusal::Stranger);
        }
        let mut store = self.store.lock().unwrap_or_else(PoisonError::into_inner);
        store.expire(now);
        let say = |kind, payload| Ok(Answer::Now(self.say(version, head.id, kind, payload)));
        match head.kind {
            Kind::Ping => say(Kind::Taken, Bytes::new()),
            Kind::Part { at, size } => {
                store.put(key, at, size, payload, until)?;
                say(Kind::Taken, Bytes::new())
            }
            Kind::Fetch { at } => {
                let part = store.fetch(&key, at)?;
                say(Kind::Answer, part)
            }
            Kind::Cast | Kind::Call { parts: 0 } => {
                drop(store);
                self.handle(version, head, payload, until)
            }
            Kind::Call { .. } => {
                let whole = store.take(&key)?;
                drop(store);
                self.handle(version, head, whole, until)
            }
            Kind::Answer | Kind::Parted { .. } | Kind::Taken | Kind::Refused(_) => {
                Err(Refusal::Garbled("an answer to nothing".into()))
            }
        }
    }

    fn handle(
        self: &Arc<Self>,
        version: u16,
        head: Head,
        payload: Bytes,
        until: Instant,
    ) -> Result<Answer, Refusal> {
        let handler = self.handler.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let handler = handler.ok_or_else(|| {
            Refusal::Failed(Failure::new("unavailable", "the node is just starting or stopping"))
        })?;
        let permit = Arc::clone(&self.handled).try_acquire_owned().map_err(|_| Refusal::Busy)?;
        let desk = Arc::clone(self);
        Ok(Answer::Later(Box::pin(async move {
            let _permit = permit;
            let Head { id, source, incarnation, key, kind, .. } = head;
            let incoming = Incoming { from: source.clone(), incarnation, key, deadline: until, payload };
            let handling = AssertUnwindSafe(handler.handle(incoming)).catch_unwind();
            let outcome = match tokio::time::timeout_at(until, handling).await {
                Ok(Ok(outcome)) => outcome.map_err(|failure| {
                    let Failure { kind, message } = failure;
                    Refusal::Failed(Failure {
                        kind: short(kind, MAX_WORD),
                        message: short(message, MAX_TEXT),
                    })
                }),
                Ok(Err(_)) => {
                    tracing::error!(from = %source, "the handler of errands panicked");
                    Err(Refusal::Failed(Failure::new("internal", "the handler panicked")))
                }
                Err(_) => Err(Refusal::Late),
            };
            match outcome {
                Ok(_) if kind == Kind::Cast => desk.say(version, id, Kind::Taken, Bytes::new()),
                Ok(whole) if whole.len() <= MAX_PART => desk.say(version, id, Kind::Answer, whole),
                Ok(whole) => {
                    let size = whole.len() as u64;
                    let mut store = desk.store.lock().unwrap_or_else(PoisonError::into_inner);
                    match store.keep((source, incarnation, id), whole, until) {
                        Ok(()) => desk.say(version, id, Kind::Parted { size }, Bytes::new()),
                        Err(refusal) => desk.refuse(version, id, refusal),
                    }
                }
                Err(refusal) => desk.refuse(version, id, refusal),
            }
        })))
    }

    fn refuse(&self, version: u16, id: u64, refusal: Refusal) -> Vec<u8> {
        self.say(version, id, Kind::Refused(refusal), Bytes::new())
    }

    /// Answers are in the version of what they answer.
    fn say(&self, version: u16, id: u64, kind: Kind, payload: Bytes) -> Vec<u8> {
        let Me { node, incarnation } = self.me.clone();
        let head = Head { id, source: node, incarnation, budget_ms: 0, key: None, kind };
        let version = if self.versions.contains(version) { version } else { self.versions.newest };
        Envelope { head, payload }.encode(version).unwrap_or_else(|error| {
            // Every payload above is a part and every text is short, so this is a fault of ours.
            tracing::error!(%error, "an answer cannot be written");
            refuse_version(self.versions)
        })
    }
}
