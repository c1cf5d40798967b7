//! What makes a host one of citadel's, and what takes that away.

use std::path::{Path, PathBuf};

use serde::Serialize;

use super::error::DiskError;
use super::places::Places;

/// Installs the activator, the generator and the folders; returns the paths that it made or changed.
pub fn install(places: &Places, program: &Path) -> Result<Vec<PathBuf>, DiskError> {
    let _ = (places, program);
    todo!()
}

/// What is gone and what is kept.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Uninstalled {
    pub removed: Vec<PathBuf>,
    /// Data, users and groups that are still there, each with why.
    pub kept: Vec<String>,
}

/// Removes the files of citadel and puts back what was set aside; units must be stopped before.
/// With `purge`, also removes users, groups and data that came with its bundles.
pub async fn uninstall_files(places: &Places, purge: bool) -> Result<Uninstalled, DiskError> {
    let _ = (places, purge);
    todo!()
}
