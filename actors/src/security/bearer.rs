//! A bearer token (RFC 6750) that says who we are in requests to others.

use std::sync::Arc;

use async_trait::async_trait;
use config::definition::SEALED_TEXT;
use config::{Fault, Secret};
use http::header::AUTHORIZATION;
use schemars::JsonSchema;
use sdk::Result;
use serde::{Deserialize, Serialize};

use super::fixed::FixedHeader;
use crate::kind::{Kind, Start};
use crate::part::{Guard, Part};

/// A fixed token for outgoing requests: connections that refer to this definition send `Authorization: Bearer TOKEN`.
/// Channels cannot refer to it.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Params {
    /// The token, without the word `Bearer`.
    token: Secret,
}

/// See the module.
pub struct Bearer;

#[async_trait]
impl Kind for Bearer {
    const TAG: &'static str = "security.bearer";
    type Params = Params;

    fn example() -> Params {
        Params { token: Secret::new("a-token-from-the-other-side") }
    }

    fn check(params: &Params) -> Vec<Fault> {
        let token = params.token.reveal();
        // What RFC 6750 calls a b64token, and what else some issuers use; never blanks or controls.
        let fits = !token.is_empty() && token.bytes().all(|b| b.is_ascii_graphic());
        if fits || token == SEALED_TEXT {
            return Vec::new();
        }
        let fault = Fault::new("token", "a token is not empty, and holds no blanks and nothing but ASCII");
        vec![fault.hint("give it without the word Bearer")]
    }

    async fn start(params: Params, _: Start) -> Result<Part> {
        let header = FixedHeader::new(AUTHORIZATION, &format!("Bearer {}", params.token.reveal()))?;
        Ok(Part::Security(Guard { outgoing: Some(Arc::new(header)), ..Guard::default() }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_one_word() {
        let faults = |token: &str| Bearer::check(&Params { token: Secret::new(token) }).len();
        assert_eq!(faults("eyJhbGciOi.J9_-~+/=="), 0);
        assert_eq!(faults(SEALED_TEXT), 0, "a masked token keeps the one that is there");
        for wrong in ["", "Bearer abc", "a\nb", "schlüssel"] {
            assert_eq!(faults(wrong), 1, "{wrong:?}");
        }
    }
}
