//! The hash in an admin token's definition: 64 hexadecimal digits, and nothing else.

#![no_main]

use std::sync::LazyLock;

use actors::Registry;
use config::{Clear, Draft, Place, Rules as _};
use libfuzzer_sys::fuzz_target;
use serde_json::{Map, Value};

static REGISTRY: LazyLock<Registry> = LazyLock::new(|| Registry::new(&[], &[]).expect("a registry"));

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let (hash, expires) = text.split_once('\n').map_or((text, None), |(hash, end)| (hash, Some(end)));
    let mut params = Map::new();
    params.insert("role".into(), "viewer".into());
    params.insert("token_hash".into(), hash.into());
    params.extend(expires.map(|end| ("expires".to_owned(), Value::from(end))));
    let draft = Draft {
        id: "security/t".parse().expect("an id"),
        kind: "security.admin-token".parse().expect("a kind"),
        enabled: true,
        params: Clear(params),
        place: Place::default(),
    };
    let faults = REGISTRY.check(&draft).faults;
    let is_hash = hash.len() == 64 && hash.bytes().all(|b| b.is_ascii_hexdigit());
    assert_eq!(is_hash, !faults.iter().any(|fault| fault.at == "token_hash"), "{hash:?} {faults:?}");
});
