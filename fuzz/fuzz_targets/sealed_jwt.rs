//! Tokens that are made here: any bytes instead of one, anything in the right seal, and any claims that are rightly
//! sealed and signed.

#![no_main]

use std::sync::{Arc, LazyLock};

use base64::Engine as _;
use base64::engine::general_purpose::{URL_SAFE, URL_SAFE_NO_PAD};
use fernet::Fernet;
use jsonwebtoken::{Algorithm, EncodingKey};
use libfuzzer_sys::fuzz_target;
use sdk::Security;
use zeugma_fuzz::{Tried, with_header};

struct Kit {
    tried: Tried,
    security: Arc<dyn Security>,
    seal: Fernet,
    sign: EncodingKey,
    real: String,
}

static KIT: LazyLock<Kit> = LazyLock::new(|| {
    let tried = Tried::start("security: [{name: web, type: jwt, username: web, password: hush}]");
    let key = |purpose: &str| tried.keyring.shared_by_each(&format!("{purpose} of security/web")).remove(0);
    let seal = Fernet::new(&URL_SAFE.encode(key("jwt seal").as_ref())).expect("a key");
    let sign = EncodingKey::from_secret(key("jwt sign").as_ref());
    let (security, real) = (tried.security("web"), tried.log_in("web", "hush"));
    let kit = Kit { tried, security, seal, sign, real };
    assert!(shows(&kit, &kit.real.clone()), "the real one is let in");
    let inside = kit.seal.decrypt(&kit.real).expect("these are the keys");
    let mut parts =
        inside.splitn(3, |b| *b == b'.').map(|part| URL_SAFE_NO_PAD.decode(part).expect("base64"));
    let (header, claims) = (parts.next().expect("a header"), parts.next().expect("claims"));
    assert!(shows(&kit, &signed(&kit, &header, &claims)), "this makes what the engine makes");
    kit
});

fn shows(kit: &Kit, token: &str) -> bool {
    let head = with_header("authorization", format!("Bearer {token}").as_bytes());
    head.is_some_and(|head| kit.tried.admit(&kit.security, &head).is_some())
}

fn signed(kit: &Kit, header: &[u8], claims: &[u8]) -> String {
    let message = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims));
    let signature = jsonwebtoken::crypto::sign(message.as_bytes(), &kit.sign, Algorithm::HS256);
    kit.seal.encrypt(format!("{message}.{}", signature.expect("a signature")).as_bytes())
}

fuzz_target!(|data: &[u8]| {
    let kit = &*KIT;
    let Some((mode, data)) = data.split_first() else { return };
    match mode % 4 {
        0 => {
            let Ok(token) = std::str::from_utf8(data) else { return };
            assert!(!shows(kit, token) || token == kit.real);
        }
        1 => {
            // The real one, with some bytes changed.
            let mut token = kit.real.clone().into_bytes();
            for change in data.chunks_exact(3) {
                let at = usize::from(u16::from_le_bytes([change[0], change[1]])) % token.len();
                token[at] = change[2];
            }
            let Ok(token) = String::from_utf8(token) else { return };
            assert!(!shows(kit, &token) || token == kit.real);
        }
        2 => assert!(!shows(kit, &kit.seal.encrypt(data)), "nothing in it is signed"),
        _ => {
            let mut parts = data.splitn(2, |b| *b == b'\n');
            let (header, claims) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
            shows(kit, &signed(kit, header, claims));
        }
    }
});
