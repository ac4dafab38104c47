//! The connection's own token: where it comes from, and how it is kept alive.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use config::Secret;
use sdk::{Error, Result};
use serde_json::Value;
use tokio::sync::{Notify, Semaphore, SemaphorePermit};
use tokio::time::Instant;
use vaultrs::api::auth::approle::requests::LoginWithApproleRequest;
use vaultrs::api::token::requests::{LookupTokenSelfRequest, RenewTokenSelfRequest};

use super::wire::{Answer, Refused, Wire};
use crate::backoff::Backoff;
use crate::health::Health;

/// How often a token is looked at though nothing is due: somebody may have revoked it.
const LOOK: Duration = Duration::from_secs(300);
/// How long after a doubt the token is looked at.
const DOUBT: Duration = Duration::from_secs(1);
/// The shortest wait between two looks.
const SHORTEST: Duration = Duration::from_millis(500);

/// Where the token comes from.
pub(super) enum Source {
    /// There is none: only log-ins of others are passed on.
    None,
    /// Somebody gave it to us.
    Fixed(Secret),
    /// We log in as a role, and again when that ends.
    AppRole { mount: String, role_id: String, secret_id: Secret },
}

/// A token that we hold.
struct Held {
    token: Secret,
    /// When it ends; none: never.
    ends: Option<Instant>,
    /// How long it lived when we got it, or last renewed it.
    life: Duration,
    renewable: bool,
}

impl Held {
    /// Whether two thirds of its life are over.
    fn is_due(&self) -> bool {
        self.ends.is_some_and(|ends| Instant::now() + self.life / 3 >= ends)
    }
}

/// See the module.
pub(super) struct OwnToken {
    source: Source,
    wire: Arc<Wire>,
    health: Health,
    held: ArcSwapOption<Held>,
    /// One logs in, the others wait for what comes of it.
    turn: Semaphore,
    suspect: Notify,
}

impl OwnToken {
    pub(super) fn new(source: Source, wire: Arc<Wire>, health: Health) -> Self {
        Self {
            source,
            wire,
            health,
            held: ArcSwapOption::empty(),
            turn: Semaphore::new(1),
            suspect: Notify::new(),
        }
    }

    /// The token of now; none, if this connection has none.
    pub(super) async fn get(&self, deadline: Instant) -> Result<Option<Secret>> {
        match &self.source {
            Source::None => Ok(None),
            Source::Fixed(token) => Ok(Some(token.clone())),
            Source::AppRole { .. } => {
                if let Some(held) = self.held.load_full() {
                    return Ok(Some(held.token.clone()));
                }
                let _turn = self.turn(deadline).await?;
                if self.held.load().is_none() {
                    self.log_in(deadline).await?;
                }
                Ok(self.held.load_full().map(|held| held.token.clone()))
            }
        }
    }

    /// The same where there must be one.
    pub(super) async fn required(&self, deadline: Instant) -> Result<Secret> {
        let none = || Error::unavailable(format!("{} has no token of its own", self.wire.id()));
        self.get(deadline).await?.ok_or_else(none)
    }

    /// Vault has refused something done with this token. Another one, if that has ended and there is another.
    ///
    /// # Errors
    /// If Vault is away, or does not let the role log in.
    pub(super) async fn instead_of(&self, token: &Secret, deadline: Instant) -> Result<Option<Secret>> {
        self.doubt();
        if !matches!(self.source, Source::AppRole { .. }) {
            return Ok(None);
        }
        let _turn = self.turn(deadline).await?;
        let now = self.held.load_full().map(|held| held.token.clone());
        if now.as_ref().is_none_or(|now| now.reveal() == token.reveal()) {
            if self.look(token, deadline).await?.is_ok() {
                return Ok(None);
            }
            self.log_in(deadline).await?;
        }
        Ok(self.held.load_full().map(|held| held.token.clone()))
    }

    async fn turn(&self, deadline: Instant) -> Result<SemaphorePermit<'_>> {
        match tokio::time::timeout_at(deadline, self.turn.acquire()).await {
            Ok(Ok(turn)) => Ok(turn),
            _ => Err(Error::timeout(format!("{} did not answer in time", self.wire.id()))),
        }
    }

    /// Vault has refused something: perhaps the token is none any more.
    pub(super) fn doubt(&self) {
        self.suspect.notify_one();
    }

    /// What an operator wants to know.
    pub(super) fn stats(&self) -> Value {
        let Some(held) = self.held.load_full() else { return Value::Null };
        let left = held.ends.map(|ends| ends.saturating_duration_since(Instant::now()).as_secs());
        serde_json::json!({"ends_in_s": left, "renewable": held.renewable})
    }

    /// Keeps the token alive, for ever.
    pub(super) async fn keep(self: Arc<Self>) {
        if matches!(self.source, Source::None) {
            return std::future::pending().await;
        }
        let mut backoff = Backoff::default();
        loop {
            let wait = match self.tend().await {
                Ok(wait) => {
                    backoff.reset();
                    wait
                }
                Err(error) => {
                    let held = self.held.load_full();
                    if held.is_none_or(|held| held.is_due()) {
                        self.alarm(&format!("it is not renewed: {error}"));
                    }
                    backoff.next_probe().max(SHORTEST)
                }
            };
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                () = self.suspect.notified() => tokio::time::sleep(DOUBT).await, // many may doubt at once
            }
        }
    }

    /// Does what is due, and says when to look again.
    async fn tend(&self) -> Result<Duration> {
        let deadline = Instant::now() + Duration::from_secs(60); // the wire's own limit is shorter
        let Some(held) = self.held.load_full() else {
            let _turn = self.turn(deadline).await?;
            match &self.source {
                Source::AppRole { .. } if self.held.load().is_none() => self.log_in(deadline).await?,
                Source::Fixed(token) => match self.look(token, deadline).await? {
                    Ok(held) => self.hold(held),
                    Err(refused) => return Ok(self.refused(&refused)),
                },
                _ => {}
            }
            return Ok(self.next());
        };
        let due = held.is_due();
        let outcome = match (due, held.renewable) {
            (false, _) => self.look(&held.token, deadline).await?,
            (true, true) => self.renew(&held, deadline).await?,
            (true, false) => Ok(Held { token: held.token.clone(), ..*held }),
        };
        match (outcome, &self.source) {
            // A role simply logs in again: when its token cannot live on, and when it has ended.
            (Err(_), Source::AppRole { .. }) => self.log_in(deadline).await?,
            (Ok(now), Source::AppRole { .. }) if due && !lives_on(&now, held.life) => {
                self.log_in(deadline).await?;
            }
            (Err(refused), _) => return Ok(self.refused(&refused)),
            (Ok(now), _) => {
                let short = due && !lives_on(&now, held.life);
                let ends = now.ends;
                // Its life is what it was at first: what is left of it is to be seen as short.
                self.held
                    .store(Some(Arc::new(Held { life: if short { held.life } else { now.life }, ..now })));
                match ends {
                    Some(ends) if short => self.alarm(&ending(ends)),
                    _ => self.health.set_alarm(None),
                }
            }
        }
        Ok(self.next())
    }

    /// When to look again.
    fn next(&self) -> Duration {
        let Some(held) = self.held.load_full() else { return SHORTEST };
        let Some(ends) = held.ends else { return LOOK };
        let left = ends.saturating_duration_since(Instant::now());
        let due = left.saturating_sub(held.life / 3);
        if due.is_zero() { (left / 3).clamp(SHORTEST, LOOK) } else { due.clamp(SHORTEST, LOOK) }
    }

    fn hold(&self, held: Held) {
        self.held.store(Some(Arc::new(held)));
        self.health.set_alarm(None);
    }

    fn refused(&self, refused: &Refused) -> Duration {
        self.alarm(&format!("it is refused ({}): {}", refused.status, refused.what));
        LOOK.min(Duration::from_secs(30))
    }

    fn alarm(&self, what: &str) {
        if self.health.alarm().is_none() {
            tracing::error!(id = %self.wire.id(), "the token of this connection needs attention: {what}");
        }
        self.health.set_alarm(Some(format!("its token needs attention: {what}")));
    }

    async fn log_in(&self, deadline: Instant) -> Result<()> {
        let Source::AppRole { mount, role_id, secret_id } = &self.source else { return Ok(()) };
        let id = self.wire.id();
        let request = LoginWithApproleRequest::builder()
            .mount(mount.as_str())
            .role_id(role_id.as_str())
            .secret_id(secret_id.reveal())
            .build()
            .map_err(|_| Error::internal(format!("{id}: the log-in cannot be made")))?;
        match self.wire.send_now(None, &request, deadline).await? {
            Ok(Answer { auth: Some(login), .. }) => {
                let life = Duration::from_secs(login.lease_duration);
                let (token, renewable) = (Secret::new(login.client_token), login.renewable);
                self.hold(Held { token, ends: ends(life), life, renewable });
                Ok(())
            }
            Ok(_) => Err(Error::upstream(format!("{id} answers a log-in with no token"))),
            Err(refused) => {
                self.held.store(None);
                Err(Error::upstream(format!("{id} does not let its role log in: {}", refused.what)))
            }
        }
    }

    async fn look(&self, token: &Secret, deadline: Instant) -> Result<Result<Held, Refused>> {
        let request = LookupTokenSelfRequest {};
        Ok(self.wire.send_now(Some(token.reveal()), &request, deadline).await?.map(|answer| {
            let data = answer.data.unwrap_or_default();
            let seconds =
                |name: &str| Duration::from_secs(data.get(name).and_then(Value::as_u64).unwrap_or(0));
            let (left, whole) = (seconds("ttl"), seconds("creation_ttl"));
            let renewable = data.get("renewable").and_then(Value::as_bool).unwrap_or(false);
            let known = self.held.load_full().filter(|held| held.token.reveal() == token.reveal());
            let life = known.map_or_else(|| whole.max(left), |held| held.life);
            Held { token: token.clone(), ends: ends(left), life, renewable }
        }))
    }

    async fn renew(&self, held: &Held, deadline: Instant) -> Result<Result<Held, Refused>> {
        let request = RenewTokenSelfRequest { increment: None };
        let answer = self.wire.send_now(Some(held.token.reveal()), &request, deadline).await?;
        Ok(answer.map(|answer| {
            let (left, renewable) =
                answer.auth.map_or((0, false), |login| (login.lease_duration, login.renewable));
            let life = Duration::from_secs(left);
            Held { token: held.token.clone(), ends: ends(life), life, renewable }
        }))
    }
}

fn ends(life: Duration) -> Option<Instant> {
    (!life.is_zero()).then(|| Instant::now() + life)
}

/// Whether a renewal has given it another life, and not just what was left of its longest.
fn lives_on(held: &Held, life: Duration) -> bool {
    held.ends.is_none_or(|ends| ends.saturating_duration_since(Instant::now()) > life.mul_f64(0.5))
}

fn ending(ends: Instant) -> String {
    let left = ends.saturating_duration_since(Instant::now());
    format!("it ends in {} s and cannot be renewed beyond that; give the connection another", left.as_secs())
}
