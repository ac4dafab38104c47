//! `X-Forwarded-For`: what a stranger writes into it never counts, and what a trusted proxy appends does.

#![no_main]

use std::net::{IpAddr, SocketAddr};

use config::settings::Proxies;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let proxies = Proxies::try_from(vec!["10.0.0.0/8".into(), "::1".into()]).expect("networks");
    let peer = |text: &str| SocketAddr::new(text.parse().expect("an address"), 1);
    let lines = || data.split(|byte| *byte == b'\n').rev();
    let stranger = peer("192.0.2.1");
    assert_eq!(proxies.client(stranger, lines()), stranger, "a stranger is not believed");
    let proxy = peer("10.0.0.1");
    let found = proxies.client(proxy, lines()).ip();
    assert!(found == proxy.ip() || data.iter().any(|byte| b":.".contains(byte)), "{found}");
    // Whatever a client wrote, the address that the proxy adds is believed.
    let client: IpAddr = "203.0.113.9".parse().expect("an address");
    let ours = client.to_string();
    let of_its_own = std::iter::once(ours.as_bytes()).chain(lines());
    assert_eq!(proxies.client(proxy, of_its_own).ip(), client, "in a line of its own");
    let appended = [data, b", ", ours.as_bytes()].concat();
    assert_eq!(proxies.client(proxy, std::iter::once(&*appended)).ip(), client, "at the end of theirs");
});
