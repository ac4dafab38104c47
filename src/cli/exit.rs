//! How a command ends: its exit code, and what it says when it does not do what was asked.

use std::process::ExitCode;

use config::{Fault, Faults};

/// The exit codes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Exit {
    /// Done.
    Done = 0,
    /// It failed.
    Failed = 1,
    /// It was asked in a way that is not understood.
    Usage = 2,
    /// The change is made, but not every node served it in time.
    NotSettled = 3,
    /// Somebody was faster.
    Conflict = 4,
    /// No node answers.
    Unreachable = 5,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// Why a command does not do what was asked.
#[derive(Debug)]
pub(super) struct Stop {
    /// The exit code.
    pub(super) exit: Exit,
    /// What went wrong.
    pub(super) message: String,
    /// Everything that is wrong, with its place.
    pub(super) faults: Vec<Fault>,
    /// What to do.
    pub(super) hint: Option<String>,
    /// Whether a node says that it has not what was asked for.
    pub(super) missing: bool,
}

impl Stop {
    /// With this code, and nothing but a message.
    pub(super) fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self { exit, message: message.into(), faults: Vec::new(), hint: None, missing: false }
    }

    /// It failed.
    pub(super) fn failed(message: impl Into<String>) -> Self {
        Self::new(Exit::Failed, message)
    }

    /// The same with what to do.
    pub(super) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Whether a node says that it has not what was asked for.
    pub(super) fn is_not_found(&self) -> bool {
        self.missing
    }

    /// Says so.
    pub(super) fn tell(self) -> Exit {
        let Self { exit, message, faults, hint, .. } = self;
        for fault in &faults {
            eprintln!("{fault}");
        }
        eprintln!("error: {message}");
        if let Some(hint) = hint {
            eprintln!("hint: {hint}");
        }
        exit
    }
}

impl From<std::io::Error> for Stop {
    fn from(error: std::io::Error) -> Self {
        Self::failed(error.to_string())
    }
}

impl From<Faults> for Stop {
    fn from(Faults(faults): Faults) -> Self {
        let message = match faults.len() {
            1 => "there is 1 fault; nothing was changed".to_owned(),
            n => format!("there are {n} faults; nothing was changed"),
        };
        Self { faults, ..Self::failed(message) }
    }
}
