//! Who somebody is, as Vault knows them: log-ins by user name, GitHub and LDAP, and tokens looked up.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use config::Secret;
use rustify::endpoint::Endpoint;
use sdk::Error;
use serde_json::{Map, Value};
use tokio::time::Instant;
use vaultrs::api::auth::userpass::requests::LoginRequest;
use vaultrs::api::token::requests::{LookupTokenRequest, LookupTokenSelfRequest};

use super::own_token::OwnToken;
use super::requests::{GithubLogin, LdapLogin};
use super::wire::{Answer, Refused, Wire};
use crate::authority::{Authority, Identity, Method, Proof, Unproven};

/// The longest credential: longer ones are none.
const LONGEST: usize = 8 << 10;

/// See the module.
pub(super) struct People {
    pub(super) wire: Arc<Wire>,
    pub(super) own: Arc<OwnToken>,
    pub(super) default_method: Option<Method>,
}

impl People {
    async fn log_in(
        &self,
        request: &impl Endpoint,
        name: &str,
        deadline: Instant,
    ) -> Result<Identity, Unproven> {
        let answer = self.wire.send(None, request, deadline).await.map_err(Unproven::Away)?;
        let Answer { auth: Some(login), .. } = answer.map_err(unknown)? else {
            let odd = format!("{} answers a log-in with no token", self.wire.id());
            return Err(Unproven::Away(Error::upstream(odd)));
        };
        let lease = Duration::from_secs(login.lease_duration);
        let name = login.metadata.as_ref().and_then(named).unwrap_or_else(|| name.to_owned());
        let mut roles = login.policies;
        roles.extend(login.identity_policies);
        let (token, lease) = (Some(Secret::new(login.client_token)), (!lease.is_zero()).then_some(lease));
        Ok(Identity { name, roles: once_each(roles), token, lease })
    }

    /// Looks a token up: with our own, which takes no use of it; as that token itself where ours may not.
    async fn look_up(&self, token: &str, deadline: Instant) -> Result<Identity, Unproven> {
        let own = self.own.get(deadline).await.map_err(Unproven::Away)?;
        if let Some(own) = own {
            let request = LookupTokenRequest { token: token.to_owned() };
            match self.wire.send(Some(own.reveal()), &request, deadline).await.map_err(Unproven::Away)? {
                Ok(answer) => return identity(answer),
                Err(refused) if refused.what.contains("permission denied") => {
                    let id = self.wire.id();
                    tracing::debug!(%id, "the connection's own token may not look up those of others");
                    self.own.doubt();
                }
                Err(refused) => return Err(unknown(refused)),
            }
        }
        let request = LookupTokenSelfRequest {};
        let answer = self.wire.send(Some(token), &request, deadline).await.map_err(Unproven::Away)?;
        identity(answer.map_err(unknown)?)
    }
}

#[async_trait]
impl Authority for People {
    async fn verify(&self, proof: Proof<'_>, deadline: Instant) -> Result<Identity, Unproven> {
        let Proof { method, mount, username, secret } = proof;
        let unfit = |what: &str| Err(Unproven::Unknown(format!("{what} cannot be one")));
        if secret.is_empty() || secret.len() > LONGEST || secret.chars().any(|c| c.is_control()) {
            return unfit("the secret");
        }
        // These become parts of a path: nobody is to come out elsewhere with them.
        let is_step = |step: &str| {
            !matches!(step, "" | "." | "..")
                && step.len() <= 500
                && !step.contains(|c: char| c == '/' || c.is_control())
        };
        let named = matches!(method, Method::UsernamePassword | Method::Ldap);
        if named && (!is_step(username) || username.trim() != username) {
            return unfit("the user name");
        }
        if mount.is_some_and(|mount| !mount.split('/').all(is_step)) {
            return unfit("the mount point");
        }
        match method {
            Method::Token => self.look_up(secret, deadline).await,
            Method::UsernamePassword => {
                let mount = mount.unwrap_or("userpass").to_owned();
                let (username_, password) = (username.to_owned(), secret.to_owned());
                let request = LoginRequest { mount, username: username_, password };
                self.log_in(&request, username, deadline).await
            }
            Method::Ldap => {
                let request = LdapLogin { mount: mount.unwrap_or("ldap"), username, password: secret };
                self.log_in(&request, username, deadline).await
            }
            Method::Github => {
                let request = GithubLogin { mount: mount.unwrap_or("github"), token: secret };
                self.log_in(&request, "github", deadline).await
            }
        }
    }

    fn default_method(&self) -> Option<Method> {
        self.default_method
    }
}

/// What a looked-up token says.
fn identity(answer: Answer) -> Result<Identity, Unproven> {
    let data = answer.data.unwrap_or_default();
    let words = |name: &str| {
        let list = data.get(name).and_then(Value::as_array).into_iter().flatten();
        list.filter_map(|word| word.as_str().map(str::to_owned)).collect::<Vec<_>>()
    };
    let mut roles = words("policies");
    roles.extend(words("identity_policies"));
    let display = data.get("display_name").and_then(Value::as_str).unwrap_or("token");
    let name =
        data.get("meta").and_then(Value::as_object).and_then(named).unwrap_or_else(|| display.to_owned());
    let left = data.get("ttl").and_then(Value::as_u64).map(Duration::from_secs).unwrap_or_default();
    let endless = data.get("expire_time").is_none_or(Value::is_null);
    if left.is_zero() && !endless {
        return Err(Unproven::Unknown("the token is at its end".into()));
    }
    Ok(Identity { name, roles: once_each(roles), token: None, lease: (!endless).then_some(left) })
}

fn named(metadata: &Map<String, Value>) -> Option<String> {
    metadata.get("username").and_then(Value::as_str).filter(|name| !name.is_empty()).map(str::to_owned)
}

fn once_each(mut roles: Vec<String>) -> Vec<String> {
    roles.sort_unstable();
    roles.dedup();
    roles
}

fn unknown(refused: Refused) -> Unproven {
    match refused.status {
        429 => {
            Unproven::Away(Error::unavailable("Vault has too much to do").retry_after(Duration::from_secs(1)))
        }
        _ => Unproven::Unknown(refused.what),
    }
}
