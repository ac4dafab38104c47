//! The log: lines for people, or JSON for programs, to standard error.

use std::io::IsTerminal as _;

use config::Fault;
use config::settings::{LogFormat, Settings};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

/// What is said only on request: the demo's FTP server writes all of itself into each line, and what is below the links
/// between nodes tells of each of their ends once more, and of payloads.
const QUIET: &str = "libunftp=off,ractor_cluster=error";

/// Begins to log as the settings say.
///
/// # Errors
/// If the filter is none, or somebody logs already.
pub fn start(settings: &Settings) -> Result<(), Fault> {
    let wrong = |error: &dyn std::fmt::Display| {
        Fault::new("log", format!("{:?} is not a filter: {error}", settings.log))
            .hint("such as info, or info,zeugma=debug")
    };
    let filter =
        EnvFilter::builder().parse(format!("{QUIET},{}", settings.log)).map_err(|error| wrong(&error))?;
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    let registry = tracing_subscriber::registry().with(filter);
    let begun = match settings.log_format {
        LogFormat::Text => registry.with(lines.with_ansi(std::io::stderr().is_terminal())).try_init(),
        LogFormat::Json => registry
            .with(lines.json().flatten_event(true).with_current_span(true).with_span_list(false))
            .try_init(),
    };
    begun.map_err(|error| Fault::new("log", error.to_string()))
}
