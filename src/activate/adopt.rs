//! Setting files of others aside, and putting them back.

use std::path::PathBuf;

use super::error::DiskError;
use super::foreign::Foreign;
use super::places::Places;
use super::trial::SetAside;

/// Returns what has to move before citadel's own files count; pure.
pub fn plan(id: &str, foreign: &Foreign) -> Vec<SetAside> {
    let _ = (id, foreign);
    todo!()
}

/// Moves the files; one that has moved already is fine.
pub fn set_aside(places: &Places, files: &[SetAside]) -> Result<(), DiskError> {
    let _ = (places, files);
    todo!()
}

/// Moves the files back; one that is back already is fine. Returns the paths of which neither is there.
pub fn put_back(places: &Places, files: &[SetAside]) -> Result<Vec<PathBuf>, DiskError> {
    let _ = (places, files);
    todo!()
}
