//! What citadel made on a host, so that `uninstall` can take it away.

use std::collections::BTreeSet;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::error::DiskError;
use super::places::Places;
use super::trial::SetAside;

/// The version of the format that this program writes.
pub const VERSION: u32 = 1;

/// The content of `installed.json`. Paths are paths of the host.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct Record {
    pub version: u32,
    /// The activator that `install` put there; none when it was there before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub program: Option<PathBuf>,
    /// Files of others that are set aside.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub adopted: Vec<SetAside>,
    /// Users that did not exist before a bundle asked for them.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub users: BTreeSet<String>,
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub groups: BTreeSet<String>,
    /// Folders and links that did not exist before.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub made: BTreeSet<PathBuf>,
    /// Links at targets of files of bundles.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub links: BTreeSet<PathBuf>,
}

impl Record {
    /// Reads it; one that says nothing when there is none.
    pub fn read(places: &Places) -> Result<Self, DiskError> {
        let _ = places;
        todo!()
    }

    /// Durably changes it; nothing is written when the change changes nothing.
    pub fn update(places: &Places, change: impl FnOnce(&mut Self)) -> Result<(), DiskError> {
        let _ = (places, change);
        todo!()
    }
}
