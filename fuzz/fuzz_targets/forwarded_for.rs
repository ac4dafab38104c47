//! `X-Forwarded-For`: what a stranger writes into it never counts, and what a trusted proxy appends does.

#![no_main]

use std::net::{IpAddr, SocketAddr};

use config::settings::Proxies;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let proxies = Proxies::try_from(vec!["10.0.0.0/8".into(), "::1".into()]).expect("networks");
    let peer = |text: &str| SocketAddr::new(text.parse().expect("an address"), 1);
    let lines = || text.split('\n').rev();
    let stranger = peer("192.0.2.1");
    assert_eq!(proxies.client(stranger, lines()), stranger, "a stranger is not believed");
    let proxy = peer("10.0.0.1");
    let found = proxies.client(proxy, lines()).ip();
    assert!(found == proxy.ip() || text.contains([':', '.']), "{found} {text:?}");
    // Whatever a client wrote, the address that the proxy adds is believed.
    let client: IpAddr = "203.0.113.9".parse().expect("an address");
    let with_ours = [&client.to_string(), text];
    assert_eq!(proxies.client(proxy, with_ours.into_iter()).ip(), client, "{text:?}");
});
