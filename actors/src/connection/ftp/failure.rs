//! What can go wrong between this node and an FTP server, and what callers are told of it.

use std::time::Duration;

use sdk::Error;
use suppaftp::types::Response;
use suppaftp::{FtpError, Status};

/// The most of a server's answer that is passed on.
const LONGEST_ANSWER: usize = 300;

/// What went wrong.
#[derive(Debug)]
pub(super) enum Failure {
    /// The server answered no. The connection is as good as before.
    Refused(Response),
    /// The connection is of no use any more.
    Broken(String),
    /// The server took longer than `timeout`.
    Slow,
    /// The caller's deadline is over.
    Late,
    /// There is no connection to be had.
    Unreachable(String),
    /// There is a connection, but no TLS on it.
    NoTls(String),
    /// The server took longer than `connect_timeout` to make one.
    UnreachableInTime(Duration),
    /// The server does not let this user in.
    NotLetIn(String),
    /// More calls wait for a connection than is sensible.
    Crowded(usize),
    /// The caller's deadline was over before a connection was free.
    NoneFree(usize),
}

impl From<FtpError> for Failure {
    fn from(error: FtpError) -> Self {
        match error {
            // With this one the server also closes the connection.
            FtpError::UnexpectedResponse(answer) if answer.status == Status::NotAvailable => {
                Self::Broken(text_of(&answer))
            }
            FtpError::UnexpectedResponse(answer) => Self::Refused(answer),
            FtpError::ConnectionError(e) if e.kind() == std::io::ErrorKind::TimedOut => Self::Slow,
            FtpError::ConnectionError(e) => Self::Broken(e.to_string()),
            FtpError::SecureError(e) => Self::Broken(format!("TLS: {e}")),
            other => Self::Broken(other.to_string()),
        }
    }
}

/// What a call asked for, as errors name it.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    /// The command and what it is about, such as `RETR /in/a.txt`.
    pub(super) what: String,
    /// Whether a refusal for want of a file or folder is the caller's own `not found`.
    pub(super) of_something: bool,
}

impl Asked {
    /// Something that must be there.
    pub(super) fn of(command: &str, path: &str) -> Self {
        Self { what: format!("{command} {path}"), of_something: true }
    }

    /// Something that is to be made, or needs nothing to be there.
    pub(super) fn plain(command: &str, path: &str) -> Self {
        Self { what: format!("{command} {path}").trim_end().into(), of_something: false }
    }
}

impl Failure {
    /// Whether the server itself seems to be away, not just one connection or one file.
    pub(super) fn says_away(&self) -> bool {
        matches!(self, Self::Slow | Self::Unreachable(_) | Self::NoTls(_) | Self::UnreachableInTime(_))
    }

    /// The error for the caller. `server` names the other side, without any secret.
    pub(super) fn into_error(self, server: &str, asked: &Asked) -> Error {
        let what = &asked.what;
        match self {
            Self::Refused(answer) => {
                let text = format!("{server} refused {what}: {}", text_of(&answer));
                if asked.of_something && says_missing(&answer) {
                    Error::not_found(text)
                } else {
                    Error::upstream(text)
                }
            }
            Self::Broken(why) => Error::upstream(format!("{server} broke off {what}: {why}")),
            Self::Slow => Error::timeout(format!("{server} did not answer {what} in time")),
            Self::Late => Error::timeout(format!("the time for {what} at {server} is over")),
            Self::Unreachable(why) => Error::upstream(format!("{server} cannot be reached: {why}")),
            Self::NoTls(why) => Error::upstream(format!("there is no TLS with {server}: {why}")),
            Self::UnreachableInTime(limit) => {
                Error::timeout(format!("{server} cannot be reached: no connection within {limit:?}"))
            }
            Self::NotLetIn(why) => Error::upstream(format!("{server} refused the login: {why}")),
            Self::Crowded(waiting) => {
                Error::unavailable(format!("{waiting} calls wait for a connection to {server} already"))
                    .retry_after(Duration::from_secs(1))
            }
            Self::NoneFree(size) => Error::timeout(format!(
                "all {size} connections to {server} were busy until the time was over"
            )),
        }
    }
}

/// Whether a refusal is for want of the file or folder. Servers use 550 for everything about files, so one that speaks
/// of rights is taken out; some use other codes and say it in words.
fn says_missing(answer: &Response) -> bool {
    let text = text_of(answer).to_lowercase();
    let has = |words: &[&str]| words.iter().any(|word| text.contains(word));
    match answer.status {
        Status::FileUnavailable => !has(&["denied", "permission", "privilege", "not permitted", "not empty"]),
        Status::RequestFileActionIgnored | Status::BadArguments | Status::BadFilename => {
            has(&["no such", "not found", "not exist"])
        }
        _ => false,
    }
}

/// A server's answer in one line that is not too long.
pub(super) fn text_of(answer: &Response) -> String {
    let text = String::from_utf8_lossy(&answer.body);
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    line.chars().filter(|c| !c.is_control()).take(LONGEST_ANSWER).collect()
}

#[cfg(test)]
mod tests {
    use sdk::ErrorKind;

    use super::*;

    fn kind(status: Status, text: &str, asked: &Asked) -> ErrorKind {
        let answer = Response::new(status, text.as_bytes().to_vec());
        Failure::from(FtpError::UnexpectedResponse(answer)).into_error("ftp", asked).kind()
    }

    #[test]
    fn what_is_missing_is_not_found_and_other_refusals_are_not() {
        let get = Asked::of("RETR", "/a");
        assert_eq!(kind(Status::FileUnavailable, "550 Failed to open file.", &get), ErrorKind::NotFound);
        assert_eq!(kind(Status::RequestFileActionIgnored, "450 /a: No such file", &get), ErrorKind::NotFound);
        assert_eq!(kind(Status::FileUnavailable, "550 Permission denied.", &get), ErrorKind::Upstream);
        assert_eq!(kind(Status::RequestedActionNotTaken, "452 No space left", &get), ErrorKind::Upstream);
        let put = Asked::plain("STOR", "/a");
        assert_eq!(kind(Status::FileUnavailable, "550 /no/such: no", &put), ErrorKind::Upstream);
        assert!(matches!(
            Failure::from(FtpError::UnexpectedResponse(Response::new(Status::NotAvailable, b"421 bye".to_vec()))),
            Failure::Broken(why) if why == "421 bye"
        ));
    }
}
