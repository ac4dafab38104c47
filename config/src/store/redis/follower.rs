//! Follows the history in Redis, for as long as the node lives, and writes to disk what it has seen.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use redis::aio::MultiplexedConnection as Connection;
use tokio::time::{Instant, sleep};

use super::commit::{above, json};
use super::lineage::{Lineage, Verdict, judge};
use super::link::{COMMAND, Failure, bounded};
use super::log::{self, BLOCK, Places};
use super::replica::Step;
use super::scripts::{self, Continuation};
use super::{Inner, State};
use crate::store::{Entry, Note};

/// The shortest and the longest pause before Redis is tried again.
const PAUSE: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(2));
/// How long nothing is written to disk after something was: a burst of changes costs one write.
const SAVE_PAUSE: Duration = Duration::from_millis(200);

/// Why single entries can no longer be followed.
enum Lost {
    /// The history is another, or went back: compare.
    Sight,
    /// Entries are missing in between: fetch everything.
    Step(&'static str),
}

/// Follows, and does so again after every interruption.
pub(super) async fn run(inner: Arc<Inner>) {
    let mut pause = PAUSE.0;
    loop {
        match follow(&inner, &mut pause).await {
            Ok(()) => continue,
            Err(failure) => inner.away(failure).await,
        }
        // A whole cluster must not come back at the same instant. Whoever wants something may shorten the wait, but
        // however many want it, Redis is not besieged.
        let jitter = pause.mul_f64(0.5 + fastrand::f64() / 2.0);
        sleep(PAUSE.0).await;
        drop(tokio::time::timeout(jitter, inner.look.notified()).await);
        pause = (pause * 2).min(PAUSE.1);
    }
}

/// Follows until the connection breaks, or there is a reason to connect anew.
async fn follow(inner: &Inner, pause: &mut Duration) -> Result<(), Failure> {
    let mut connection = inner.link.connect().await?;
    let mut fetch = None;
    let mut places = Places::default();
    loop {
        if !settle(inner, &mut connection, fetch.take()).await? {
            // Only somebody else can change this: Redis with its data, or an operator.
            drop(tokio::time::timeout(BLOCK, inner.look.notified()).await);
            continue;
        }
        if inner
            .state
            .send_if_modified(|state| std::mem::replace(state, State::Connected) != State::Connected)
        {
            tracing::info!(store = %inner.name, revision = %inner.replica.now().catalog.revision, "connected");
            inner.look_at_risk(&mut connection).await;
        }
        *pause = PAUSE.0;
        let lost = tokio::select! {
            lost = tail(inner, &mut connection, &mut places) => lost?,
            // A command was told to ask elsewhere, or an operator has decided: perhaps the server is another by now.
            () = inner.look.notified() => return Ok(()),
        };
        if let Lost::Step(why) = lost {
            fetch = Some(why);
        }
    }
}

/// Gets in step with Redis; false if that must not be. `fetch`: why everything is to be fetched, if it is.
async fn settle(inner: &Inner, connection: &mut Connection, fetch: Option<&str>) -> Result<bool, Failure> {
    // In this order: what is held by now, Redis must have when it is asked after that.
    let held = inner.replica.now();
    let mut found = scripts::head(connection, &inner.keys).await?;
    let mut verdict = judge(&held.position(), &found);
    if verdict == Verdict::Begin {
        scripts::begin(connection, &inner.keys).await?;
        found = scripts::head(connection, &inner.keys).await?;
        verdict = judge(&held.position(), &found);
    }
    match verdict {
        Verdict::Follow => {
            let why = match fetch {
                Some(why) => Some(why),
                None => catch_up(inner, connection, &found.lineage).await?,
            };
            if let Some(why) = why {
                tracing::warn!(store = %inner.name, from = %held.catalog.revision, to = %found.revision, "{why}");
                inner.resync(connection).await?;
            }
        }
        Verdict::Begin => return Err(Failure::told("the history cannot be begun")),
        Verdict::Adopt(None) => inner.take_over(connection).await?,
        Verdict::Adopt(Some(why)) => {
            inner.alarm(&why);
            inner.keep_a_copy();
            inner.resync(connection).await?;
        }
        Verdict::Rebase(why) => {
            inner.alarm(&why);
            inner.keep_a_copy();
            let floor = above(held.catalog.revision, &found);
            let lineage = found.lineage.continued(&held.lineage);
            let note = Note { author: "zeugma".into(), reason: Some(why), ..Note::default() };
            let note = json(&note).map_err(|error| Failure::told(error.to_string()))?;
            let next = Continuation { found, lineage, floor, note, objects: None };
            // If another node was faster, it has done the same.
            scripts::go_on(connection, &inner.keys, &next).await?;
            inner.resync(connection).await?;
        }
        Verdict::Refuse(why) => {
            inner.refuse(&why);
            return Ok(false);
        }
    }
    Ok(true)
}

/// Reads what is missing; the answer is why everything has to be fetched instead, if it has.
async fn catch_up(
    inner: &Inner,
    connection: &mut Connection,
    lineage: &Lineage,
) -> Result<Option<&'static str>, Failure> {
    loop {
        let at = inner.replica.now().catalog.revision;
        // In this order: what the head names by now, the history must hold when it is read after that.
        let there = scripts::head(connection, &inner.keys).await?.revision;
        let entries = log::read(connection, &inner.keys, at).await?;
        if entries.is_empty() {
            let why = "the history does not hold the newest revisions; fetching everything";
            return Ok((there > at).then_some(why));
        }
        if let Some(why) = take(inner, lineage, entries) {
            return Ok(Some(why));
        }
    }
}

/// Follows entries; the answer is why that cannot be done.
fn take(inner: &Inner, lineage: &Lineage, entries: Vec<Result<Entry, String>>) -> Option<&'static str> {
    let mut readable = Vec::with_capacity(entries.len());
    for entry in entries {
        match entry {
            Ok(entry) => readable.push(entry),
            Err(why) => {
                inner.alarm(&why);
                inner.replica.follow(lineage, &readable);
                return Some("the history holds an entry that cannot be read; fetching everything");
            }
        }
    }
    match inner.replica.follow(lineage, &readable) {
        Step::Done => None,
        Step::Gap => Some("revisions are missing in the history; fetching everything"),
    }
}

/// Waits for news, and follows it.
async fn tail(inner: &Inner, connection: &mut Connection, places: &mut Places) -> Result<Lost, Failure> {
    loop {
        let held = inner.replica.now();
        let news = log::wait(connection, &inner.keys, held.catalog.revision, places).await?;
        if news.receipts {
            inner.receipts.send_modify(|count| *count += 1);
        }
        let hints = news.receipts || !news.closed.is_empty();
        for id in news.closed {
            drop(inner.closed.send(id.into())); // nobody may be listening
        }
        if news.entries.is_empty() {
            if hints {
                continue;
            }
            let now = inner.replica.now();
            let found = scripts::head(connection, &inner.keys).await?;
            let same = found.lineage == now.lineage && !found.damaged;
            if !same || found.revision != now.catalog.revision {
                return Ok(Lost::Sight);
            }
            continue;
        }
        if let Some(why) = take(inner, &held.lineage, news.entries) {
            // An epoch begins with a jump, which looks like a gap.
            let same = scripts::head(connection, &inner.keys).await?.lineage == held.lineage;
            return Ok(if same { Lost::Step(why) } else { Lost::Sight });
        }
    }
}

impl Inner {
    /// Whether Redis writes down what it confirms. Who may not ask that, such as the user of an ACL, is told nothing.
    async fn look_at_risk(&self, connection: &mut Connection) {
        let info = bounded(COMMAND, redis::cmd("INFO").arg("persistence").query_async(connection)).await;
        let info: String = info.unwrap_or_default();
        let off = info.lines().any(|line| line.trim() == "aof_enabled:0");
        let risk = off.then(|| {
            "Redis has no append-only file (`appendonly no`): if it crashes, confirmed changes may be lost".to_owned()
        });
        let news = self.risk.send_replace(risk.clone()) != risk;
        if let Some(risk) = risk.filter(|_| news) {
            tracing::warn!(store = %self.name, "{risk}");
        }
    }

    async fn resync(&self, connection: &mut Connection) -> Result<(), Failure> {
        self.resyncs.fetch_add(1, Ordering::Relaxed);
        self.take_over(connection).await
    }

    fn keep_a_copy(&self) {
        if let Err(error) = self.last_good.keep_a_copy("before-loss") {
            tracing::warn!(%error, "no copy of the last-good catalog could be made");
        }
    }

    async fn away(&self, failure: Failure) {
        self.state.send_if_modified(|state| {
            let since = match state {
                State::Away { since, .. } => *since,
                State::Connected | State::Refused { .. } => {
                    tracing::warn!(store = %self.name, error = %failure.message, "away; serving what was seen last");
                    self.clock.now()
                }
            };
            let away = State::Away { since, error: failure.message };
            std::mem::replace(state, away.clone()) != away
        });
        // What broke this connection has most likely broken the other one.
        *self.shared.lock().await = None;
    }

    fn refuse(&self, why: &str) {
        let error = format!(
            "{why}. Changes are refused and requests served from what this node has seen last, until Redis has its data \
             again, or an operator decides: `zeugma store restore` writes back what this node holds, `zeugma store accept` \
             takes what is there"
        );
        let known = matches!(&*self.state.borrow(), State::Refused { error: known, .. } if *known == error);
        if !known {
            self.alarm(&error);
            self.state.send_replace(State::Refused { since: self.clock.now(), error });
        }
    }
}

/// Writes to disk what has come in, but not more often than is useful.
pub(super) async fn save(inner: Arc<Inner>) {
    let mut nudges = inner.replica.nudges();
    nudges.mark_changed();
    let mut saved: Option<Lineage> = None;
    while nudges.changed().await.is_ok() {
        let begin = Instant::now();
        let held = inner.replica.now();
        let revision = held.catalog.revision;
        if held.lineage.is_empty()
            || (Some(revision) == *inner.saved.borrow() && saved.as_ref() == Some(&held.lineage))
        {
            continue;
        }
        let lineage = held.lineage.clone();
        let file = inner.last_good.clone();
        let written = tokio::task::spawn_blocking(move || file.write(&held)).await;
        match written.map_err(std::io::Error::other).and_then(|written| written) {
            Ok(()) => {
                saved = Some(lineage);
                inner.saved.send_replace(Some(revision));
            }
            Err(error) => {
                inner.alarm(&format!("the last-good catalog cannot be written: {error}"));
                nudges.mark_changed();
                sleep(PAUSE.1).await;
            }
        }
        // A large catalog takes the disk no more than a tenth of the time.
        sleep(SAVE_PAUSE.max(begin.elapsed() * 9)).await;
    }
}
