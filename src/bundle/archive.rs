//! Bundles in one file.

use std::io::{self, Read, Write};

use super::Bundle;

/// Why something is not a bundle in one file.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    #[error("cannot read the archive: {0}")]
    Io(#[from] io::Error),
}

impl Bundle {
    /// Writes the bundle as a `.tar.gz` archive; equal bundles give equal bytes.
    pub fn pack(&self, output: impl Write) -> io::Result<()> {
        let _ = output;
        todo!()
    }

    /// Reads a `.tar.gz` archive into memory and checks everything that [`Bundle::read`] checks.
    pub fn unpack(input: impl Read) -> Result<Self, ArchiveError> {
        let _ = input;
        todo!()
    }
}
