//! Callers whom a Vault server knows: by token, user name and password, GitHub or LDAP.

mod cache;
mod shown;

use std::hash::{Hash as _, Hasher};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use config::{DefId, Family, Fault, Name, Need, Span, Want};
use http::header::WWW_AUTHENTICATE;
use http::{HeaderName, HeaderValue};
use schemars::JsonSchema;
use sdk::{
    Admitted, Caller, ChannelInfo, Context, Error, ErrorKind, HttpHead, Origin, Request, Result, Security,
    Visit,
};
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use self::cache::{Cache, Entry};
use self::shown::{Picked, Shown, question};
use crate::admission::Rate;
use crate::admission::metered::{Of, metered};
use crate::authority::{Authority, Identity, Method, Proof, Unproven};
use crate::kind::{Kind, Start};
use crate::part::{CHECK_CALLERS, Guard, KNOW_PEOPLE, Part};

/// What callers who are not known are told they need.
const CHALLENGE: HeaderValue = HeaderValue::from_static("zato-vault");
/// The token of a caller, in answers.
const TOKEN: HeaderName = HeaderName::from_static("x-zato-vault-token");
/// How long it holds, in seconds.
const LEASE: HeaderName = HeaderName::from_static("x-zato-vault-token-lease-duration");
/// How long a caller is checked who came without a deadline.
const LONGEST: Duration = Duration::from_secs(15);
/// What is left of a request's time to say that its caller could not be checked.
const MARGIN: Duration = Duration::from_millis(50);
/// The most callers that can be remembered.
const MOST: u32 = 1_000_000;

/// Callers whom a Vault server knows. They show a token (`X-Zato-Vault-Token`), a user name and a password
/// (`X-Zato-Vault-Username`, `X-Zato-Vault-Password`, and `X-Zato-Vault-Mount-Point` if neither `method` nor `mount`
/// says where), or a token of GitHub (`X-Zato-Vault-Token-GitHub`). Their policies in Vault are their roles. Answers
/// carry `X-Zato-Vault-Token` and `X-Zato-Vault-Token-Lease-Duration`.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Params {
    /// The connection to Vault.
    connection: Name,
    /// By what callers are known. Default: the `default_method` of the connection; without one, by the header that is
    /// there, in the order token, user name and password, token of GitHub. LDAP counts only if it is given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    method: Option<Method>,
    /// A service that picks the method of each request, before `method` and all defaults. It is invoked with
    /// `{"sec_def", "body": null, "environ"}` and answers `{"method", "headers"}`, both of which may be left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    service: Option<Name>,
    /// Where the method is mounted in Vault. Default: `userpass`, `github` or `ldap`. Callers may say another place only if
    /// neither this nor `method` is there, and never one for LDAP.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    mount: Option<String>,
    /// After this time Vault is asked again about a caller who was let in: one whose token was revoked is refused
    /// after this time at the latest. Default: 10s.
    #[serde(default = "default_recheck")]
    recheck: Span,
    /// After this time a caller who shows a password or a token of GitHub is logged in again, so that one that was
    /// changed is noticed. Each log-in makes a token in Vault. Default: 5m.
    #[serde(default = "default_log_in_again")]
    log_in_again: Span,
    /// How many callers are remembered, on each node, as keyed hashes of what they have shown. Default: 10000.
    #[serde(default = "default_remember")]
    remember: u32,
    /// How often callers may call, by all channels that use this definition together; left out: as often as they like. One
    /// more is answered 429.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    rate: Option<Rate<Of>>,
}

fn default_recheck() -> Span {
    Span::secs(10)
}
fn default_log_in_again() -> Span {
    Span::secs(300)
}
fn default_remember() -> u32 {
    10_000
}

/// See the module.
pub struct Vault;

#[async_trait]
impl Kind for Vault {
    const TAG: &'static str = "security.vault";
    type Params = Params;

    fn example() -> Params {
        Params {
            connection: "my.vault".parse().unwrap_or_else(|_| unreachable!("it is a name")),
            method: None,
            service: None,
            mount: None,
            recheck: default_recheck(),
            log_in_again: default_log_in_again(),
            remember: default_remember(),
            rate: None,
        }
    }

    fn check(params: &Params) -> Vec<Fault> {
        let mut faults = Vec::new();
        for (at, span) in [("recheck", params.recheck), ("log_in_again", params.log_in_again)] {
            if span.get() < Duration::from_millis(100) || span.get() > Duration::from_secs(86_400) {
                faults.push(Fault::new(at, "it must be a tenth of a second at least, and a day at most"));
            }
        }
        if params.remember == 0 || params.remember > MOST {
            faults.push(Fault::new("remember", format!("it must be 1 at least, and {MOST} at most")));
        }
        if params.mount.as_deref().is_some_and(|mount| mount.split('/').any(|s| matches!(s, "" | "." | "..")))
        {
            faults.push(
                Fault::new("mount", "this is no mount point")
                    .hint("such as userpass, with no slash around it"),
            );
        }
        if params.mount.is_some() && params.method == Some(Method::Token) {
            faults.push(Fault::new("mount", "tokens are looked up, not mounted"));
        }
        faults.extend(params.rate.iter().flat_map(Rate::check));
        faults
    }

    fn needs(params: &Params) -> Vec<Need> {
        let connection = DefId::new(Family::Connection, params.connection.clone());
        let service = params.service.iter().map(|name| DefId::new(Family::Service, name.clone()));
        let mut needs = vec![Need { at: "connection".into(), id: connection }];
        needs.extend(service.map(|id| Need { at: "service".into(), id }));
        needs
    }

    fn wants(params: &Params) -> Vec<Want> {
        let id = DefId::new(Family::Connection, params.connection.clone());
        vec![Want { at: "connection".into(), id, ability: KNOW_PEOPLE }]
    }

    fn offers(_: &Params) -> Option<Vec<&'static str>> {
        Some(vec![CHECK_CALLERS])
    }

    async fn start(params: Params, start: Start) -> Result<Part> {
        let id = DefId::new(Family::Connection, params.connection);
        let authority = match &start.part(&id)?.part {
            Part::Connection(connection) => connection.authority(),
            _ => None,
        };
        let unfit = || Error::unavailable(format!("{id} knows nobody: it is to be of type vault"));
        let security = start.id.name.to_string();
        let channel = ChannelInfo::new(security.as_str(), "security");
        let check = Check {
            authority: authority.ok_or_else(unfit)?,
            method: params.method,
            service: params.service,
            mount: params.mount,
            recheck: params.recheck.get(),
            log_in_again: params.log_in_again.get(),
            cache: Cache::new(usize::try_from(params.remember).unwrap_or(usize::MAX))?,
            security,
            channel,
        };
        let incoming = Some(metered(Arc::new(check), params.rate.as_ref(), &start));
        Ok(Part::Security(Guard { incoming, ..Guard::default() }))
    }
}

/// Checks callers.
struct Check {
    authority: Arc<dyn Authority>,
    method: Option<Method>,
    service: Option<Name>,
    mount: Option<String>,
    recheck: Duration,
    log_in_again: Duration,
    cache: Cache,
    security: String,
    channel: ChannelInfo,
}

/// What wrong credentials are answered.
const UNKNOWN: &str = "these credentials are not known";

impl Check {
    fn refuse(&self, what: impl Into<std::borrow::Cow<'static, str>>) -> Error {
        Error::unauthenticated(what).header(WWW_AUTHENTICATE, CHALLENGE)
    }

    /// What the service says that picks the method.
    async fn pick(&self, service: &Name, head: &HttpHead, visit: &Visit<'_>) -> Result<Picked> {
        let (name, engine) = (self.security.as_str().into(), visit.engine.clone());
        let ctx = Context::new(visit.cid, None, self.channel.clone(), visit.deadline, name, engine);
        let ctx = ctx.with_origin(Origin::Within); // the engine asks, not the caller
        let request = Request::json(&question(&self.security, head))?;
        let answer = visit.engine.invoke(&ctx, service.as_str(), request).await?;
        if answer.body.is_empty() {
            return Ok(Picked::default());
        }
        answer.parse().map_err(|e| {
            Error::internal(format!("service {service:?} answers no method")).because(e.to_string())
        })
    }

    async fn find(&self, proof: Proof<'_>, deadline: Instant) -> Result<Arc<Entry>> {
        let print = self.cache.print(&proof);
        if let Some(entry) = self.fresh(&print) {
            return Ok(entry);
        }
        let _turn = self.cache.turn(&print, deadline).await?;
        if let Some(entry) = self.fresh(&print) {
            return Ok(entry); // several began with the same credentials, and one of them has been through
        }
        let known = self.cache.get(&print).filter(|entry| self.stays_logged_in(entry));
        let outcome = match known {
            Some(known) => match self.ask_again(&known, deadline).await {
                Err(Unproven::Unknown(_)) => self.ask(proof, deadline).await,
                outcome => outcome,
            },
            None => self.ask(proof, deadline).await,
        };
        match outcome {
            Ok(entry) => {
                let entry = Arc::new(entry);
                self.cache.put(print, entry.clone());
                Ok(entry)
            }
            Err(Unproven::Unknown(why)) => {
                self.cache.forget(&print);
                tracing::debug!(security = %self.security, %why, "a caller is not known");
                Err(self.refuse(UNKNOWN))
            }
            Err(Unproven::Away(error)) => {
                let wait = error.wait().unwrap_or(Duration::from_secs(1));
                let unavailable = Error::new(ErrorKind::Unavailable, "callers cannot be checked now");
                Err(unavailable.retry_after(wait).because(error.to_string()))
            }
        }
    }

    fn fresh(&self, print: &cache::Print) -> Option<Arc<Entry>> {
        let now = Instant::now();
        self.cache.get(print).filter(|entry| {
            let asked_lately = now.duration_since(entry.asked) < self.recheck;
            let logged_in = entry.minted.is_none() || now.duration_since(entry.began) < self.log_in_again;
            asked_lately && logged_in && entry.lives(now)
        })
    }

    /// Whether somebody who has logged in is only asked after, rather than logged in again.
    fn stays_logged_in(&self, entry: &Entry) -> bool {
        let now = Instant::now();
        entry.minted.is_some() && entry.lives(now) && now.duration_since(entry.began) < self.log_in_again
    }

    async fn ask(&self, proof: Proof<'_>, deadline: Instant) -> Result<Entry, Unproven> {
        let asked = Instant::now();
        let Identity { name, roles, token, lease } = self.authority.verify(proof, deadline).await?;
        let caller = Caller::vouch(&name, &self.security, roles).of_kind(Vault::TAG);
        Ok(Entry { caller, minted: token, ends: lease.map(|lease| asked + lease), asked, began: asked })
    }

    /// Whether the token of a log-in still holds.
    async fn ask_again(&self, known: &Entry, deadline: Instant) -> Result<Entry, Unproven> {
        let Some(token) = &known.minted else { return Err(Unproven::Unknown("there is no token".into())) };
        let proof = Proof { method: Method::Token, mount: None, username: "", secret: token.reveal() };
        let asked = Instant::now();
        let Identity { roles, lease, .. } = self.authority.verify(proof, deadline).await?;
        let caller = Caller::vouch(known.caller.name(), &self.security, roles).of_kind(Vault::TAG);
        let (minted, ends) = (Some(token.clone()), lease.map(|lease| asked + lease));
        Ok(Entry { caller, minted, ends, asked, began: known.began })
    }

    async fn let_in(&self, shown: &Shown, method: Option<Method>, deadline: Instant) -> Result<Admitted> {
        let method = method.or(self.method).or_else(|| self.authority.default_method());
        let proof = shown.proof(method, self.mount.as_deref());
        let proof = proof.ok_or_else(|| self.refuse("credentials of Vault are needed"))?;
        let entry = self.find(proof, deadline).await?;
        let (token, lease) = match &entry.minted {
            Some(token) => {
                (token.reveal(), entry.left(Instant::now()).map_or(0, |left| left.as_secs()).to_string())
            }
            None => (proof.secret, "None".to_owned()),
        };
        let mut headers = Vec::new();
        if let (Ok(mut token), Ok(lease)) = (HeaderValue::from_str(token), HeaderValue::from_str(&lease)) {
            token.set_sensitive(true);
            headers = vec![(TOKEN, token), (LEASE, lease)];
        }
        Ok(Admitted { caller: entry.caller.clone(), headers })
    }

    /// The password that is shown.
    fn guessed<'a>(&'a self, shown: &'a Shown) -> Option<Proof<'a>> {
        let method = self.method.or_else(|| self.authority.default_method());
        let proof = shown.proof(method, self.mount.as_deref());
        proof.filter(|proof| matches!(proof.method, Method::UsernamePassword | Method::Ldap))
    }

    /// Whether it is said where the method is mounted: by itself, or by a method that means its usual place. Somewhere
    /// else, others may be known.
    fn pinned(&self) -> bool {
        let said = self.mount.is_some() || self.method.is_some();
        said || self.authority.default_method() == Some(Method::Ldap)
    }

    fn shown(&self, head: &HttpHead) -> Result<Shown> {
        Shown::read(&head.headers, self.pinned()).map_err(|e| e.header(WWW_AUTHENTICATE, CHALLENGE))
    }
}

#[async_trait]
impl Security for Check {
    /// A password; with a service that picks the method, whatever is shown may be taken for one.
    fn guess(&self, head: &HttpHead) -> Option<Error> {
        let shown = self.shown(head).ok()?;
        let guessed = match self.service {
            Some(_) => shown::credentials(&head.headers).is_some(),
            None => self.guessed(&shown).is_some(),
        };
        guessed.then(|| self.refuse(UNKNOWN))
    }

    fn fingerprint(&self, head: &HttpHead, mut into: &mut dyn Hasher) -> bool {
        if self.service.is_none() && !shown::names_somebody(&head.headers) {
            return false; // without taking anything apart
        }
        let Ok(shown) = self.shown(head) else { return false };
        if self.service.is_some() {
            // Nobody but the service knows which of them it looks at.
            let credentials = shown::credentials(&head.headers);
            return credentials.inspect(|all| all.hash(&mut into)).is_some();
        }
        let Some(Proof { method, mount, username, secret }) = self.guessed(&shown) else { return false };
        (method as u8, mount, username, secret).hash(&mut into);
        true
    }

    async fn check(&self, head: &HttpHead) -> Result<Caller> {
        if let Some(service) = &self.service {
            return Err(Error::unavailable(format!(
                "service {service:?} cannot be asked here for the method"
            )));
        }
        let shown = self.shown(head)?;
        Ok(self.let_in(&shown, None, Instant::now() + LONGEST).await?.caller)
    }

    async fn admit(&self, head: &HttpHead, visit: &Visit<'_>) -> Result<Admitted> {
        let mut shown = self.shown(head)?;
        let mut method = None;
        if let Some(service) = &self.service {
            let picked = self.pick(service, head, visit).await?;
            method = picked.method;
            shown.overlay(picked.headers.unwrap_or_default());
        }
        // A little before the request's own time is over, so that the caller hears whose fault it is.
        let deadline = visit.deadline.checked_sub(MARGIN).unwrap_or(visit.deadline);
        self.let_in(&shown, method, deadline).await
    }
}
