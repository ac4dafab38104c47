//! What the links of a node are made from: its name, the cluster's secret, the transport and the limits.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use config::{Clock, Name, Secret};

use crate::envelope::{MAX_MESSAGE, Versions};
use crate::link::{Incarnation, NodeId};

/// The shortest secret accepted, in bytes: who watches a handshake can try secrets at home.
pub const MIN_SECRET: usize = 16;

/// See the module.
#[derive(Clone, Debug)]
pub struct LinkSettings {
    /// The name of the cluster; nodes of another one are refused.
    pub cluster: Name,
    /// The name of this node.
    pub node: NodeId,
    /// The number of this start of it.
    pub incarnation: Incarnation,
    /// What every node of the cluster knows, and nobody else.
    pub secret: Secret,
    /// How nodes talk.
    pub transport: Transport,
    /// Where this node listens for links.
    pub listen: SocketAddr,
    /// The envelope versions that this node reads and writes; narrower than the code's while a cluster is upgraded.
    pub versions: Versions,
    /// How much is taken on.
    pub limits: Limits,
    /// Where the time of day comes from.
    pub clock: Clock,
}

impl LinkSettings {
    /// With the usual limits, on loopback or a private address.
    pub fn new(
        cluster: Name,
        node: NodeId,
        incarnation: Incarnation,
        secret: Secret,
        listen: SocketAddr,
    ) -> Self {
        Self {
            cluster,
            node,
            incarnation,
            secret,
            transport: Transport::Plain,
            listen,
            versions: Versions::OURS,
            limits: Limits::default(),
            clock: Clock::System,
        }
    }
}

/// How nodes talk. The secret is asked for in both cases.
#[derive(Clone, Debug)]
pub enum Transport {
    /// In clear: only on loopback and private addresses.
    Plain,
    /// Over TLS, where both sides show a certificate.
    Tls(Identity),
}

/// The certificate of a node, in PEM, and who signs those of the others.
#[derive(Clone, Debug)]
pub struct Identity {
    /// The cluster's own certificate authority: who has a certificate of it belongs to the cluster.
    pub authority: String,
    /// The certificate of this node, and what leads from it to the authority. It is shown both as server and as client.
    pub certificate: String,
    /// Its key.
    pub key: Secret,
    /// A DNS name that every certificate must bear, for an authority that signs others as well.
    pub name: Option<String>,
}

/// How much is taken on. What is more waits a little, then is refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limits {
    /// The largest message, in bytes.
    pub message: usize,
    /// Calls to one node at a time.
    pub calls: usize,
    /// Bytes under way to, or from, one node at a time.
    pub bytes: usize,
    /// How long a call waits for its turn.
    pub wait: Duration,
    /// Calls from all nodes that are handled at a time.
    pub handled: usize,
    /// Bytes of messages in parts that are kept at a time.
    pub kept: usize,
    /// Messages in parts that are kept at a time.
    pub transfers: usize,
    /// Connections that have not shown yet that they belong to the cluster; the oldest gives way.
    pub unproven: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            message: MAX_MESSAGE,
            calls: 256,
            bytes: 2 * MAX_MESSAGE,
            wait: Duration::from_secs(1),
            handled: 1024,
            kept: 4 * MAX_MESSAGE,
            transfers: 64,
            unproven: 64,
        }
    }
}

/// Whether an address can be reached from within a private network only.
pub fn is_private(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => v4.is_loopback() || v4.is_private() || v4.is_link_local(),
        IpAddr::V6(v6) => match v6.to_ipv4_mapped() {
            Some(v4) => is_private(v4.into()),
            None => v6.is_loopback() || v6.is_unique_local() || v6.is_unicast_link_local(),
        },
    }
}

/// Why the links of a node cannot be started.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The secret is too short.
    #[error("the cluster's secret is shorter than {MIN_SECRET} bytes")]
    ShortSecret,
    /// In clear, on a public address.
    #[error(
        "{0} is not a private address: links in clear are for loopback and private addresses, others need TLS"
    )]
    Public(IpAddr),
    /// The certificate, its key or the authority cannot be used.
    #[error("the {what} of the cluster's TLS cannot be used: {why}")]
    Tls {
        /// Which of them.
        what: &'static str,
        /// Why.
        why: String,
    },
    /// The address cannot be listened on.
    #[error("cannot listen for links on {address}: {source}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the system says.
        source: std::io::Error,
    },
    /// The actors beneath do not start.
    #[error("the node server does not start: {0}")]
    Actors(String),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unspecified_or_public_address_is_not_private() {
        let private = |text: &str| is_private(text.parse().expect("an address"));
        for yes in ["127.0.0.1", "10.1.2.3", "192.168.0.9", "172.31.0.1", "::1", "fd00::1", "::ffff:10.0.0.1"]
        {
            assert!(private(yes), "{yes}");
        }
        for no in ["0.0.0.0", "::", "8.8.8.8", "172.32.0.1", "2001:db8::1", "::ffff:8.8.8.8"] {
            assert!(!private(no), "{no}");
        }
    }

    #[test]
    fn debug_shows_no_secret() {
        let secret = Secret::new("a secret that is long enough");
        let name: Name = "x".parse().expect("a name");
        let listen = SocketAddr::from(([127, 0, 0, 1], 0));
        let settings = LinkSettings::new(name.clone(), name, Incarnation(1), secret, listen);
        assert!(!format!("{settings:?}").contains("long enough"));
    }
}
