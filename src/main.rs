//! The `zeugma` program.

use std::process::ExitCode;

fn main() -> ExitCode {
    zeugma::cli::main(&[])
}
