//! Exit codes, the same for every command; documented in `docs/reference/exit-codes.md`.

use crate::activate::progress::Outcome;

/// Why a command did not do what it was asked to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Code {
    /// The profile has errors.
    Invalid = 1,
    /// Wrong arguments; clap's own code.
    Usage = 2,
    /// A profile or a folder is not there or cannot be read.
    NotFound = 3,
    /// The result could not be written.
    NotWritten = 4,
    /// The evaluation reached its limit of memory or time.
    Limit = 5,
    /// The lock file says something else.
    Locked = 6,
    /// This host must not take the bundle, or the user may not do this; nothing was changed.
    Refused = 7,
    /// It failed, and what was before runs again.
    RolledBack = 8,
    /// It failed, and not everything could be taken back.
    Broken = 9,
    /// There was nothing to do, and `--exit-code` asks to say so.
    Unchanged = 10,
    /// Another switch is running.
    Busy = 11,
    /// The host is not as its generation says.
    Drift = 12,
    /// There are differences, and `--exit-code` asks to say so.
    Different = 13,
    /// A preflight check failed that prevents a start.
    Preflight = 14,
    /// A defect of citadel.
    Defect = 70,
}

/// Shown at the end of `citadel --help`.
pub const HELP: &str = "\
Exit codes:
  0   done, also when there was nothing to do
  1   the profile has errors
  2   wrong arguments
  3   a profile or a directory is not there or cannot be read
  4   the result could not be written
  5   the evaluation reached its limit of memory or time
  6   citadel.lock says something else (--locked)
  7   refused, nothing was changed
  8   the switch failed, and what was before runs again
  9   the switch failed, and not everything could be taken back
  10  there was nothing to do (--exit-code)
  11  another switch is running
  12  the host is not as its generation says
  13  there are changes (diff --exit-code)
  14  a preflight check failed
  70  a defect of citadel";

impl Code {
    /// Returns the code for the end of a switch; none when it did what was asked.
    pub fn of_switch(outcome: Outcome) -> Option<Self> {
        match outcome {
            Outcome::Done | Outcome::Unchanged | Outcome::NextBoot => None,
            Outcome::Invalid => Some(Code::Invalid),
            Outcome::NotWritten => Some(Code::NotWritten),
            Outcome::Refused => Some(Code::Refused),
            Outcome::Busy => Some(Code::Busy),
            Outcome::RolledBack => Some(Code::RolledBack),
            Outcome::Broken => Some(Code::Broken),
        }
    }
}

#[cfg(feature = "compiler")]
mod compiler {
    use super::Code;
    use crate::compile::evaluate::{self, Failure};
    use crate::compile::{DEFECT, project};

    impl Code {
        /// Returns the code for a failed compilation.
        pub fn of(failure: &Failure) -> Self {
            match failure.diagnostics.first().map(|diagnostic| diagnostic.code) {
                Some(project::NOT_FOUND | evaluate::UNREADABLE) => Code::NotFound,
                Some(evaluate::MEMORY | evaluate::TIME) => Code::Limit,
                Some(evaluate::CRASHED | DEFECT) => Code::Defect,
                _ => Code::Invalid,
            }
        }
    }
}
