//! Generations and the files that they share.

use std::path::PathBuf;

use super::error::DiskError;
use super::generation::Generation;
use super::places::Places;
use crate::bundle::Bundle;

/// Durably writes a bundle as a generation; returns an existing one when it is the same bundle, whole.
pub fn import(places: &Places, bundle: &Bundle) -> Result<Generation, DiskError> {
    let _ = (places, bundle);
    todo!()
}

/// Gives files the owners that did not exist when they were written; call it after sysusers.
pub fn settle_owners(places: &Places, generation: Generation, bundle: &Bundle) -> Result<(), DiskError> {
    let _ = (places, generation, bundle);
    todo!()
}

/// Reads a generation and checks the digest of every file.
pub fn read(places: &Places, generation: Generation) -> Result<Bundle, DiskError> {
    let _ = (places, generation);
    todo!()
}

/// Returns the store files of a bundle that are missing or changed, as paths of the host.
pub fn check_store(places: &Places, bundle: &Bundle) -> Result<Vec<PathBuf>, DiskError> {
    let _ = (places, bundle);
    todo!()
}

/// Returns all generations, the oldest first.
pub fn list(places: &Places) -> Result<Vec<Generation>, DiskError> {
    let _ = places;
    todo!()
}

/// Removes a generation that is neither current nor part of a trial; its store files go with [`gc`].
pub fn delete(places: &Places, generation: Generation) -> Result<(), DiskError> {
    let _ = (places, generation);
    todo!()
}

/// What [`gc`] removed.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Collected {
    pub generations: Vec<Generation>,
    /// Names of store files.
    pub files: Vec<String>,
}

/// Removes all but the newest `keep` generations and those in use, then store files that none refers to, and what
/// killed programs left behind.
pub fn gc(places: &Places, keep: usize) -> Result<Collected, DiskError> {
    let _ = (places, keep);
    todo!()
}
