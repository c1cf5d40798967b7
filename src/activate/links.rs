//! Links outside of citadel's folders that lead through `current` to files of the generation that counts.

use std::path::PathBuf;

use super::error::DiskError;
use super::places::Places;
use crate::bundle::Bundle;
use crate::bundle::manifest::Manifest;

/// A link at the target of a file of a bundle.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutsideLink {
    /// The file of the bundle.
    pub file: String,
    /// Where it has to be, as a path of the host.
    pub path: PathBuf,
    /// What it says.
    pub text: PathBuf,
}

/// What is at the place of a link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    Nothing,
    /// The link itself.
    Right,
    /// A link of citadel to another file.
    Other,
    /// Something of another origin.
    Foreign,
}

/// Returns the links that a bundle needs; pure.
pub fn wanted(manifest: &Manifest) -> Vec<OutsideLink> {
    let _ = manifest;
    todo!()
}

/// Returns what is there.
pub fn look(places: &Places, link: &OutsideLink) -> Result<Found, DiskError> {
    let _ = (places, link);
    todo!()
}

/// Durably makes the links that are missing; returns the folders that it made for them, as paths of the host.
pub fn make(places: &Places, manifest: &Manifest) -> Result<Vec<PathBuf>, DiskError> {
    let _ = (places, manifest);
    todo!()
}

/// Durably removes links that only the old bundle needs; what is not citadel's link is left alone.
pub fn prune(places: &Places, old: &Manifest, new: Option<&Manifest>) -> Result<Vec<PathBuf>, DiskError> {
    let _ = (places, old, new);
    todo!()
}

/// Removes links that `L` lines of the old bundle's tmpfiles made and that lead elsewhere in the new bundle: tmpfiles
/// makes missing links and changes none. Returns their paths on the host.
pub fn retarget(places: &Places, old: &Bundle, new: &Bundle) -> Result<Vec<PathBuf>, DiskError> {
    let _ = (places, old, new);
    todo!()
}
