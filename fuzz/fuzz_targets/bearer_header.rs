//! `Authorization: Bearer`, as channels and the admin listener read it: a token is found only where it is.

#![no_main]

use libfuzzer_sys::fuzz_target;
use zeugma_fuzz::with_header;

fuzz_target!(|data: &[u8]| {
    let Some(head) = with_header("authorization", data) else { return };
    if let Some(token) = head.bearer() {
        assert_eq!(head.headers.len(), 1, "of two headers none is believed");
        let (scheme, rest) = data.split_at("bearer ".len());
        assert!(scheme.eq_ignore_ascii_case(b"bearer "));
        assert_eq!(token.as_bytes(), rest);
    }
});
