//! `Authorization: Basic`: only the one user name with the one password is let in, however they are written.

#![no_main]

use std::sync::{Arc, LazyLock};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use libfuzzer_sys::fuzz_target;
use sdk::Security;
use zeugma_fuzz::{Tried, with_header};

const RIGHT: &[u8] = "clerk:s3:crêt".as_bytes();

static TRIED: LazyLock<(Tried, Arc<dyn Security>)> = LazyLock::new(|| {
    let tried = Tried::start("security: [{name: s, type: basic, username: clerk, password: 's3:crêt'}]");
    let security = tried.security("s");
    (tried, security)
});

fuzz_target!(|data: &[u8]| {
    let (tried, security) = &*TRIED;
    let Some((mode, data)) = data.split_first() else { return };
    let encoded = format!("Basic {}", STANDARD.encode(data));
    let shown = if mode % 2 == 0 { data } else { encoded.as_bytes() };
    let Some(head) = with_header("authorization", shown) else { return };
    let admitted = tried.admit(security, &head).is_some();
    if mode % 2 == 1 {
        assert_eq!(admitted, data == RIGHT);
    } else if admitted {
        let text = std::str::from_utf8(data).expect("text");
        let (scheme, credential) = text.split_once(' ').expect("a scheme");
        assert!(scheme.eq_ignore_ascii_case("basic"));
        let padded = credential.trim().trim_end_matches('=');
        assert_eq!(padded, STANDARD.encode(RIGHT).trim_end_matches('='));
    }
});
