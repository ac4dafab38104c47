//! `zeugma.jwt.*`: logging in for a token, logging out, and where both are mounted; and what tokens on behalf of others are
//! made of.

use std::sync::Arc;

use config::{Secret, Span};
use http::HeaderValue;
use http::header::{AUTHORIZATION, WWW_AUTHENTICATE};
use schemars::JsonSchema;
use sdk::{Context, Error, Issuer, Origin, Request, Response, Result};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// The role of those who may make tokens on behalf of others.
pub const CREATE_TOKENS: &str = "create-tokens";

/// The channels that come with the first definition of tokens: name and parameters. A definition of the same name, or
/// one at the same path, replaces them.
pub(crate) fn channels() -> [(&'static str, Value); 4] {
    let channel = |path: &str, service: &str, zato: bool| {
        let mut params = json!({"path": path, "method": "POST", "service": service, "data_format": "json",
                                "body_limit": "16kB", "concurrency": 256});
        if zato {
            params["envelope"] = "response".into();
            params["errors"] = "zato_env".into();
        }
        params
    };
    [
        ("zeugma.jwt.log-in", channel("/zato/jwt/log-in", "zeugma.jwt.log-in", true)),
        ("zeugma.jwt.log-out", channel("/zato/jwt/log-out", "zeugma.jwt.log-out", true)),
        ("zeugma.api.token", channel("/api/token", "zeugma.jwt.log-in", false)),
        ("zeugma.api.token.log-out", channel("/api/token/log-out", "zeugma.jwt.log-out", false)),
    ]
}

/// Who logs in.
#[derive(Deserialize, JsonSchema)]
pub struct Credentials {
    /// The user name.
    username: String,
    /// The password.
    password: Secret,
    /// The security definition, if several have this user name; left out: whichever has this user name and password.
    #[serde(default)]
    security: Option<String>,
}

/// A token.
#[derive(Serialize, JsonSchema)]
pub struct Token {
    /// To be sent as `Authorization: Bearer TOKEN`.
    token: String,
}

fn answer(token: String) -> Result<Response> {
    let header = HeaderValue::from_str(&token);
    let mut header = header.map_err(|_| Error::internal("a token cannot be a header"))?;
    header.set_sensitive(true);
    Ok(Response::json(&Token { token })?.with_header(AUTHORIZATION, header))
}

/// Answers a token for a user name and a password of a security definition of type jwt, in the body and in the header
/// Authorization. Wrong ones are answered with 401, whichever of them is wrong.
#[sdk::service(name = "zeugma.jwt.log-in", namespace = "zeugma.jwt")]
pub async fn log_in(ctx: &Context, input: Credentials) -> Result<Response> {
    let from = match ctx.origin() {
        Origin::Outside(from) => from,
        Origin::Within => None,
    };
    let mut found = None;
    for issuer in ctx.issuers() {
        if input.security.as_deref().is_none_or(|name| name == issuer.name()) && found.is_none() {
            found = issuer.log_in(&input.username, input.password.reveal(), from).await?;
        }
    }
    let wrong = || {
        let error = Error::unauthenticated("wrong user name or password");
        error.header(WWW_AUTHENTICATE, HeaderValue::from_static("jwt"))
    };
    answer(found.ok_or_else(wrong)?)
}

/// Which token.
#[derive(Deserialize, JsonSchema)]
struct Given {
    /// The token.
    token: Secret,
}

/// Ends the session of the token in the header Authorization, or in the field `token`, on every node at once. Answers
/// 400 if there is none, or it is not valid.
#[sdk::service(name = "zeugma.jwt.log-out", namespace = "zeugma.jwt")]
pub async fn log_out(ctx: &Context, request: Request) -> Result<Response> {
    let header = request.http.as_ref().and_then(|head| head.header(AUTHORIZATION));
    let given = match header {
        Some(header) => {
            let (scheme, token) = header.split_once(' ').unwrap_or(("Bearer", header));
            scheme.eq_ignore_ascii_case("bearer").then(|| Secret::new(token))
        }
        None => serde_json::from_slice::<Given>(&request.raw).ok().map(|given| given.token),
    };
    let given = given.ok_or_else(|| Error::invalid("there is no token to log out with"))?;
    for issuer in ctx.issuers() {
        if issuer.log_out(given.reveal()).await? {
            return Response::json(&json!({"result": "logged out"}));
        }
    }
    Err(Error::invalid("this token cannot be logged out: it is not valid"))
}

/// For whom a token is to be made.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Wanted {
    /// The security definition; it may be left out if there is only one.
    #[serde(default)]
    security: Option<String>,
    /// The user name that services see.
    pub username: String,
    /// How long it is valid after each use; left out: as the definition says.
    #[serde(default)]
    ttl: Option<Span>,
}

impl Wanted {
    /// Who makes it.
    ///
    /// # Errors
    /// If there is no such definition, or it is not clear which one is meant.
    pub fn issuer(&self, ctx: &Context) -> Result<Arc<dyn Issuer>> {
        let mut issuers = ctx.issuers();
        if let Some(name) = &self.security {
            issuers.retain(|issuer| issuer.name() == name);
        }
        match issuers.len() {
            0 => Err(Error::not_found("there is no such security definition of type jwt")),
            1 => Ok(issuers.remove(0)),
            _ => Err(Error::invalid("there are several security definitions of type jwt: say which one")),
        }
    }

    /// Has it made.
    ///
    /// # Errors
    /// As [`Issuer::create`].
    pub async fn token(&self, issuer: &dyn Issuer) -> Result<Token> {
        Ok(Token { token: issuer.create(&self.username, self.ttl.map(Span::get)).await? })
    }
}
