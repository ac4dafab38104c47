//! The layers of the settings, merged, and what is said about a value that cannot be used.

use std::path::Path;

use figment::providers::{Format as _, Serialized, Toml};
use figment::value::{Dict, Map, Value};
use figment::{Figment, Metadata, Profile, Provider};
use serde::de::DeserializeOwned;

use super::{Environment, Flags};
use crate::fault::{Fault, suggest};

/// How the variables that are settings begin: `ZEUGMA_LISTEN` is `listen`.
pub(super) const PREFIX: &str = "ZEUGMA_";
/// Every setting, as `node.toml` names it.
pub const KEYS: [&str; 30] = [
    "listen",
    "admin",
    "data",
    "store",
    "cluster",
    "node",
    "cluster_listen",
    "cluster_advertise",
    "cluster_secret",
    "cluster_ca",
    "cluster_cert",
    "cluster_key",
    "apply",
    "watch",
    "tls_cert",
    "tls_key",
    "insecure",
    "log",
    "log_format",
    "trusted_proxies",
    "max_connections",
    "header_timeout",
    "write_timeout",
    "drain_timeout",
    "key_file",
    "python",
    "python_workers",
    "python_threads",
    "python_memory",
    "python_environment",
];
/// The settings that are lists; the environment separates their elements by commas.
const LISTS: [&str; 3] = ["apply", "trusted_proxies", "python_environment"];

const ENVIRONMENT: &str = "environment";
const FLAGS: &str = "flags";

/// All layers together.
pub(super) struct Layers {
    figment: Figment,
    file: String,
    /// What is wrong so far.
    pub(super) faults: Vec<Fault>,
}

impl Layers {
    /// Merges them: `file`, then `environment`, then `flags`.
    pub(super) fn merge(file: Option<&Path>, environment: &Environment, flags: &Flags) -> Self {
        let name = file.map(|path| path.display().to_string()).unwrap_or_default();
        let mut layers = Self { figment: Figment::new(), file: name, faults: Vec::new() };
        if let Some(path) = file {
            match std::fs::read_to_string(path) {
                Ok(text) => layers.file(&text),
                Err(error) => {
                    let fault = Fault::new(layers.file.clone(), format!("cannot be read: {error}"));
                    layers.faults.push(fault.hint("check --config"));
                }
            }
        }
        let flags = Serialized::defaults(flags);
        layers.figment = std::mem::take(&mut layers.figment)
            .merge(Variables(environment))
            .merge(Named { name: FLAGS, layer: flags });
        layers
    }

    fn file(&mut self, text: &str) {
        let toml = Toml::string(text);
        match toml.data() {
            Ok(profiles) => {
                for key in profiles.into_values().flat_map(Dict::into_keys) {
                    if !KEYS.contains(&key.as_str()) {
                        let fault = Fault::new(format!("{} {key}", self.file), "there is no such setting");
                        self.faults.push(fault.maybe_hint(suggest(&key, KEYS.into_iter())));
                    }
                }
                self.figment = std::mem::take(&mut self.figment).merge(toml);
            }
            Err(error) => {
                // The lines in the middle quote the file, which may hold a secret.
                let text = error.kind.to_string();
                let lines = text.lines().filter(|line| !line.contains('|'));
                let message = lines.map(str::trim).collect::<Vec<_>>().join(": ");
                self.faults
                    .push(Fault::new(self.file.clone(), message).hint("node.toml is TOML: key = \"value\""));
            }
        }
    }

    /// The value of a setting, if a layer has it. One that is not `what` becomes a fault; it is not shown, since it
    /// may be a secret that got into the wrong place.
    pub(super) fn get<T: DeserializeOwned>(&mut self, key: &'static str, what: &str) -> Option<T> {
        debug_assert!(KEYS.contains(&key), "{key} is not listed");
        if !self.figment.contains(key) {
            return None;
        }
        match self.figment.extract_inner_lossy(key) {
            Ok(value) => Some(value),
            Err(_) => {
                self.faults.push(Fault::new(self.at(key), format!("{key} is not {what}")));
                None
            }
        }
    }

    /// Which layer a setting comes from, as its author wrote it.
    pub(super) fn at(&self, key: &str) -> String {
        match self.figment.find_metadata(key).map(|metadata| &*metadata.name) {
            None => key.to_owned(),
            Some(ENVIRONMENT) => variable(key),
            Some(FLAGS) => format!("--{}", key.replace('_', "-")),
            Some(_) => format!("{} {key}", self.file),
        }
    }
}

fn variable(key: &str) -> String {
    format!("{PREFIX}{}", key.to_uppercase())
}

/// The environment as a layer. Variables that are no settings are left out without a word: an orchestrator sets
/// `ZEUGMA_PORT` and the like by itself.
struct Variables<'a>(&'a Environment);

impl Provider for Variables<'_> {
    fn metadata(&self) -> Metadata {
        Metadata::named(ENVIRONMENT)
    }

    fn data(&self) -> Result<Map<Profile, Dict>, figment::Error> {
        let value = |key, text: &str| match key {
            key if LISTS.contains(&key) => text
                .split(',')
                .map(str::trim)
                .filter(|part| !part.is_empty())
                .map(Value::from)
                .collect::<Vec<_>>()
                .into(),
            _ => Value::from(text),
        };
        let settings =
            KEYS.iter().filter_map(|key| Some(((*key).into(), value(*key, self.0.get(&variable(key))?))));
        Ok(Map::from([(Profile::Default, settings.collect())]))
    }
}

/// A layer under another name.
struct Named<L> {
    name: &'static str,
    layer: L,
}

impl<L: Provider> Provider for Named<L> {
    fn metadata(&self) -> Metadata {
        Metadata::named(self.name)
    }

    fn data(&self) -> Result<Map<Profile, Dict>, figment::Error> {
        self.layer.data()
    }
}
