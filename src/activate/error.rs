//! Why something on the disk of a host could not be read, written or trusted.

use std::io;
use std::path::{Path, PathBuf};

/// A failure at one path; nothing but what its operation documents was changed.
#[derive(Debug, thiserror::Error)]
pub enum DiskError {
    #[error("cannot {doing} {path}: {source}")]
    Io { doing: &'static str, path: PathBuf, source: io::Error },
    /// A folder or file that somebody else could change or lead elsewhere.
    #[error("{path} {reason}; citadel does not work through it as root, so put it right first")]
    Unsafe { path: PathBuf, reason: String },
    /// The content is not what citadel writes.
    #[error("{path} {reason}; {help}")]
    Broken { path: PathBuf, reason: String, help: String },
    /// It is not a whole bundle.
    #[error(transparent)]
    Bundle(#[from] crate::bundle::read::ReadError),
    /// A file of another origin is where one of citadel has to be.
    #[error("{path} {reason}; move it away, or let `--adopt` set it aside")]
    Foreign { path: PathBuf, reason: String },
    /// It is needed where it is.
    #[error("generation {generation} {reason}, so it is kept")]
    InUse { generation: super::Generation, reason: &'static str },
    /// There is no such generation.
    #[error("there is no generation {0}; see `citadel generations`")]
    NoGeneration(super::Generation),
    /// Another program failed.
    #[error("{program} failed ({status}){}", said(.stderr))]
    Program { program: String, status: String, stderr: String },
}

impl DiskError {
    /// Returns a function that names what was being done to what.
    pub fn doing(doing: &'static str, path: impl AsRef<Path>) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { doing, path: path.as_ref().to_owned(), source }
    }

    /// Whether what was looked for is not there.
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::Io { source, .. } if source.kind() == io::ErrorKind::NotFound)
    }
}

fn said(stderr: &str) -> String {
    let text = stderr.trim();
    if text.is_empty() { String::new() } else { format!(": {text}") }
}
