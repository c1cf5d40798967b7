//! From the resolved machine to units and files as values; `render` makes text of them.

use crate::bundle::manifest::{FileEntry, FileKind, UnitEntry};
use crate::bundle::unit::{UnitFile, UnitName};
use crate::compile::finding::{Finding, OptionPath};
use crate::compile::system::System;

/// Everything that a host gets, before it is text.
pub struct Lowered {
    /// Sorted by name.
    pub units: Vec<LoweredUnit>,
    /// Files that are not units, sorted by path in the bundle.
    pub files: Vec<LoweredFile>,
}

/// A unit with what the manifest and the checks need to know of it.
pub struct LoweredUnit {
    pub name: UnitName,
    pub unit: UnitFile,
    pub entry: UnitEntry,
    /// Where the unit comes from in the profile.
    pub origin: OptionPath,
    /// Directives that the profile wrote out itself, by section and key, with their option.
    pub written_out: Vec<(String, String, OptionPath)>,
}

/// A file with its place in the bundle and on the host.
pub struct LoweredFile {
    /// Its path in the bundle.
    pub path: String,
    pub kind: FileKind,
    /// Where it belongs on a host.
    pub target: Option<String>,
    /// Permission bits in octal.
    pub mode: String,
    pub content: String,
    pub origin: OptionPath,
}

impl LoweredFile {
    /// Returns the manifest's line on the file.
    pub fn entry(&self) -> FileEntry {
        FileEntry {
            kind: self.kind,
            target: self.target.clone(),
            mode: self.mode.clone(),
            owner: "root".to_owned(),
            group: "root".to_owned(),
            size: self.content.len() as u64,
            sha256: crate::bundle::digest::Digest::of(self.content.as_bytes()),
        }
    }
}

/// Lowers a machine. Values that cannot be written without changing their meaning are reported and left out.
pub fn lower(_system: &System) -> (Lowered, Vec<Finding>) {
    (Lowered { units: Vec::new(), files: Vec::new() }, Vec::new())
}
