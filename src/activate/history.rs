//! The history of switches: one JSON object a line.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::error::DiskError;
use super::generation::Generation;
use super::places::Places;
use super::progress::Outcome;
use crate::bundle::digest::Digest;
use crate::bundle::unit::UnitName;
use crate::plan::{Action, Plan};

/// One thing that was done to the host.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
pub struct Entry {
    pub id: String,
    /// When it began.
    pub at: jiff::Timestamp,
    /// Who asked for it.
    pub by: String,
    pub kind: Kind,
    pub from: Option<Generation>,
    pub to: Option<Generation>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub profile: Option<String>,
    /// The identity of the bundle.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bundle: Option<Digest>,
    pub outcome: Outcome,
    pub seconds: f64,
    /// What was done to the units that something was done to.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub units: BTreeMap<UnitName, Action>,
    /// What is worth knowing, in a sentence or a paragraph.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    Switch,
    Rollback,
    Recover,
    Boot,
    Confirm,
    Install,
    Uninstall,
}

/// Returns what a plan does to the units that it acts on.
pub fn acted_on(plan: &Plan) -> BTreeMap<UnitName, Action> {
    let _ = plan;
    todo!()
}

/// Durably adds an entry.
pub fn append(places: &Places, entry: &Entry) -> Result<(), DiskError> {
    let _ = (places, entry);
    todo!()
}

/// Returns all entries, the oldest first; lines that cannot be read are left out.
pub fn read(places: &Places) -> Result<Vec<Entry>, DiskError> {
    let _ = places;
    todo!()
}
