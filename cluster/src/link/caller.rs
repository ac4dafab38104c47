//! The caller: makes frames of a request, keeps to the limits of a peer, and makes an answer of the frames that come
//! back. Knows no transport.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::Instant;

use crate::envelope::{Envelope, EnvelopeError, Head, Kind, MAX_KEY, MAX_PART, Refusal, Versions};
use crate::link::settings::Limits;
use crate::link::{Broken, LinkError, Me, NodeId, Request, Wire, parts};

/// Parts under way to one node at a time, over all messages: small envelopes wait behind no more than these, and the
/// queues of the transport hold no more.
const PARTS: usize = 4;
/// Hints under way to one node at a time; one more is dropped.
const CASTS: usize = 64;
/// What one permit of the byte limit stands for.
const UNIT: usize = 1024;

/// What may be under way to one peer.
pub(crate) struct Lane {
    calls: Semaphore,
    bytes: Semaphore,
    parts: Semaphore,
    pub(crate) casts: Arc<Semaphore>,
}

impl Lane {
    pub(crate) fn new(limits: Limits) -> Self {
        Self {
            calls: Semaphore::new(limits.calls),
            bytes: Semaphore::new(limits.bytes.div_ceil(UNIT)),
            parts: Semaphore::new(PARTS),
            casts: Arc::new(Semaphore::new(CASTS)),
        }
    }
}

/// A peer that is linked: how to get frames there, in which version, and how many.
pub(crate) struct Line<'a> {
    pub(crate) to: &'a NodeId,
    pub(crate) wire: &'a dyn Wire,
    pub(crate) version: u16,
    pub(crate) lane: &'a Lane,
    pub(crate) deadline: Instant,
}

/// See the module.
pub(crate) struct Caller {
    me: Me,
    limits: Limits,
    ids: AtomicU64,
}

impl Caller {
    pub(crate) fn new(me: Me, limits: Limits) -> Self {
        Self { me, limits, ids: AtomicU64::new(1) }
    }

    /// Asks and waits for the answer.
    pub(crate) async fn call(&self, line: Line<'_>, request: Request) -> Result<Bytes, LinkError> {
        let Request { payload, key } = request;
        let size = payload.len();
        self.fits(size as u64)?;
        if let Some(key) = key.as_ref().filter(|key| key.len() > MAX_KEY) {
            let why = format!("the idempotency key is {} bytes long, {MAX_KEY} are the limit", key.len());
            return Err(LinkError::Garbled { node: line.to.clone(), why });
        }
        let _call = self.turn(&line, &line.lane.calls, 1).await?;
        let bytes = self.turn(&line, &line.lane.bytes, size.div_ceil(UNIT)).await?;
        let id = self.ids.fetch_add(1, Ordering::Relaxed);
        let mut carried = payload;
        let mut ahead = 0;
        if size > MAX_PART {
            ahead = parts::count(size);
            let whole = std::mem::take(&mut carried);
            stream::iter(0..ahead)
                .map(|at| self.send_part(&line, id, &whole, at))
                .buffer_unordered(PARTS)
                .try_collect::<()>()
                .await?;
        }
        let kind = Kind::Call { parts: u32::try_from(ahead).unwrap_or(u32::MAX) };
        let answer = self.ask(&line, id, key, kind, carried).await;
        // The request is over there: what is held from here on is the answer.
        drop(bytes);
        let answer = answer?;
        match answer.head.kind {
            Kind::Answer => Ok(answer.payload),
            Kind::Parted { size } => self.fetch(&line, id, size).await,
            _ => Err(self.garbled(&line, "it answered a call with something else")),
        }
    }

    /// Asks whether the node is there; gives how long it took.
    pub(crate) async fn ping(&self, line: Line<'_>) -> Result<Duration, LinkError> {
        let begun = Instant::now();
        self.expect_taken(&line, Kind::Ping, 0, Bytes::new()).await?;
        Ok(begun.elapsed())
    }

    /// Gives a hint. There may be an answer, if only to know that the hint is not under way any more.
    pub(crate) async fn cast(&self, line: Line<'_>, payload: Bytes) -> Result<(), LinkError> {
        self.expect_taken(&line, Kind::Cast, 0, payload).await
    }

    async fn send_part(&self, line: &Line<'_>, id: u64, whole: &Bytes, at: usize) -> Result<(), LinkError> {
        let part = parts::part(whole, at).unwrap_or_default();
        let kind = Kind::Part { at: u32::try_from(at).unwrap_or(u32::MAX), size: whole.len() as u64 };
        let _turn = self.part_turn(line).await?;
        self.expect_taken(line, kind, id, part).await
    }

    async fn fetch(&self, line: &Line<'_>, id: u64, size: u64) -> Result<Bytes, LinkError> {
        self.fits(size)?;
        let size = usize::try_from(size).unwrap_or(usize::MAX);
        let _bytes = self.turn(line, &line.lane.bytes, size.div_ceil(UNIT)).await?;
        let mut fetched = stream::iter(0..parts::count(size))
            .map(|at| async move {
                let _turn = self.part_turn(line).await?;
                let kind = Kind::Fetch { at: u32::try_from(at).unwrap_or(u32::MAX) };
                self.ask(line, id, None, kind, Bytes::new()).await
            })
            .buffered(PARTS);
        // Not set aside at once: how large it really is shows only as it comes.
        let mut whole = BytesMut::new();
        while let Some(part) = fetched.try_next().await? {
            whole.extend_from_slice(&part.payload);
        }
        if whole.len() != size {
            return Err(self.garbled(line, "the answer is not as long as it said"));
        }
        Ok(whole.freeze())
    }

    fn fits(&self, size: u64) -> Result<(), LinkError> {
        let limit = self.limits.message as u64;
        if size > limit { Err(LinkError::TooLarge { size, limit }) } else { Ok(()) }
    }

    /// Waits for permits, but not for long: who waits holds memory.
    async fn turn<'l>(
        &self,
        line: &Line<'_>,
        of: &'l Semaphore,
        permits: usize,
    ) -> Result<SemaphorePermit<'l>, LinkError> {
        let busy = || LinkError::Busy(line.to.clone());
        let permits = u32::try_from(permits).map_err(|_| busy())?;
        let until = line.deadline.min(Instant::now() + self.limits.wait);
        let permit = tokio::time::timeout_at(until, of.acquire_many(permits)).await;
        permit.map_err(|_| busy())?.map_err(|_| busy())
    }

    /// A transfer that has its bytes waits for its parts as long as it has time.
    async fn part_turn<'l>(&self, line: &Line<'l>) -> Result<SemaphorePermit<'l>, LinkError> {
        let late = || LinkError::Late(line.to.clone());
        let permit = tokio::time::timeout_at(line.deadline, line.lane.parts.acquire()).await;
        permit.map_err(|_| late())?.map_err(|_| late())
    }

    async fn expect_taken(
        &self,
        line: &Line<'_>,
        kind: Kind,
        id: u64,
        payload: Bytes,
    ) -> Result<(), LinkError> {
        match self.ask(line, id, None, kind, payload).await?.head.kind {
            Kind::Taken => Ok(()),
            _ => Err(self.garbled(line, "it answered with something else")),
        }
    }

    /// One envelope there, one back; a refusal becomes an error.
    async fn ask(
        &self,
        line: &Line<'_>,
        id: u64,
        key: Option<String>,
        kind: Kind,
        payload: Bytes,
    ) -> Result<Envelope, LinkError> {
        let node = || line.to.clone();
        let left = line.deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(LinkError::Late(node()));
        }
        let budget_ms = u64::try_from(left.as_millis()).unwrap_or(u64::MAX);
        let Me { node: source, incarnation } = self.me.clone();
        let head = Head { id, source, incarnation, budget_ms, key, kind };
        let frame = Envelope { head, payload }.encode(line.version);
        let frame = frame.map_err(|e| LinkError::Garbled { node: node(), why: e.to_string() })?;
        let back = line.wire.exchange(frame, line.deadline).await.map_err(|broken| match broken {
            Broken::Lost => LinkError::Lost(node()),
            Broken::Late => LinkError::Late(node()),
        })?;
        let spoken = Versions { oldest: line.version, newest: line.version };
        let answer = Envelope::decode(back.into(), spoken).map_err(|error| match error {
            EnvelopeError::VersionRefused(theirs) => {
                LinkError::Version { node: node(), theirs, sent: line.version }
            }
            other => LinkError::Garbled { node: node(), why: other.to_string() },
        })?;
        match answer.head.kind {
            Kind::Refused(refusal) => Err(match refusal {
                Refusal::TooLarge { size, limit } => LinkError::TooLarge { size, limit },
                Refusal::Busy => LinkError::Busy(node()),
                Refusal::Late => LinkError::Late(node()),
                Refusal::Garbled(why) => LinkError::Garbled { node: node(), why },
                Refusal::Stranger => {
                    let why = "it has no link to this start of this node".into();
                    LinkError::Unreachable { node: node(), why }
                }
                Refusal::Failed(failure) => LinkError::Failed { node: node(), failure },
            }),
            _ => Ok(answer),
        }
    }

    fn garbled(&self, line: &Line<'_>, why: &str) -> LinkError {
        LinkError::Garbled { node: line.to.clone(), why: why.into() }
    }
}
