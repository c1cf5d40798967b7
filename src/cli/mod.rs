//! The command lines: one file a command, each with its arguments and one call of an operation.

pub mod exit;
pub mod host;
#[cfg(feature = "compiler")]
pub mod project;
