//! How a command ends: the exit code that scripts test, and the words that people read.

use std::fmt;
use std::process::ExitCode;

use serde_json::Value;

use crate::config::ConfigError;
use crate::service::StartError;

/// The exit codes, the same for every command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Exit {
    /// Done.
    Ok = 0,
    /// It failed.
    Failed = 1,
    /// The command line, the configuration or a value given is wrong.
    Usage = 2,
    /// What was named is not there.
    NotFound = 3,
    /// The admin token is missing or wrong.
    NotAllowed = 4,
    /// It needs a confirmation that was not given.
    Unconfirmed = 5,
    /// Part of it was done.
    Partly = 6,
    /// The gateway cannot be reached.
    Unreachable = 7,
    /// It took too long; it may still be under way.
    TimedOut = 8,
    /// A plan has something to do, and that was asked.
    Changes = 10,
    /// Whoever read the output has gone, as `head` does: ended without a word, as by SIGPIPE.
    Unread = 141,
}

impl Exit {
    /// What an answer of the admin API means.
    pub(super) fn of_status(status: u16) -> Self {
        match status {
            200..=299 => Self::Ok,
            400 | 413 | 415 | 422 => Self::Usage,
            401 | 403 => Self::NotAllowed,
            404 => Self::NotFound,
            _ => Self::Failed,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// Why a command ends early.
#[derive(Debug)]
pub(super) struct Stop {
    /// The exit code.
    pub(super) exit: Exit,
    /// What happened and what to do, for the person at the terminal.
    pub(super) message: String,
    /// The problem details of the admin API, where it gave some.
    pub(super) problem: Option<Value>,
}

impl Stop {
    /// One with this code and these words.
    pub(super) fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self { exit, message: message.into(), problem: None }
    }

    /// Something failed on this side.
    pub(super) fn failed(message: impl Into<String>) -> Self {
        Self::new(Exit::Failed, message)
    }

    /// Standard output could not be written.
    pub(super) fn output(error: &std::io::Error) -> Self {
        if error.kind() == std::io::ErrorKind::BrokenPipe {
            return Self::new(Exit::Unread, "");
        }
        Self::failed(format!("standard output: {error}"))
    }

    /// A value given is wrong.
    pub(super) fn usage(message: impl Into<String>) -> Self {
        Self::new(Exit::Usage, message)
    }
}

impl fmt::Display for Stop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl From<std::io::Error> for Stop {
    fn from(error: std::io::Error) -> Self {
        Self::failed(error.to_string())
    }
}

impl From<ConfigError> for Stop {
    fn from(error: ConfigError) -> Self {
        Self::usage(error.to_string())
    }
}

impl From<StartError> for Stop {
    fn from(error: StartError) -> Self {
        let exit = match &error {
            StartError::Config(_) | StartError::KeyRing(_) | StartError::Manifests(_) => Exit::Usage,
            _ => Exit::Failed,
        };
        Self::new(exit, error.to_string())
    }
}

/// How a command ends.
pub(super) type Done = Result<Exit, Stop>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_have_their_exit_codes() {
        for (status, code) in [
            (200, 0),
            (202, 0),
            (204, 0),
            (400, 2),
            (401, 4),
            (403, 4),
            (404, 3),
            (409, 1),
            (422, 2),
            (500, 1),
            (503, 1),
        ] {
            assert_eq!(Exit::of_status(status) as u8, code, "{status}");
        }
    }

    #[test]
    fn a_pipe_that_nobody_reads_any_more_was_an_error_in_words() {
        let stop = Stop::output(&std::io::Error::from(std::io::ErrorKind::BrokenPipe));
        assert_eq!((stop.exit, stop.message.as_str()), (Exit::Unread, ""));
        let stop = Stop::output(&std::io::Error::from(std::io::ErrorKind::StorageFull));
        assert_eq!(stop.exit, Exit::Failed);
        assert!(stop.message.starts_with("standard output: "), "{stop}");
    }

    #[test]
    fn a_missing_master_key_is_a_matter_of_configuration() {
        let stop = Stop::from(StartError::KeyRing(crate::secrets::KeyRingError::Required));
        assert_eq!(stop.exit, Exit::Usage);
        assert!(stop.message.contains("SCIMGATE_MASTER_KEY"), "{stop}");
    }
}
