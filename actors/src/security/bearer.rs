//! Bearer tokens (RFC 6750) of others: those that callers show, signed by an issuer that is trusted, and those by which
//! we say who we are.

mod grant;
mod issuer;
mod keys;

use std::sync::Arc;

use async_trait::async_trait;
use config::definition::SEALED_TEXT;
use config::{Fault, Secret};
use http::header::AUTHORIZATION;
use schemars::JsonSchema;
use sdk::Result;
use serde::{Deserialize, Serialize};
use url::Url;

use self::grant::Grant;
use self::issuer::Check;
use super::fixed::FixedHeader;
use crate::admission::Rate;
use crate::admission::metered::{Of, metered};
use crate::kind::{Kind, Start};
use crate::part::{CHECK_CALLERS, Credentials, Guard, LOG_IN, Part};

pub use self::grant::{ClientCredentials, SendSecret};
pub use self::issuer::{Accept, Signature};

/// Tokens of others. With `accept`, callers of channels show tokens that an issuer has signed. With `token` or
/// `client_credentials`, connections send one.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Params {
    /// A fixed token for outgoing requests, without the word `Bearer`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    token: Option<Secret>,
    /// Where to get a token for outgoing requests (OAuth 2.0, RFC 6749, 4.4). It is kept and renewed in time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    client_credentials: Option<ClientCredentials>,
    /// Whose tokens callers may show.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    accept: Option<Accept>,
    /// How often callers may call, by all channels that use this definition together; left out: as often as they like. One
    /// more is answered 429.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    rate: Option<Rate<Of>>,
}

/// See the module.
pub struct Bearer;

#[async_trait]
impl Kind for Bearer {
    const TAG: &'static str = "security.bearer";
    type Params = Params;

    fn example() -> Params {
        let token = Some(Secret::new("a-token-from-the-other-side"));
        Params { token, client_credentials: None, accept: None, rate: None }
    }

    fn check(params: &Params) -> Vec<Fault> {
        let mut faults = Vec::new();
        if let Some(token) = &params.token {
            let token = token.reveal();
            // What RFC 6750 calls a b64token, and what else some issuers use; never blanks or controls.
            let fits = !token.is_empty() && token.bytes().all(|b| b.is_ascii_graphic());
            if !fits && token != SEALED_TEXT {
                let what = "a token is not empty, and holds no blanks and nothing but ASCII";
                faults.push(Fault::new("token", what).hint("give it without the word Bearer"));
            }
        }
        match (&params.token, &params.client_credentials, &params.accept) {
            (None, None, None) => faults.push(
                Fault::new("token", "one of `token`, `client_credentials` and `accept` is needed")
                    .hint("`accept` is for callers of channels, the others are for connections"),
            ),
            (Some(_), Some(_), _) => {
                let what = "give either `token` or `client_credentials`, not both";
                faults.push(Fault::new("client_credentials", what));
            }
            _ => {}
        }
        faults.extend(params.client_credentials.iter().flat_map(ClientCredentials::check));
        faults.extend(params.accept.iter().flat_map(Accept::check));
        faults.extend(params.rate.iter().flat_map(Rate::check));
        if params.rate.is_some() && params.accept.is_none() {
            faults.push(Fault::new("rate", "without `accept` nobody calls by this definition"));
        }
        faults
    }

    fn offers(params: &Params) -> Option<Vec<&'static str>> {
        let incoming = params.accept.is_some().then_some(CHECK_CALLERS);
        let outgoing = (params.token.is_some() || params.client_credentials.is_some()).then_some(LOG_IN);
        Some(incoming.into_iter().chain(outgoing).collect())
    }

    async fn start(params: Params, start: Start) -> Result<Part> {
        let mut guard = Guard::default();
        if let Some(token) = &params.token {
            let header = FixedHeader::new(AUTHORIZATION, &format!("Bearer {}", token.reveal()))?;
            guard.outgoing = Some(Arc::new(header) as Arc<dyn Credentials>);
        }
        if let Some(credentials) = params.client_credentials {
            guard.outgoing = Some(Arc::new(Grant::new(credentials, start.id.clone()).await?));
        }
        if let Some(accept) = params.accept {
            let check = Arc::new(Check::new(accept, &start).await?);
            guard.incoming = Some(metered(check, params.rate.as_ref(), &start));
        }
        Ok(Part::Security(guard))
    }
}

/// What is wrong with the URL of a server that is trusted: it is secured, unless it is on this machine.
fn check_url(at: &str, text: &str) -> Option<Fault> {
    let Ok(url) = text.parse::<Url>() else { return Some(Fault::new(at, "this is no URL")) };
    let local = match url.host() {
        Some(url::Host::Domain(name)) => name == "localhost",
        Some(url::Host::Ipv4(ip)) => ip.is_loopback(),
        Some(url::Host::Ipv6(ip)) => ip.is_loopback(),
        None => false,
    };
    if !url.username().is_empty() || url.password().is_some() {
        return Some(Fault::new(at, "the URL holds credentials, which would be seen by everyone"));
    }
    if url.scheme() == "https" || (url.scheme() == "http" && local) {
        return None;
    }
    let fault = Fault::new(at, "anybody on the way could answer in the server's place");
    Some(fault.hint("use https; http is for servers on this machine only"))
}

/// The client that fetches keys and tokens.
async fn client(ca: Option<std::path::PathBuf>) -> Result<reqwest::Client> {
    let tls = move || crate::connection::tls::client_config(ca.as_deref(), None, true);
    let tls = tokio::task::spawn_blocking(tls).await??;
    let builder = reqwest::Client::builder()
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none()) // whoever is trusted is the one that was named
        .user_agent(concat!("zeugma/", env!("CARGO_PKG_VERSION")))
        .timeout(TIMEOUT)
        .tls_backend_preconfigured(tls);
    builder.build().map_err(|e| sdk::Error::internal("a client cannot be made").because(e))
}

/// How long a server may take that gives out keys or tokens.
const TIMEOUT: std::time::Duration = std::time::Duration::from_secs(10);
/// How much such a server may answer, in bytes.
const MOST: usize = 1 << 20;

/// The body of an answer, if it is not too long.
async fn body(mut answer: reqwest::Response) -> Result<Vec<u8>, String> {
    let mut body = Vec::new();
    while let Some(chunk) = answer.chunk().await.map_err(|e| e.without_url().to_string())? {
        if body.len() + chunk.len() > MOST {
            return Err(format!("the answer is longer than {MOST} bytes"));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn params(token: Option<&str>) -> Params {
        Params { token: token.map(Secret::new), client_credentials: None, accept: None, rate: None }
    }

    #[test]
    fn a_token_is_one_word() {
        let faults = |token: &str| Bearer::check(&params(Some(token))).len();
        assert_eq!(faults("eyJhbGciOi.J9_-~+/=="), 0);
        assert_eq!(faults(SEALED_TEXT), 0, "a masked token keeps the one that is there");
        for wrong in ["", "Bearer abc", "a\nb", "schlüssel"] {
            assert_eq!(faults(wrong), 1, "{wrong:?}");
        }
        assert_eq!(Bearer::check(&params(None)).len(), 1);
    }

    #[test]
    fn servers_elsewhere_are_secured() {
        for fine in
            ["https://idp.example.com/keys", "http://127.0.0.1:8080/", "http://[::1]/", "http://localhost/x"]
        {
            assert_eq!(check_url("u", fine), None, "{fine}");
        }
        for wrong in ["http://idp.example.com/", "ftp://127.0.0.1/", "http://localhost.example.com/", "keys"]
        {
            assert!(check_url("u", wrong).is_some(), "{wrong}");
        }
    }
}
