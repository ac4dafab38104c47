//! The proxies in front of a node whose word is taken for whom they speak for.

use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

/// Networks of trusted proxies, as an array or as text separated by commas.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(try_from = "Vec<String>", into = "Vec<String>")]
pub struct Proxies(Vec<IpNet>);

impl TryFrom<Vec<String>> for Proxies {
    type Error = String;
    fn try_from(texts: Vec<String>) -> Result<Self, String> {
        let network = |text: &String| {
            let found = IpNet::from_str(text).ok().or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from));
            found.ok_or_else(|| format!("{text:?} is no network"))
        };
        texts.iter().map(network).collect::<Result<_, _>>().map(Self)
    }
}

impl From<Proxies> for Vec<String> {
    fn from(proxies: Proxies) -> Self {
        proxies.0.iter().map(ToString::to_string).collect()
    }
}

impl Proxies {
    /// Whether the one at this address is trusted.
    pub fn trust(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.0.iter().any(|network| network.contains(&address))
    }

    /// Where a request comes from: the peer, or if that is a trusted proxy, the last one in `X-Forwarded-For` who is none.
    /// What stands before that one, or before something that is no address, anybody could have written. `last_first` are the
    /// lines of that header, byte for byte, the last one first.
    pub fn client<'h>(&self, peer: SocketAddr, last_first: impl Iterator<Item = &'h [u8]>) -> SocketAddr {
        if self.0.is_empty() || !self.trust(peer.ip()) {
            return peer;
        }
        let mut client = peer.ip();
        for hop in last_first.flat_map(|line| line.rsplit(|byte| *byte == b',')) {
            let Some(address) = std::str::from_utf8(hop).ok().and_then(|text| address(text.trim())) else {
                break;
            };
            client = address;
            if !self.trust(address) {
                break;
            }
        }
        SocketAddr::new(client, 0)
    }
}

/// Some proxies write a port behind the address.
fn address(text: &str) -> Option<IpAddr> {
    let plain = text.trim_start_matches('[').trim_end_matches(']');
    plain.parse().ok().or_else(|| text.parse::<SocketAddr>().ok().map(|with_port| with_port.ip()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_trusted_proxies_say_is_believed() {
        let proxies = Proxies::try_from(vec!["10.0.0.0/8".into(), "::1".into()]).expect("networks");
        let bytes = |peer: &str, lines: &[&[u8]]| {
            let peer = SocketAddr::new(peer.parse().expect("an address"), 1);
            proxies.client(peer, lines.iter().rev().copied()).ip().to_string()
        };
        let client = |peer: &str, lines: &[&str]| {
            bytes(peer, &lines.iter().map(|line| line.as_bytes()).collect::<Vec<_>>())
        };
        assert_eq!(client("192.0.2.1", &["203.0.113.9"]), "192.0.2.1", "a stranger says so");
        assert_eq!(client("10.0.0.1", &["203.0.113.9"]), "203.0.113.9");
        assert_eq!(client("10.0.0.1", &["6.6.6.6, 203.0.113.9, 10.2.2.2"]), "203.0.113.9");
        assert_eq!(client("10.0.0.1", &["6.6.6.6", "203.0.113.9:4711", "10.2.2.2"]), "203.0.113.9");
        assert_eq!(client("::1", &["[2001:db8::1]"]), "2001:db8::1");
        assert_eq!(client("10.0.0.1", &["6.6.6.6, nonsense"]), "10.0.0.1");
        assert_eq!(client("10.0.0.1", &[]), "10.0.0.1");
        // Bytes that are no text spoil only what stands before them.
        assert_eq!(bytes("10.0.0.1", &[b"\xff, 203.0.113.9"]), "203.0.113.9");
        assert_eq!(bytes("10.0.0.1", &[b"6.6.6.6", b"\xff\x80, 203.0.113.9", b"10.2.2.2"]), "203.0.113.9");
        assert_eq!(bytes("10.0.0.1", &[b"6.6.6.6", b"\xff, 10.2.2.2"]), "10.2.2.2");
        assert_eq!(bytes("10.0.0.1", &[b"6.6.6.6", b"203.0.113.9, \xff"]), "10.0.0.1");
        assert!(Proxies::try_from(vec!["10.0.0.0/99".into()]).is_err());
    }
}
