//! `zeugma completions`: a script for a shell.

use clap::Args;
use clap_complete::Shell;

use super::exit::{Exit, Stop};
use super::output::print_bytes;

/// See the module.
#[derive(Debug, Args)]
pub(super) struct Completions {
    /// Which shell
    #[arg(value_enum)]
    shell: Shell,
}

impl Completions {
    pub(super) fn run(self, command: &mut clap::Command) -> Result<Exit, Stop> {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, command, "zeugma", &mut script);
        print_bytes(&script)
    }
}
