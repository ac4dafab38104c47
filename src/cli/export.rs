//! `zeugma export`: definitions as a bundle.

use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::PathBuf;

use clap::{Args, ValueEnum};
use config::Family;

use super::admin::{Ask, Remote};
use super::exit::{Exit, Stop};
use super::output::print_bytes;

/// The form of a bundle.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, ValueEnum)]
enum Format {
    /// YAML.
    #[default]
    Yaml,
    /// JSON.
    Json,
}

/// See the module.
#[derive(Debug, Args)]
pub(super) struct Export {
    /// Only this family
    #[arg(long, value_name = "FAMILY")]
    family: Option<Family>,
    /// Into this file, readable by its owner only; else to standard output
    #[arg(short = 'o', long = "file", value_name = "FILE")]
    file: Option<PathBuf>,
    /// The form of the bundle
    #[arg(long, value_enum, default_value_t)]
    format: Format,
    /// Write passwords, keys and tokens in clear; else each is (sealed), which keeps it when it is applied
    #[arg(long)]
    reveal_secrets: bool,
    #[command(flatten)]
    remote: Remote,
}

impl Export {
    pub(super) async fn run(self) -> Result<Exit, Stop> {
        let format = match self.format {
            Format::Yaml => "yaml",
            Format::Json => "json",
        };
        let ask = Ask::get(&["export"])
            .query("family", self.family)
            .query("format", Some(format))
            .flag("reveal", self.reveal_secrets);
        let text = self.remote.send(ask).await?.bytes().await.map_err(|e| Stop::failed(e.to_string()))?;
        let Some(path) = self.file else { return print_bytes(&text) };
        let written = std::fs::OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&path)
            .and_then(|mut file| file.write_all(&text));
        written.map_err(|error| Stop::failed(format!("{}: {error}", path.display())))?;
        Ok(Exit::Done)
    }
}
