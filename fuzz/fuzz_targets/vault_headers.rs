//! What callers show who are known to Vault: as there is none here, nobody is let in, and nothing falls over.

#![no_main]

use std::sync::{Arc, LazyLock};

use libfuzzer_sys::fuzz_target;
use sdk::Security;
use zeugma_fuzz::{Tried, add_header, head};

const HEADERS: [&str; 5] = [
    "x-zato-vault-token",
    "x-zato-vault-username",
    "x-zato-vault-password",
    "x-zato-vault-mount-point",
    "x-zato-vault-token-github",
];
const METHODS: [&str; 4] = ["token", "username-password", "github", "ldap"];

static TRIED: LazyLock<(Tried, Vec<Arc<dyn Security>>)> = LazyLock::new(|| {
    let mut bundle =
        "connections: [{name: v, type: vault, url: 'http://127.0.0.1:9', token: t, timeout: 1s}]\n\
                      security:\n- {name: any, type: vault, connection: v}\n"
            .to_owned();
    for method in METHODS {
        bundle.push_str(&format!("- {{name: {method}, type: vault, connection: v, method: {method}}}\n"));
    }
    let tried = Tried::start(&bundle);
    let all = METHODS.into_iter().chain(["any"]).map(|name| tried.security(name)).collect();
    (tried, all)
});

fuzz_target!(|data: &[u8]| {
    let (tried, all) = &*TRIED;
    let Some((which, data)) = data.split_first() else { return };
    let Some(mut head) = head(b"/") else { return };
    // Each line says in its first byte which header it is.
    for line in data.split(|b| *b == b'\n') {
        let Some((name, value)) = line.split_first() else { continue };
        if add_header(&mut head, HEADERS[usize::from(*name) % HEADERS.len()], value).is_none() {
            return;
        }
    }
    assert!(tried.admit(&all[usize::from(*which) % all.len()], &head).is_none());
});
