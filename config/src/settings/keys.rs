//! Where a node's sealing keys come from. All nodes of a cluster need the same ones, and Redis must not hold them.

use std::io::Error;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use argon2::{Algorithm, Argon2, Params, Version};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE;
use zeroize::Zeroizing;

use super::{Environment, KEYS_VARIABLE, Settings};
use crate::secret::{KeyError, Keyring};

/// Where programs keep what belongs to a user (XDG Base Directory): the folder, and the one above its usual place.
pub(super) const USER_VARIABLES: [&str; 2] = ["XDG_DATA_HOME", "HOME"];
/// Guessing a secret costs an attacker as much as guessing a password (OWASP's parameters for argon2id).
const COST: (u32, u32, u32) = (19 * 1024, 2, 1);

impl Settings {
    /// The keys that seal secrets. The first of these that is there:
    ///
    /// 1. those of [`KEYS_VARIABLE`], separated by commas or line ends;
    /// 2. those of the key file that is named;
    /// 3. in a cluster, one derived from the cluster secret, or else from the password of Redis;
    /// 4. in a cluster on one machine, without either: those of a file that nodes of this user share;
    /// 5. those of `secret.key` in the data folder.
    ///
    /// A file that is not there is made, with a new key, readable by its owner only.
    ///
    /// # Errors
    /// If a key is not one, a file cannot be read or made, or the nodes of a cluster have nothing in common.
    pub fn keyring(&self, environment: &Environment) -> Result<Keyring, KeyError> {
        if let Some(keys) = environment.get(KEYS_VARIABLE) {
            let lines = Zeroizing::new(keys.replace(',', "\n"));
            return Keyring::parse(&lines, KEYS_VARIABLE);
        }
        if let Some(file) = &self.key_file {
            return Keyring::open_or_create(file);
        }
        let Some(redis) = self.store.redis() else { return in_folder(&self.data, "secret.key") };
        if let Some(secret) = self.cluster_secret.as_ref().or(redis.password.as_ref()) {
            return derived(secret.reveal(), self.cluster.as_str());
        }
        let local = redis.hosts.iter().all(|(host, _)| {
            host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
        });
        match user_folder(environment).filter(|_| local) {
            Some(folder) => in_folder(&folder, &format!("{}.key", file_name(self.cluster.as_str()))),
            None => Err(KeyError::NothingInCommon),
        }
    }
}

/// The same key for everybody who knows the secret.
fn derived(secret: &str, cluster: &str) -> Result<Keyring, KeyError> {
    let (memory, passes, lanes) = COST;
    let mut key = Zeroizing::new([0; 32]);
    let salt = format!("zeugma sealing key of cluster {cluster}");
    Params::new(memory, passes, lanes, None)
        .and_then(|params| {
            let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
            argon2.hash_password_into(secret.as_bytes(), salt.as_bytes(), key.as_mut())
        })
        .map_err(|error| KeyError::Derive(error.to_string()))?;
    Keyring::parse(&Zeroizing::new(URL_SAFE.encode(key.as_ref())), "the cluster secret")
}

fn in_folder(folder: &Path, name: &str) -> Result<Keyring, KeyError> {
    let file = folder.join(name);
    let error = |source: Error| KeyError::File { path: file.display().to_string(), source };
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(error)?;
    Keyring::open_or_create(&file)
}

fn user_folder(environment: &Environment) -> Option<PathBuf> {
    let data = environment.get(USER_VARIABLES[0]).map(PathBuf::from);
    Some(
        data.or_else(|| Some(Path::new(environment.get(USER_VARIABLES[1])?).join(".local/share")))?
            .join("zeugma"),
    )
}

/// A cluster's name may hold slashes.
fn file_name(name: &str) -> String {
    name.chars().map(|c| if c.is_alphanumeric() || "-_.".contains(c) { c } else { '_' }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::Flags;

    fn keyring(store: &str, variables: &[(&str, &str)]) -> Result<Keyring, KeyError> {
        let environment: Environment =
            variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let flags = Flags { store: Some(crate::Secret::new(store)), ..Flags::default() };
        Settings::load(None, &environment, &flags).expect("settings").keyring(&environment)
    }

    #[test]
    fn nodes_that_share_a_secret_share_the_key_and_others_do_not() {
        let of =
            |secret: &str| keyring("redis://db:6379", &[("ZEUGMA_CLUSTER_SECRET", secret)]).expect("a key");
        let sealed = of("one").seal_text("hush");
        assert_eq!(of("one").open_text(&sealed).expect("opens"), "hush");
        assert!(of("two").open_text(&sealed).is_err());
        let by_password = keyring("redis://:one@db:6379", &[]).expect("a key");
        assert_eq!(by_password.open_text(&sealed).expect("the same secret by another way"), "hush");
    }

    #[test]
    fn nodes_of_one_machine_share_a_file_and_others_are_told_what_they_need() {
        let home = tempfile::tempdir().expect("a folder");
        let home = home.path().to_str().expect("text");
        let local = || keyring("redis://127.0.0.1:6379", &[("HOME", home)]).expect("a key");
        let sealed = local().seal_text("hush");
        assert_eq!(local().open_text(&sealed).expect("opens"), "hush");
        let remote = keyring("redis://db:6379", &[("HOME", home)]).expect_err("nothing in common");
        assert!(remote.to_string().contains("ZEUGMA_CLUSTER_SECRET"), "{remote}");
    }
}
