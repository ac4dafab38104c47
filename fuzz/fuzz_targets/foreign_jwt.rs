//! Tokens of an issuer: any bytes, any header and claims without a signature of the issuer, any claims with one.

#![no_main]

use std::sync::{Arc, LazyLock};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, EncodingKey};
use libfuzzer_sys::fuzz_target;
use sdk::Security;
use serde_json::{Value, json};
use zeugma_fuzz::{Tried, with_header};

struct Kit {
    tried: Tried,
    security: Arc<dyn Security>,
    key: EncodingKey,
}

static KIT: LazyLock<Kit> = LazyLock::new(|| {
    let pair = rcgen::KeyPair::generate().expect("a key");
    let point = pair.public_key_raw();
    let (x, y) = (URL_SAFE_NO_PAD.encode(&point[1..33]), URL_SAFE_NO_PAD.encode(&point[33..65]));
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("jwks.json");
    let keys = json!({"keys": [{"kty": "EC", "crv": "P-256", "kid": "a", "x": x, "y": y}]});
    std::fs::write(&path, keys.to_string()).expect("written");
    let tried = Tried::start(&format!(
        "security: [{{name: idp, type: bearer, accept: {{jwks_file: '{}', issuer: idp, audience: [api], \
         algorithms: [ES256, RS256], roles_claim: scope, refresh: 1d, refresh_pause: 1d}}}}]",
        path.display()
    ));
    let (security, key) = (tried.security("idp"), EncodingKey::from_ec_der(&pair.serialize_der()));
    let kit = Kit { tried, security, key };
    let right = json!({"iss": "idp", "aud": "api", "sub": "a", "exp": 9e9}).to_string();
    let token = signed(&kit, br#"{"alg":"ES256","kid":"a"}"#, right.as_bytes());
    assert!(shows(&kit, token.as_bytes()), "this makes what an issuer makes");
    kit
});

fn shows(kit: &Kit, token: &[u8]) -> bool {
    let head = with_header("authorization", &[b"Bearer ", token].concat());
    head.is_some_and(|head| kit.tried.admit(&kit.security, &head).is_some())
}

fn message(header: &[u8], claims: &[u8]) -> String {
    format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims))
}

fn signed(kit: &Kit, header: &[u8], claims: &[u8]) -> String {
    let message = message(header, claims);
    let signature = jsonwebtoken::crypto::sign(message.as_bytes(), &kit.key, Algorithm::ES256);
    format!("{message}.{}", signature.expect("a signature"))
}

fuzz_target!(|data: &[u8]| {
    let kit = &*KIT;
    let Some((mode, data)) = data.split_first() else { return };
    let mut parts = data.splitn(3, |b| *b == b'\n');
    let (header, claims) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    match mode % 3 {
        0 => assert!(!shows(kit, data)),
        1 => {
            let signature = URL_SAFE_NO_PAD.encode(parts.next().unwrap_or_default());
            assert!(!shows(kit, format!("{}.{signature}", message(header, claims)).as_bytes()), "not signed");
        }
        _ => {
            if shows(kit, signed(kit, header, claims).as_bytes()) {
                let claims: Value = serde_json::from_slice(claims).expect("JSON");
                assert_eq!(claims["iss"], "idp");
                assert!(claims["exp"].as_f64().is_some_and(|exp| exp > 1.6e9), "{claims}");
                assert!(claims["sub"].as_str().is_some_and(|name| !name.is_empty()), "{claims}");
            }
        }
    }
});
