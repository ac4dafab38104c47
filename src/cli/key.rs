//! `zeugma key`: new sealing keys, and sealing everything with the newest one.

use clap::{Args, Subcommand};
use reqwest::Method;

use super::admin::{Ask, Remote};
use super::change::Changing;
use super::exit::{Exit, Stop};
use super::output::{Output, print};

/// See the module.
#[derive(Debug, Subcommand)]
pub(super) enum Key {
    /// Writes a new sealing key, to be put before the ones of before in the key file or ZEUGMA_KEYS
    Generate,
    /// Seals every secret that an older key has sealed with the first one, all in one revision
    Rotate(Box<Rotate>),
}

/// See the module.
#[derive(Debug, Args)]
pub(super) struct Rotate {
    #[command(flatten)]
    changing: Changing,
    #[command(flatten)]
    remote: Remote,
    #[command(flatten)]
    output: Output,
}

impl Key {
    pub(super) async fn run(self) -> Result<Exit, Stop> {
        let Rotate { changing, remote, output } = match self {
            Self::Generate => return print(config::Keyring::new_key().reveal()),
            Self::Rotate(rotate) => *rotate,
        };
        changing.make(&remote, Ask::new(Method::POST, &["keys", "rotate"]), &output).await
    }
}
