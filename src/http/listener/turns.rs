//! Whose turn it is on an HTTP/2 connection: hyper lets a client be silent, or take nothing of an answer, for ever.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::{Request, Response};
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper::service::Service;
use tokio::time::Instant;

use super::Limits;

/// An answer goes out in pieces of this many bytes, so that it shows whether the client takes them.
const PIECE: usize = 64 << 10;

/// Whose turn it is. A request is ours from its head on, until something of the answer is there; it is the client's until
/// they have taken that.
#[derive(Clone)]
pub(super) struct Turns(Arc<Mutex<State>>);

struct State {
    /// How many requests are ours.
    ours: usize,
    /// Since when each of the others has been the client's.
    theirs: BTreeMap<u64, Instant>,
    /// How many requests there were.
    requests: u64,
    /// When the connection was last used.
    used: Instant,
}

/// What is to be done about a connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Verdict {
    /// Nothing; look again then.
    Fine(Instant),
    /// There was no request in the time that there is for the first.
    Silent,
    /// There has been none for that long since.
    Idle,
    /// An answer is there, and the client takes nothing of it.
    Unread,
}

impl Turns {
    /// Those of a connection that begins.
    pub(super) fn new() -> Self {
        let (ours, theirs, requests) = (0, BTreeMap::new(), 0);
        Self(Arc::new(Mutex::new(State { ours, theirs, requests, used: Instant::now() })))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is to be done now. If the client has been told to leave, `left` is since when.
    pub(super) fn verdict(&self, limits: &Limits, left: Option<Instant>) -> Verdict {
        let now = Instant::now();
        let state = self.state();
        let oldest = state.theirs.values().min().map(|since| *since + limits.write);
        if oldest.is_some_and(|end| end <= now) {
            return Verdict::Unread;
        }
        let idle = state.ours == 0 && state.theirs.is_empty();
        let end = idle.then(|| left.map_or(state.used, |left| left.max(state.used)) + limits.head);
        match end {
            Some(end) if end <= now && state.requests == 0 => Verdict::Silent,
            Some(end) if end <= now => Verdict::Idle,
            // Whatever begins meanwhile ends later than that.
            _ => {
                let soonest = now + limits.head.min(limits.write);
                Verdict::Fine([oldest, end].into_iter().flatten().fold(soonest, Instant::min))
            }
        }
    }

    /// A request has come.
    fn request(&self) -> Turn {
        let mut state = self.state();
        state.requests += 1;
        state.ours += 1;
        Turn { turns: self.clone(), request: state.requests, ours: true }
    }
}

/// The turn of one request.
struct Turn {
    turns: Turns,
    request: u64,
    ours: bool,
}

impl Turn {
    /// It is ours now.
    fn take(&mut self) {
        if !std::mem::replace(&mut self.ours, true) {
            let mut state = self.turns.state();
            state.theirs.remove(&self.request);
            state.ours += 1;
        }
    }

    /// It is the client's now.
    fn pass(&mut self) {
        if std::mem::replace(&mut self.ours, false) {
            let mut state = self.turns.state();
            state.theirs.insert(self.request, Instant::now());
            state.ours -= 1;
        }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.take();
        let mut state = self.turns.state();
        state.ours -= 1;
        state.used = Instant::now();
    }
}

/// Serves what another service serves, and notes whose turn it is.
pub(super) struct Noted<S> {
    pub(super) inner: S,
    pub(super) turns: Turns,
}

impl<S, B> Service<Request<Incoming>> for Noted<S>
where
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible, Future: Send + 'static>,
    B: Body<Data = Bytes>,
{
    type Response = Response<Pieces<B>>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        let turn = self.turns.request();
        let answer = self.inner.call(request);
        Box::pin(async move {
            let answer = answer.await?;
            Ok(answer.map(|body| Pieces { body: Box::pin(body), rest: Bytes::new(), turn }))
        })
    }
}

/// A body in pieces, each of which is asked for once the client has taken the one before.
pub(super) struct Pieces<B> {
    body: Pin<Box<B>>,
    rest: Bytes,
    turn: Turn,
}

impl<B: Body<Data = Bytes>> Body for Pieces<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let me = &mut *self;
        me.turn.take();
        if me.rest.is_empty() {
            match ready!(me.body.as_mut().poll_frame(cx)).map(|frame| frame.map(Frame::into_data)) {
                Some(Ok(Ok(data))) => me.rest = data,
                Some(Ok(Err(other))) => return Poll::Ready(Some(Ok(other))),
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                None => return Poll::Ready(None),
            }
        }
        me.turn.pass();
        let piece = me.rest.split_to(me.rest.len().min(PIECE));
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let (rest, inner) = (self.rest.len() as u64, self.body.size_hint());
        let mut hint = SizeHint::new();
        hint.set_lower(inner.lower() + rest);
        if let Some(upper) = inner.upper() {
            hint.set_upper(upper + rest);
        }
        hint
    }
}
