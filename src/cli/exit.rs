//! Exit codes, the same for every command; documented in `docs/reference/exit-codes.md`.

use crate::compile::evaluate::{self, Failure};
use crate::compile::project;

/// Why a command did not do what it was asked to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Code {
    /// The profile has errors.
    Invalid = 1,
    /// A profile or a folder is not there or cannot be read. (Clap ends with 2 on wrong arguments.)
    NotFound = 3,
    /// The result could not be written.
    NotWritten = 4,
    /// The evaluation reached its limit of memory or time.
    Limit = 5,
    /// The lock file says something else.
    Locked = 6,
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
  70  a defect of citadel";

impl Code {
    /// Returns the code for a failed compilation.
    pub fn of(failure: &Failure) -> Self {
        match failure.diagnostics.first().map(|diagnostic| diagnostic.code) {
            Some(project::NOT_FOUND | evaluate::UNREADABLE) => Code::NotFound,
            Some(evaluate::MEMORY | evaluate::TIME) => Code::Limit,
            Some(evaluate::CRASHED | crate::compile::DEFECT) => Code::Defect,
            _ => Code::Invalid,
        }
    }
}
