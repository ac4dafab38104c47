//! Tending a peer: dial it if that is our part, ping it while it is linked, let go of it when it is not ours any more.

use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, interval_at, sleep, timeout};

use crate::link::caller::Line;
use crate::link::hello::{Greeted, HelloError};
use crate::link::ractor::hub::Hub;
use crate::link::ractor::peers::{Peer, View, dials};
use crate::link::ractor::sessions::Session;
use crate::link::settings::is_private;
use crate::link::socket::{Stream, tune};
use crate::link::tls::refused_certificate;
use crate::link::{LinkError, Member};

/// How often a linked peer is asked whether it is there.
const PING_EVERY: Duration = Duration::from_secs(1);
/// How long it may take to answer.
const PING_LIMIT: Duration = Duration::from_millis(900);
/// So many pings in a row without an answer, and the link is down.
const MISSES: u32 = 3;
/// How long connecting and greeting may take.
const DIAL_LIMIT: Duration = Duration::from_secs(2);
/// How long a peer that the membership does not list stays linked: the list may be older than the peer.
const STRANGER: Duration = Duration::from_secs(5);
/// How long a link must last before the next one is dialed without a wait.
const STEADY: Duration = Duration::from_secs(5);
/// The wait after the first failure to dial; it doubles with each.
const FIRST_WAIT: Duration = Duration::from_millis(100);
/// The longest wait while the peer does not answer.
const LONGEST_WAIT: Duration = Duration::from_secs(1);
/// The longest wait while it answers that we are not welcome: only an operator can change that.
const REFUSED_WAIT: Duration = Duration::from_secs(5);

/// Does all of it until the peer is forgotten or the node stops.
pub(crate) async fn tend(hub: Arc<Hub>, peer: Arc<Peer>) {
    let mut view = peer.view.subscribe();
    let mut wait = FIRST_WAIT;
    let mut last: Option<Member> = None;
    let mut linked: Option<Instant> = None;
    loop {
        let View { member, session } = view.borrow_and_update().clone();
        if member != last {
            // Another start or another address: try at once.
            (wait, linked) = (FIRST_WAIT, None);
            last.clone_from(&member);
        }
        match (session, member) {
            (Some(session), member) => watch_over(&hub, &peer, &session, member, &mut view).await,
            (None, Some(member)) if dials(&hub.me.node, &peer.node) => {
                match linked.take().map(|since| since.elapsed()) {
                    // A link that breaks as soon as it is made is a failure as well.
                    Some(lasted) if lasted < STEADY => {
                        pause(&mut wait, LONGEST_WAIT, &mut view, &member).await;
                        continue;
                    }
                    Some(_) => wait = FIRST_WAIT,
                    None => {}
                }
                let failed = tokio::select! {
                    done = dial(&hub, &peer, &member) => done.err(),
                    () = moved(&mut view, &member) => continue,
                };
                let Some(error) = failed else {
                    linked = Some(Instant::now());
                    continue;
                };
                let longest = if error.refused { REFUSED_WAIT } else { LONGEST_WAIT };
                peer.not_linked(error.why);
                pause(&mut wait, longest, &mut view, &member).await;
            }
            (None, Some(_)) => changed(&mut view).await,
            (None, None) => {
                if hub.peers.forget(&peer) {
                    return;
                }
                changed(&mut view).await;
            }
        }
    }
}

/// Waits longer each time, but no longer than until the peer is to be sought elsewhere.
async fn pause(wait: &mut Duration, longest: Duration, view: &mut watch::Receiver<View>, member: &Member) {
    // Nodes that lose the same peer must not all come back at the same moment.
    let now = (*wait).min(longest).mul_f64(0.75 + 0.5 * fastrand::f64());
    *wait = (*wait * 2).min(longest);
    tokio::select! {
        () = sleep(now) => {}
        () = moved(view, member) => {}
    }
}

async fn changed(view: &mut watch::Receiver<View>) {
    // The sender is in the peer, which the caller holds.
    drop(view.changed().await);
}

/// Waits until the peer is to be sought elsewhere, or not any more.
async fn moved(view: &mut watch::Receiver<View>, member: &Member) {
    drop(view.wait_for(|view| view.member.as_ref() != Some(member)).await);
}

/// Pings a peer while it is linked; comes back when the link is gone or something else is known of the peer.
async fn watch_over(
    hub: &Hub,
    peer: &Arc<Peer>,
    session: &Arc<Session>,
    member: Option<Member>,
    view: &mut watch::Receiver<View>,
) {
    let replaced = member.as_ref().is_some_and(|member| member.incarnation > session.with.incarnation);
    if replaced {
        end(hub, peer, session, "a newer start of the node has taken its place").await;
        return;
    }
    let unlisted = async {
        match member {
            Some(_) => std::future::pending().await,
            None => tokio::time::sleep_until(session.opened + STRANGER).await,
        }
    };
    tokio::select! {
        () = session.gone() => peer.down(session, "the connection has ended"),
        () = changed(view) => {}
        () = unlisted => end(hub, peer, session, "the membership does not list it").await,
        error = silent(hub, peer, session) => {
            end(hub, peer, session, &format!("it does not answer pings: {error}")).await;
        }
    }
}

async fn end(hub: &Hub, peer: &Peer, session: &Arc<Session>, why: &str) {
    peer.down(session, why);
    hub.sessions.end(session).await;
}

/// Pings until too many in a row have failed.
async fn silent(hub: &Hub, peer: &Peer, session: &Session) -> LinkError {
    let mut ticks = interval_at(Instant::now() + PING_EVERY / 4, PING_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut misses = 0;
    loop {
        ticks.tick().await;
        let Some(wire) = session.wire() else { return LinkError::Lost(peer.node.clone()) };
        let deadline = Instant::now() + PING_LIMIT;
        let line =
            Line { to: &peer.node, wire: &*wire, version: session.with.version, lane: &peer.lane, deadline };
        match hub.caller.ping(line).await {
            Ok(latency) => {
                peer.answered(latency);
                misses = 0;
            }
            Err(error) => {
                misses += 1;
                tracing::debug!(node = %peer.node, %error, misses, "a ping had no answer");
                if misses >= MISSES {
                    return error;
                }
            }
        }
    }
}

/// Why there is no link, and whether trying again soon makes sense.
struct DialError {
    why: String,
    refused: bool,
}

impl<E: std::fmt::Display> From<E> for DialError {
    fn from(error: E) -> Self {
        Self { why: error.to_string(), refused: false }
    }
}

async fn dial(hub: &Arc<Hub>, peer: &Arc<Peer>, member: &Member) -> Result<(), DialError> {
    let connecting = timeout(DIAL_LIMIT, connect(hub, member)).await;
    let (stream, greeted) =
        connecting.map_err(|_| format!("{} does not answer within {DIAL_LIMIT:?}", member.address))??;
    Ok(hub.admit(peer, stream, greeted, false).await?)
}

async fn connect(hub: &Hub, member: &Member) -> Result<(Box<dyn Stream>, Greeted), DialError> {
    let address = &member.address;
    let stream = TcpStream::connect(address).await.map_err(|e| format!("{address}: {e}"))?;
    tune(&stream)?;
    let mut stream: Box<dyn Stream> = match &hub.tls {
        Some(tls) => tls.connect(stream).await.map_err(|e| format!("{address}: TLS: {e}"))?,
        None => {
            let to = stream.peer_addr()?.ip();
            if !is_private(to) {
                return Err(format!("{to} is not a private address; without TLS it is not dialed").into());
            }
            Box::new(stream)
        }
    };
    match hub.greeter.dial(&mut *stream, &member.node, member.incarnation).await {
        Ok(greeted) => Ok((stream, greeted)),
        // With TLS 1.3 the dialer is done before the other side has seen its certificate.
        Err(HelloError::Io(error)) => Err(match refused_certificate(&error) {
            Some(why) => DialError { why: format!("{address}: {why}"), refused: true },
            None => format!("{address}: {}", HelloError::Io(error)).into(),
        }),
        Err(error) => Err(DialError { why: format!("{address}: {error}"), refused: true }),
    }
}
