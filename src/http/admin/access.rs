//! Who may do what on the admin listener: every request shows a token, and the token has a role.

use actors::part::{AdminToken, Part};
use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest::{SHA256, digest};
use config::{Family, Principal, Role};
use http::header::{AUTHORIZATION, WWW_AUTHENTICATE};
use http::{HeaderMap, HeaderValue};
use sdk::request::bearer;
use sdk::{Error, ErrorKind};

use super::Head;
use super::audit::Refusal;
use crate::app::App;

/// The name of the token that the first start of a node wrote.
const FIRST: &str = "admin.token";

/// Who sends this request, if their token allows what `wanted` says.
///
/// # Errors
/// Unauthenticated without a token that is known and has not ended; forbidden if it allows less.
pub(super) fn check(app: &App, head: &Head, wanted: Role) -> Result<Principal, Box<Refusal>> {
    let token = bearer(&head.headers).filter(|token| !token.is_empty());
    let Some((name, role)) = token.and_then(|token| known(app, token)) else {
        let message = match head.headers.contains_key(AUTHORIZATION) {
            false => "a bearer token is wanted: the first start of the node wrote one to admin.token",
            true => "this is no admin token of this node, or it has ended",
        };
        let challenge = HeaderValue::from_static("Bearer realm=\"zeugma\"");
        let error = Error::unauthenticated(message).header(WWW_AUTHENTICATE, challenge);
        return Err(Box::new(Refusal { error, by: None }));
    };
    let address = head.peer.map(|peer| peer.ip().to_string());
    if role < wanted {
        let message = format!("the token {name:?} is that of a {role}; this needs one of a {wanted}");
        let by = Some(Principal { token: name, role, address });
        return Err(Box::new(Refusal { error: Error::new(ErrorKind::Forbidden, message), by }));
    }
    Ok(Principal { token: name, role, address })
}

/// Whether a request that was let in with this role would be let in again: the token may have been deleted, have ended, or
/// be that of somebody else by now.
pub(super) fn still(app: &App, headers: &HeaderMap, by: &Principal) -> bool {
    let now = bearer(headers).and_then(|token| known(app, token));
    now.is_some_and(|(name, role)| name == by.token && role >= by.role)
}

fn known(app: &App, token: &str) -> Option<(String, Role)> {
    let same = |a: &[u8], b: &[u8]| verify_slices_are_equal(a, b).is_ok();
    if same(token.as_bytes(), app.admin_token.reveal().as_bytes()) {
        return Some((FIRST.into(), Role::Admin));
    }
    let hash = digest(&SHA256, token.as_bytes());
    let (snapshot, now) = (app.live.now(), app.clock.now());
    let valid = |token: &AdminToken| {
        same(&token.hash, hash.as_ref()) && token.expires.is_none_or(|expires| now < expires)
    };
    // A few dozen at most, and a few requests a second.
    let securities = snapshot.parts.iter().filter(|(id, _)| id.family == Family::Security);
    let mut tokens = securities.filter_map(|(id, running)| match &running.part {
        Part::Security(guard) => Some((id, guard.admin.as_ref()?)),
        _ => None,
    });
    let (id, token) = tokens.find(|(_, token)| valid(token))?;
    Some((id.name.as_str().to_owned(), token.role))
}
