//! API keys in a header and in the query: only the one key is let in, once and in its place.

#![no_main]

use std::sync::{Arc, LazyLock};

use libfuzzer_sys::fuzz_target;
use sdk::Security;
use zeugma_fuzz::{Tried, add_header, head};

const KEY: &str = "k3y&";

static TRIED: LazyLock<(Tried, [Arc<dyn Security>; 2])> = LazyLock::new(|| {
    let tried = Tried::start(
        "security:\n- {name: header, type: api-key, key: 'k3y&'}\n- {name: query, type: api-key, query: key, key: 'k3y&'}",
    );
    let both = ["header", "query"].map(|name| tried.security(name));
    (tried, both)
});

fuzz_target!(|data: &[u8]| {
    let (tried, [by_header, by_query]) = &*TRIED;
    // The query, and behind it a line for each header.
    let mut parts = data.splitn(2, |b| *b == b'\n');
    let uri = [b"/x?", parts.next().unwrap_or_default()].concat();
    let Some(mut head) = head(&uri) else { return };
    let lines = parts.next();
    if lines.is_some_and(|lines| add_header(&mut head, "x-api-key", lines).is_none()) {
        return;
    }
    let in_header = tried.admit(by_header, &head).is_some();
    let values = || head.headers.get_all("x-api-key").iter();
    assert_eq!(in_header, values().count() == 1 && values().all(|value| value == KEY));
    let in_query = tried.admit(by_query, &head).is_some();
    let keys: Vec<String> = head.query().filter(|(name, _)| name == "key").map(|(_, key)| key).collect();
    assert_eq!(in_query, keys == [KEY]);
});
