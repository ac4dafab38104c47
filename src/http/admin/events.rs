//! What happens, as it happens: server-sent events of revisions and of what each node serves.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::time::Duration;

use cluster::Served;
use config::{Fault, Name, Principal, Revision};
use futures_util::stream;
use http::HeaderMap;
use serde_json::json;
use tokio::sync::mpsc;
use warp::Reply as _;
use warp::reply::Response;
use warp::sse::Event;

use super::access;
use super::answer::Failure;
use super::call::Call;
use crate::app::App;

/// How many events wait for a client that does not read.
const WAITING: usize = 64;
/// How many revisions a client may be behind and still be told each of them.
const CATCH_UP: u64 = 100;
/// How often a silent stream says that it is alive.
const ALIVE: Duration = Duration::from_secs(15);
/// The header by which a client that was cut off says what it has seen last.
const LAST_EVENT_ID: &str = "last-event-id";

/// Answers with a stream that ends when the client goes, their token is no good any more, or the node stops.
pub(super) async fn stream(call: Call) -> Result<Response, Failure> {
    let seen = call.headers.get(LAST_EVENT_ID).and_then(|value| value.to_str().ok());
    let seen = seen.and_then(|text| text.parse().ok()).map(Revision);
    let now = call.app.definitions.store.load().await.map_err(crate::definitions::Refused::from)?.revision;
    let (to, mut from) = mpsc::channel(WAITING);
    let Call { app, headers, by, .. } = call;
    let tasks = app.tasks.clone();
    let feed = Feed { app, headers, by, to, seen: seen.unwrap_or(now).min(now), told: BTreeMap::new() };
    tasks.spawn("events", async move {
        let gone = feed.to.clone();
        tokio::select! {
            _ = gone.closed() => {}
            _ = feed.run() => {}
        }
    });
    let events = stream::poll_fn(move |cx| from.poll_recv(cx).map(|event| event.map(Ok::<_, Infallible>)));
    Ok(warp::sse::reply(warp::sse::keep_alive().interval(ALIVE).stream(events)).into_response())
}

/// What one client has been told. Events are made of the state, not kept in a queue: a client that does not read makes
/// nothing grow, and is told the newest state when it reads again.
struct Feed {
    app: App,
    /// Those of the request, with the token.
    headers: HeaderMap,
    by: Option<Principal>,
    to: mpsc::Sender<Event>,
    seen: Revision,
    told: BTreeMap<Name, (Revision, Vec<Fault>)>,
}

/// The client is gone.
struct Gone;

impl Feed {
    async fn run(mut self) -> Result<(), Gone> {
        let mut nudges = self.app.definitions.store.nudges();
        let mut board = self.app.definitions.board.watch();
        let mut stopping = self.app.stopping.clone();
        while self.by.as_ref().is_none_or(|by| access::still(&self.app, &self.headers, by)) {
            // The guard that it answers with must not live on across the next wait.
            let stopped = async { drop(stopping.wait_for(|stopping| *stopping).await) };
            self.revisions().await?;
            let served = board.borrow_and_update().clone();
            self.nodes(served).await?;
            tokio::select! {
                Ok(()) = nudges.changed() => {}
                Ok(()) = board.changed() => {}
                // A token may end while nothing happens.
                () = tokio::time::sleep(ALIVE) => {}
                () = stopped => {
                    // The last ones before the stop are told, too.
                    self.revisions().await?;
                    return self.send(Event::default().event("stopping").data("{}")).await;
                }
            }
        }
        Ok(())
    }

    /// Tells the revisions that the client has not seen.
    async fn revisions(&mut self) -> Result<(), Gone> {
        let definitions = self.app.definitions.clone();
        // A nudge is a hint, and a store that does not answer now will be asked again at the next one.
        let Ok(newest) = definitions.store.load().await.map(|catalog| catalog.revision) else {
            return Ok(());
        };
        let behind = newest.0.saturating_sub(self.seen.0);
        if behind > CATCH_UP {
            let missed =
                json!({ "from": self.seen.next(), "to": newest, "hint": "GET /api/v1/history has them" });
            self.send(Event::default().event("lagged").id(newest.to_string()).data(missed.to_string()))
                .await?;
            self.seen = newest;
        } else if behind > 0 {
            let count = usize::try_from(behind).unwrap_or_default();
            let Ok(history) = definitions.history(Some(newest.next()), count).await else { return Ok(()) };
            for event in history.into_iter().rev() {
                let id = event.revision.to_string();
                let data = serde_json::to_string(&event).unwrap_or_default();
                self.send(Event::default().event("revision").id(id).data(data)).await?;
            }
            self.seen = newest;
        }
        Ok(())
    }

    /// Tells what nodes serve, if that is news.
    async fn nodes(&mut self, board: BTreeMap<Name, Served>) -> Result<(), Gone> {
        for (node, served) in board {
            let news = (served.revision, served.faults);
            if self.told.get(&node) == Some(&news) {
                continue;
            }
            let data = json!({ "node": node, "revision": news.0, "faults": news.1 });
            self.send(Event::default().event("node").data(data.to_string())).await?;
            self.told.insert(node, news);
        }
        Ok(())
    }

    async fn send(&self, event: Event) -> Result<(), Gone> {
        self.to.send(event).await.map_err(|_| Gone)
    }
}
