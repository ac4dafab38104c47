//! `zeugma.jwt.create-token`: tokens on behalf of others, of which the audit log tells.

use actors::service::jwt::{CREATE_TOKENS, Token, Wanted};
use async_trait::async_trait;
use schemars::schema_for;
use sdk::input::Decoder;
use sdk::{Context, Error, Request, Response, Result, Service, ServiceInfo};

use super::{Management, by_operator};

/// See the module.
pub(super) struct CreateToken(pub(super) Management);

#[async_trait]
impl Service for CreateToken {
    fn info(&self) -> ServiceInfo {
        let info = ServiceInfo::new(
            "zeugma.jwt.create-token",
            Some("zeugma.jwt"),
            "Makes a token on behalf of somebody else, without their password. Only through the admin API, or for callers with \
             the role create-tokens.",
        );
        ServiceInfo { input: Some(schema_for!(Wanted)), output: Some(schema_for!(Token)), ..info }
    }

    async fn call(&self, ctx: &Context, request: Request) -> Result<Response> {
        let wanted: Wanted = Decoder::new().decode(&request)?;
        if !by_operator(ctx) && !ctx.caller().is_some_and(|caller| caller.has(CREATE_TOKENS)) {
            return Err(Error::forbidden(format!("only callers with the role {CREATE_TOKENS} may do this")));
        }
        let issuer = wanted.issuer(ctx)?;
        let about = format!("a token for {:?} of security/{}", wanted.username, issuer.name());
        Response::json(&self.0.noted(ctx, about, wanted.token(&*issuer)).await?)
    }
}
