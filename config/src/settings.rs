//! What a node is told at its start, from four layers: defaults, `node.toml`, the environment and flags.
//!
//! The only file that reads the environment.

mod keys;
mod layers;
mod passed;
mod proxies;
mod redis_address;
mod store_url;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::num::{NonZeroU16, NonZeroU32};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

pub use self::layers::KEYS as NAMES;
pub use self::passed::Passed;
pub use self::proxies::Proxies;
pub use self::redis_address::RedisAddress;
pub use self::store_url::StoreUrl;

use self::layers::Layers;
use crate::fault::{Fault, Faults};
use crate::name::Name;
use crate::secret::Secret;
use crate::units::{Size, Span};

/// The variables that are no settings of `node.toml`: one holds the sealing keys, the others are for the command line.
pub const KEYS_VARIABLE: &str = "ZEUGMA_KEYS";
/// Where the command line finds the admin API.
pub const ADMIN_URL_VARIABLE: &str = "ZEUGMA_ADMIN_URL";
/// The token the command line shows to the admin API.
pub const ADMIN_TOKEN_VARIABLE: &str = "ZEUGMA_ADMIN_TOKEN";

/// One variable of the process's environment, for `${NAME}` in a bundle and for the command line.
#[allow(clippy::disallowed_methods, reason = "the one place that reads the environment")]
pub fn env_var(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// Those variables of this process that a process which runs the code of others gets to see.
#[allow(clippy::disallowed_methods, reason = "the one place that reads the environment")]
pub fn passed_on(passed: &Passed) -> Vec<(std::ffi::OsString, std::ffi::OsString)> {
    passed.of(std::env::vars_os())
}

/// The variables that begin with `ZEUGMA_`, and those that say where the user keeps data. Never printed: some are secrets.
#[derive(Clone, Default)]
pub struct Environment(BTreeMap<String, String>);

impl Environment {
    /// Those of this process.
    #[allow(clippy::disallowed_methods, reason = "the one place that reads the environment")]
    pub fn of_process() -> Self {
        std::env::vars_os()
            .filter_map(|(k, v)| Some((k.into_string().ok()?, v.into_string().ok()?)))
            .collect()
    }

    /// One of them.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }
}

impl FromIterator<(String, String)> for Environment {
    fn from_iter<I: IntoIterator<Item = (String, String)>>(variables: I) -> Self {
        // An empty variable is how a shell or a container says "not set".
        let ours = |name: &str| name.starts_with(layers::PREFIX) || keys::USER_VARIABLES.contains(&name);
        Self(variables.into_iter().filter(|(k, v)| ours(k) && !v.is_empty()).collect())
    }
}

impl fmt::Debug for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

/// What the command line of `zeugma start` said; what it did not say is `None`.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Flags {
    /// `--listen`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub listen: Option<String>,
    /// `--admin`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub admin: Option<String>,
    /// `--data`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data: Option<PathBuf>,
    /// `--store`; it may hold a password.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "reveal")]
    pub store: Option<Secret>,
    /// `--cluster`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cluster: Option<String>,
    /// `--node`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub node: Option<String>,
    /// `--cluster-listen`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cluster_listen: Option<String>,
    /// `--apply`, as often as wanted
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub apply: Vec<PathBuf>,
    /// `--watch`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub watch: Option<PathBuf>,
    /// `--tls-cert`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls_cert: Option<PathBuf>,
    /// `--tls-key`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls_key: Option<PathBuf>,
    /// `--insecure`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub insecure: Option<bool>,
    /// `--log`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub log: Option<String>,
    /// `--log-format`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub log_format: Option<String>,
    /// `--key-file`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key_file: Option<PathBuf>,
    /// `--python`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub python: Option<PathBuf>,
}

/// The layers are merged as serialised values, so this one secret has to be in clear there.
fn reveal<S: serde::Serializer>(secret: &Option<Secret>, s: S) -> Result<S::Ok, S::Error> {
    secret.as_ref().map(Secret::reveal).serialize(s)
}

/// How log lines are written.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line, for machines.
    Json,
}

/// The certificate of both listeners, and its key: PEM files.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TlsFiles {
    /// The certificate, followed by those between it and the root.
    pub cert: PathBuf,
    /// Its private key.
    pub key: PathBuf,
}

/// The certificates of the links between nodes: each node shows its own, and trusts those of one authority.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ClusterTls {
    /// The cluster's own certificate authority (PEM).
    pub ca: PathBuf,
    /// The certificate of this node (PEM).
    pub cert: PathBuf,
    /// Its private key (PEM).
    pub key: PathBuf,
}

/// What a node is told at its start. Everything else is a definition, and changes while it runs.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where requests come in.
    pub listen: SocketAddr,
    /// Where the admin API and the web admin are.
    pub admin: SocketAddr,
    /// The node's own files.
    pub data: PathBuf,
    /// Where the truth is.
    pub store: StoreUrl,
    /// The cluster this node belongs to. Clusters may share one Redis.
    pub cluster: Name,
    /// The name of this node, one of its own within the cluster.
    pub node: Name,
    /// Where other nodes reach this one.
    pub cluster_listen: Option<SocketAddr>,
    /// Where other nodes reach this one, if that is another address: behind a translation of addresses, in a container.
    pub cluster_advertise: Option<SocketAddr>,
    /// What nodes of a cluster prove to each other that they know.
    pub cluster_secret: Option<Secret>,
    /// The certificates of the links between nodes; without them the links are in clear, on private addresses only.
    pub cluster_tls: Option<ClusterTls>,
    /// Bundles to apply once it has started.
    pub apply: Vec<PathBuf>,
    /// A folder whose bundles and service files are applied whenever they change.
    pub watch: Option<PathBuf>,
    /// TLS of both listeners.
    pub tls: Option<TlsFiles>,
    /// Whether it may listen to the network without TLS.
    pub insecure: bool,
    /// Which log lines are written, such as `info` or `info,zeugma=debug`.
    pub log: String,
    /// How log lines are written.
    pub log_format: LogFormat,
    /// The proxies whose word is taken for whom they speak for.
    pub trusted_proxies: Proxies,
    /// How many connections the data listener holds at once.
    pub max_connections: NonZeroU32,
    /// How long a client may take to send the head of a request.
    pub header_timeout: Span,
    /// How long a client may take nothing of an answer.
    pub write_timeout: Span,
    /// How long requests under way may take to end when the node stops.
    pub drain_timeout: Span,
    /// The file of the keys that seal secrets, if not `secret.key` in the data folder.
    pub key_file: Option<PathBuf>,
    /// The Python that runs packages which name none.
    pub python: PathBuf,
    /// How many worker processes such a package has; none: one for each core.
    pub python_workers: Option<NonZeroU16>,
    /// How many requests a worker process works on at once.
    pub python_threads: NonZeroU16,
    /// How much memory a worker process may use.
    pub python_memory: Size,
    /// Which variables of its environment a worker process sees, beside those that every program needs.
    pub python_environment: Passed,
}

impl Settings {
    /// Merges the layers, later ones over earlier ones: defaults, `file`, `environment`, `flags`.
    ///
    /// # Errors
    /// Everything that is wrong with them together, each fault with the layer it comes from.
    pub fn load(file: Option<&Path>, environment: &Environment, flags: &Flags) -> Result<Self, Faults> {
        let mut layers = Layers::merge(file, environment, flags);
        let address = "an address and a port, such as 127.0.0.1:11223 or [::1]:11223";
        let path = "a path";
        let span = "a span of time, such as 250ms, 10s or 5m";
        let settings = Self {
            listen: layers.get("listen", address).unwrap_or((Ipv4Addr::LOCALHOST, 11_223).into()),
            admin: layers.get("admin", address).unwrap_or((Ipv4Addr::LOCALHOST, 8_183).into()),
            data: layers.get("data", path).unwrap_or_else(|| "zeugma-data".into()),
            store: layers.get("store", "a store: write embedded, or redis://host:port").unwrap_or_default(),
            cluster: layers.get("cluster", "a name").unwrap_or_else(|| name("zeugma")),
            node: layers.get("node", "a name").unwrap_or_else(|| name(&host_name())),
            cluster_listen: layers.get("cluster_listen", address),
            cluster_advertise: layers.get("cluster_advertise", address),
            cluster_secret: layers.get("cluster_secret", "a text"),
            cluster_tls: None,
            apply: layers.get("apply", "a list of paths").unwrap_or_default(),
            watch: layers.get("watch", "a path"),
            tls: None,
            insecure: layers.get("insecure", "true or false").unwrap_or_default(),
            log: layers
                .get("log", "a filter, such as info or info,zeugma=debug")
                .unwrap_or_else(|| "info".into()),
            log_format: layers.get("log_format", "text or json").unwrap_or_default(),
            trusted_proxies: layers
                .get("trusted_proxies", "a list of networks, such as 10.0.0.0/8")
                .unwrap_or_default(),
            max_connections: layers.get("max_connections", "a number from 1").unwrap_or(MAX_CONNECTIONS),
            header_timeout: layers.get("header_timeout", span).unwrap_or(Span::secs(10)),
            write_timeout: layers.get("write_timeout", span).unwrap_or(Span::secs(30)),
            drain_timeout: layers.get("drain_timeout", span).unwrap_or(Span::secs(30)),
            key_file: layers.get("key_file", path),
            python: layers.get("python", path).unwrap_or_else(|| "python3".into()),
            python_workers: layers.get("python_workers", "a number from 1"),
            python_threads: layers.get("python_threads", "a number from 1").unwrap_or(PYTHON_THREADS),
            python_memory: layers.get("python_memory", "a size, such as 512MB").unwrap_or(PYTHON_MEMORY),
            python_environment: layers
                .get("python_environment", "a list of names of variables, such as APP_MODE or AWS_*")
                .unwrap_or_default(),
        };
        let tls = match (layers.get("tls_cert", path), layers.get("tls_key", path)) {
            (Some(cert), Some(key)) => Some(TlsFiles { cert, key }),
            (None, None) => None,
            (cert, _) => {
                let (there, missing) =
                    if cert.is_some() { ("tls_cert", "tls_key") } else { ("tls_key", "tls_cert") };
                let at = layers.at(there);
                layers.faults.push(Fault::new(at, format!("{there} is given, but {missing} is not")).hint(
                    format!(
                        "give both, or neither; as flags: --{} and --{}",
                        there.replace('_', "-"),
                        missing.replace('_', "-")
                    ),
                ));
                None
            }
        };
        let files = ["cluster_ca", "cluster_cert", "cluster_key"].map(|key| (key, layers.get(key, path)));
        let cluster_tls = match files {
            [(_, Some(ca)), (_, Some(cert)), (_, Some(key))] => Some(ClusterTls { ca, cert, key }),
            files => {
                if let Some((there, _)) = files.iter().find(|(_, file)| file.is_some()) {
                    let missing = files.iter().filter(|(_, file)| file.is_none()).map(|(key, _)| *key);
                    let missing = missing.collect::<Vec<_>>().join(" and ");
                    let fault =
                        Fault::new(layers.at(there), format!("{there} is given, but {missing} is not"));
                    layers.faults.push(fault.hint("give all three, or none of them"));
                }
                None
            }
        };
        let settings = Self { tls, cluster_tls, ..settings };
        settings.check(&mut layers);
        Faults(layers.faults).unless_any(settings)
    }

    /// What only the settings together show.
    fn check(&self, layers: &mut Layers) {
        let open = |address: SocketAddr| !address.ip().to_canonical().is_loopback();
        for (key, address) in [("listen", self.listen), ("admin", self.admin)] {
            if open(address) && self.tls.is_none() && !self.insecure {
                layers.faults.push(
                    Fault::new(
                        layers.at(key),
                        format!("{address} is open to the network, and there is no TLS"),
                    )
                    .hint("give tls_cert and tls_key, or say insecure if something in front of it does TLS"),
                );
            }
        }
        if let Some(address) = self.cluster_listen
            && open(address)
            && self.cluster_secret.is_none()
            && !self.insecure
        {
            let message = format!("{address} is open to the network, and there is no cluster secret");
            let hint = "set ZEUGMA_CLUSTER_SECRET to the same text on every node of the cluster";
            layers.faults.push(Fault::new(layers.at("cluster_listen"), message).hint(hint));
        }
        let addresses = [
            ("listen", Some(self.listen)),
            ("admin", Some(self.admin)),
            ("cluster_listen", self.cluster_listen),
        ];
        for (index, (key, address)) in addresses.iter().enumerate() {
            let twin = addresses[..index].iter().find(|(_, other)| other == address);
            if let (Some((other, _)), Some(address)) = (twin, address)
                && address.port() != 0
            {
                let fault =
                    Fault::new(layers.at(key), format!("{key} and {other} are the same address, {address}"));
                layers.faults.push(fault.hint("give each listener a port of its own"));
            }
        }
    }
}

const MAX_CONNECTIONS: NonZeroU32 = match NonZeroU32::new(10_000) {
    Some(number) => number,
    None => NonZeroU32::MIN,
};

const PYTHON_THREADS: NonZeroU16 = match NonZeroU16::new(32) {
    Some(number) => number,
    None => NonZeroU16::MIN,
};
const PYTHON_MEMORY: Size = Size::bytes(1_000_000_000);

/// The machine's name: that of a node that is given none.
pub fn host_name() -> String {
    let files = ["/proc/sys/kernel/hostname", "/etc/hostname"];
    let from_file = files.iter().find_map(|file| std::fs::read_to_string(file).ok());
    let name = from_file.or_else(|| env_var("HOSTNAME")).unwrap_or_default();
    if name.trim().is_empty() { "node".into() } else { name.trim().into() }
}

/// A name out of a text that is one already; [`host_name`] may give anything, so there is a last resort.
fn name(text: &str) -> Name {
    text.parse().or_else(|_| "node".parse()).unwrap_or_else(|_: Fault| unreachable!("\"node\" is a name"))
}
