//! Units and files of others at the names and places that a bundle needs.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::error::DiskError;
use super::places::Places;
use crate::bundle::manifest::Manifest;
use crate::bundle::unit::UnitName;

/// Who is used when two files define one unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Wins {
    /// The foreign file: the unit of the bundle would never be used.
    Theirs,
    /// The unit of the bundle.
    Ours,
}

/// A file that defines a unit of the bundle's name.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct ForeignUnit {
    pub unit: UnitName,
    /// As a path of the host.
    pub path: PathBuf,
    pub wins: Wins,
    /// Links that enable it or give it another name, as paths of the host; they move with it.
    pub links: Vec<PathBuf>,
}

/// A file at the target of a file of the bundle.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct ForeignFile {
    /// The file of the bundle.
    pub file: String,
    /// As a path of the host.
    pub path: PathBuf,
}

/// What others have where a bundle has something too. Paths are paths of the host.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
pub struct Foreign {
    pub units: Vec<ForeignUnit>,
    pub files: Vec<ForeignFile>,
    /// Units that an operator has masked, with the mask: they stay masked.
    pub masked: BTreeMap<UnitName, PathBuf>,
    /// Local changes to units of the bundle: they stay in effect.
    pub drop_ins: BTreeMap<UnitName, Vec<PathBuf>>,
    /// Init scripts of the same name; they do not count beside a unit.
    pub init_scripts: BTreeMap<UnitName, PathBuf>,
}

impl Foreign {
    /// Whether a switch has to be refused unless they are set aside.
    pub fn is_in_the_way(&self) -> bool {
        todo!()
    }
}

/// Looks for them.
pub fn find(places: &Places, manifest: &Manifest) -> Result<Foreign, DiskError> {
    let _ = (places, manifest);
    todo!()
}
