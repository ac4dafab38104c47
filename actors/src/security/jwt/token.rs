//! Tokens themselves: a signed JWT, sealed with Fernet. What comes from outside is opened here, and nowhere else.

use aws_lc_rs::{hmac, rand};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE;
use fernet::Fernet;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use sdk::{Error, Result};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

/// No token is longer, in bytes. What is longer is refused before anything is computed.
pub(super) const LONGEST: usize = 4096;
/// How far the clocks of two nodes may be apart, in seconds.
const LEEWAY: i64 = 60;

/// What a token says. Nobody but the nodes can read it.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Claims {
    /// The session.
    pub(super) jti: String,
    /// The user name.
    pub(super) sub: String,
    /// The security definition.
    pub(super) iss: String,
    /// A keyed hash of the user name and password that it was made under: with others, it counts no more.
    pub(super) under: String,
    /// When it was made, in seconds since 1970.
    pub(super) iat: i64,
    /// When it begins to count: the same.
    pub(super) nbf: i64,
    /// How many seconds it counts after each use.
    pub(super) ttl: u64,
    /// When it ends, however often it is used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) exp: Option<i64>,
}

/// An id that nobody can guess.
pub(super) fn session_id() -> Result<String> {
    let mut bytes = [0; 16];
    rand::fill(&mut bytes).map_err(|_| Error::internal("the system gives no random numbers"))?;
    Ok(hex(&bytes))
}

/// Makes and opens the tokens of one definition.
pub(super) struct Mint {
    issuer: String,
    /// Never empty; the first makes, all open.
    keys: Vec<Keys>,
    validation: Validation,
}

struct Keys {
    seal: Fernet,
    sign: EncodingKey,
    check: DecodingKey,
    /// What tokens say of the credential that they are made under.
    under: String,
}

type Key = Zeroizing<[u8; 32]>;

impl Mint {
    /// With these keys to seal and to sign, in the same order, for this user name and password.
    pub(super) fn new(issuer: &str, seal: &[Key], sign: &[Key], credential: &[u8]) -> Result<Self> {
        let keys = seal.iter().zip(sign).map(|(seal, sign)| {
            let text = Zeroizing::new(URL_SAFE.encode(seal.as_ref()));
            let seal = Fernet::new(&text).ok_or_else(|| Error::internal("a derived key is no key"))?;
            let under = under(sign.as_ref(), credential);
            let (sign, check) =
                (EncodingKey::from_secret(sign.as_ref()), DecodingKey::from_secret(sign.as_ref()));
            Ok(Keys { seal, sign, check, under })
        });
        let keys = keys.collect::<Result<Vec<_>>>()?;
        if keys.is_empty() {
            return Err(Error::internal("there is no key to make tokens with"));
        }
        // One algorithm, whatever the token says of itself. Times are compared below, by the clock that is handed in.
        let mut validation = Validation::new(Algorithm::HS256);
        validation.required_spec_claims.clear();
        validation.validate_exp = false;
        validation.validate_nbf = false;
        validation.validate_aud = false;
        Ok(Self { issuer: issuer.into(), keys, validation })
    }

    /// What tokens say that are made now of the credential that they are made under.
    pub(super) fn under(&self) -> &str {
        &self.keys[0].under
    }

    /// A token that says this.
    pub(super) fn make(&self, claims: &Claims) -> Result<String> {
        let keys = &self.keys[0];
        let jwt = jsonwebtoken::encode(&Header::new(Algorithm::HS256), claims, &keys.sign)
            .map_err(|e| Error::internal("no token can be signed").because(e))?;
        Ok(keys.seal.encrypt(jwt.as_bytes()))
    }

    /// What a token says, if it was made with one of the keys and counts at this time, in seconds since 1970.
    pub(super) fn open(&self, token: &str, now: i64) -> Option<Claims> {
        // A token has one form only: without its padding, it would be a second one of the same meaning.
        if token.len() > LONGEST || !token.len().is_multiple_of(4) {
            return None;
        }
        let (keys, jwt) = self.keys.iter().find_map(|keys| Some((keys, keys.seal.decrypt(token).ok()?)))?;
        let read = jsonwebtoken::decode::<Claims>(&jwt, &keys.check, &self.validation).ok()?;
        let claims = read.claims;
        let in_time = claims.nbf.max(claims.iat) <= now.saturating_add(LEEWAY)
            && claims.exp.is_none_or(|exp| exp > now);
        // Nobody can choose what is compared: it is inside the seal and the signature.
        let ours = claims.iss == self.issuer && claims.under == keys.under;
        (in_time && ours).then_some(claims)
    }
}

/// A keyed hash of a credential, for tokens that are made with this key. What is hashed begins as no JWT does, so that it
/// is never a signature.
fn under(key: &[u8], credential: &[u8]) -> String {
    let mut context = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, key));
    context.update(b"\nmade under\n");
    context.update(credential);
    hex(&context.sign().as_ref()[..16])
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}
