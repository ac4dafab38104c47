//! The keys that an issuer publishes: whatever they are, nobody without a key of theirs is let in.

#![no_main]

use std::path::PathBuf;
use std::sync::{Arc, LazyLock};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use libfuzzer_sys::fuzz_target;
use sdk::{HttpHead, Security};
use zeugma_fuzz::{Tried, with_header};

struct Kit {
    tried: Tried,
    security: Arc<dyn Security>,
    path: PathBuf,
    head: HttpHead,
    _folder: tempfile::TempDir,
}

static KIT: LazyLock<Kit> = LazyLock::new(|| {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("jwks.json");
    std::fs::write(
        &path,
        r#"{"keys": [{"kty": "RSA", "kid": "first", "n": "u1SU1LfVLPHCozMxH2Mo", "e": "AQAB"}]}"#,
    )
    .expect("written");
    // A token whose key is not known is a reason to read the keys again.
    let tried = Tried::start(&format!(
        "security: [{{name: idp, type: bearer, accept: {{jwks_file: '{}', issuer: idp, audience: [api], \
         algorithms: [RS256, PS512, ES256, ES384, EdDSA], refresh_pause: 1ns}}}}]",
        path.display()
    ));
    let part = |text: &str| URL_SAFE_NO_PAD.encode(text);
    let claims = part(r#"{"iss":"idp","aud":"api","sub":"a","exp":9000000000}"#);
    let token = format!("{}.{claims}.{}", part(r#"{"alg":"ES256","kid":"unknown"}"#), part(&"s".repeat(64)));
    let head = with_header("authorization", format!("Bearer {token}").as_bytes()).expect("a head");
    Kit { security: tried.security("idp"), tried, path, head, _folder: folder }
});

fuzz_target!(|data: &[u8]| {
    let kit = &*KIT;
    std::fs::write(&kit.path, data).expect("written");
    assert!(kit.tried.admit(&kit.security, &kit.head).is_none());
});
