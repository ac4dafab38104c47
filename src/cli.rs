//! The command line.

use std::process::ExitCode;

use sdk::Service;

/// Runs the program with these services compiled in beside the engine's own.
pub fn main(services: &'static [&'static dyn Service]) -> ExitCode {
    let _ = services;
    ExitCode::SUCCESS
}
