//! Why a change of what is wanted was refused, and what that is to callers.

use std::fmt;

use config::secret::KeyError;
use config::{CommitError, DefId, Faults, StoreError};
use sdk::{Error, ErrorKind};

/// Why a change was refused. It is no [`std::error::Error`], so that nothing turns it into an internal one by the way.
#[derive(Debug)]
pub enum Refused {
    /// Something is wrong with the definitions: all that is.
    Faults(Faults),
    /// There is no such definition.
    NotFound {
        /// Which.
        id: DefId,
        /// Whether it is there without being written, as compiled-in services are.
        compiled_in: bool,
        /// The package that brings it along, if one does.
        package: Option<DefId>,
    },
    /// Only an admin may write this one.
    Forbidden(DefId),
    /// Somebody was faster, or the store could not take it.
    Commit(CommitError),
    /// A secret cannot be opened.
    Key(KeyError),
    /// A defect of ours.
    Broken(String),
}

impl From<Faults> for Refused {
    fn from(faults: Faults) -> Self {
        Self::Faults(faults)
    }
}

impl From<CommitError> for Refused {
    fn from(error: CommitError) -> Self {
        Self::Commit(error)
    }
}

impl From<StoreError> for Refused {
    fn from(error: StoreError) -> Self {
        Self::Commit(error.into())
    }
}

impl From<KeyError> for Refused {
    fn from(error: KeyError) -> Self {
        Self::Key(error)
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Faults(faults) => faults.fmt(f),
            Self::NotFound { id, package: Some(package), .. } => write!(
                f,
                "{id} comes with {package}, and no definition says anything else; to switch it off alone, apply one \
                 with enabled: false"
            ),
            Self::NotFound { id, compiled_in: true, .. } => write!(
                f,
                "{id} is compiled in, and no definition says anything else; to switch it off, apply one with \
                 enabled: false"
            ),
            Self::NotFound { id, compiled_in: false, .. } => write!(f, "there is no {id}"),
            Self::Forbidden(id) => write!(f, "only an admin may change {id}: it gives rights over nodes"),
            Self::Commit(error) => error.fmt(f),
            Self::Key(error) => error.fmt(f),
            Self::Broken(what) => f.write_str(what),
        }
    }
}

/// The one place that says what each refusal is to callers. Faults become details; only the admin API has a form, and
/// a status, of its own for them.
impl From<Refused> for Error {
    fn from(refused: Refused) -> Self {
        let kind = match &refused {
            Refused::Faults(faults) => {
                let error =
                    Self::new(ErrorKind::Invalid, format!("the definitions have {} faults", faults.0.len()));
                return faults.0.iter().fold(error, |error, fault| {
                    let hint = fault.hint.as_ref().map(|hint| format!(" ({hint})")).unwrap_or_default();
                    error.detail(fault.at.clone(), format!("{}{hint}", fault.message))
                });
            }
            Refused::NotFound { .. } => ErrorKind::NotFound,
            Refused::Forbidden(_) => ErrorKind::Forbidden,
            Refused::Commit(CommitError::Conflict { .. }) => ErrorKind::Conflict,
            Refused::Commit(CommitError::Store(StoreError::Unavailable(_))) => ErrorKind::Unavailable,
            Refused::Commit(CommitError::Store(StoreError::TooOld(..) | StoreError::NotYet(..))) => {
                ErrorKind::NotFound
            }
            // The caller is an operator, and without the missing key nobody gets any further: say what it is.
            Refused::Key(_) => ErrorKind::Unavailable,
            Refused::Commit(CommitError::Store(StoreError::Corrupt(_))) | Refused::Broken(_) => {
                ErrorKind::Internal
            }
        };
        Self::new(kind, refused.to_string())
    }
}
