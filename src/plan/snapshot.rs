//! What systemd says about units at one moment, as values.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::bundle::unit::UnitName;

/// The units of a host at one moment: those that a bundle names, instances of its templates, and those of others that
/// depend on them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
pub struct Snapshot {
    /// Units that systemd has loaded; what is not here is inactive.
    pub units: BTreeMap<UnitName, UnitState>,
}

/// What systemd says about one unit.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
pub struct UnitState {
    pub load: LoadState,
    pub active: ActiveState,
    /// The finer state of its type, such as `running`, `exited`, `auto-restart`, `listening`.
    pub sub: String,
    /// Why it ended last, such as `success`, `exit-code`, `timeout`; empty for types that have no result.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub result: String,
    /// Identifies the run of the unit: it changes with each start. Hexadecimal; none when it never ran.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub invocation: Option<String>,
    /// The file that defines it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fragment: Option<PathBuf>,
    /// Files that change the definition.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub drop_ins: Vec<PathBuf>,
    /// The process id of a service; 0 for none.
    #[serde(default)]
    pub main_pid: u32,
    /// How often systemd restarted it by itself since it was started.
    #[serde(default)]
    pub restarts: u32,
    /// Whether a job for it is queued or runs.
    #[serde(default)]
    pub job: bool,
    /// Units that stop with it: those that name it in `Requires=`, `Requisite=`, `BindsTo=` or `PartOf=`.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub dependants: BTreeSet<UnitName>,
}

/// What systemd says of the definition of a unit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum LoadState {
    Loaded,
    #[default]
    NotFound,
    Masked,
    /// It cannot be used: `bad-setting`, `error`, or what a later systemd calls it.
    #[serde(other)]
    Broken,
}

/// Whether a unit runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ActiveState {
    Active,
    Reloading,
    Refreshing,
    Activating,
    Deactivating,
    Failed,
    #[default]
    Inactive,
    Maintenance,
}

impl ActiveState {
    /// Returns the state as systemd calls it.
    pub fn words(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Reloading => "reloading",
            Self::Refreshing => "refreshing",
            Self::Activating => "activating",
            Self::Deactivating => "deactivating",
            Self::Failed => "failed",
            Self::Inactive => "inactive",
            Self::Maintenance => "maintenance",
        }
    }

    /// Whether it runs or is about to: what a change of its definition has to reach.
    pub fn is_up(self) -> bool {
        matches!(self, Self::Active | Self::Reloading | Self::Refreshing | Self::Activating)
    }
}

impl Snapshot {
    /// Returns the state of a unit; one that systemd does not have in memory is inactive.
    pub fn state(&self, unit: &UnitName) -> UnitState {
        self.units.get(unit).cloned().unwrap_or_default()
    }

    /// Whether a unit runs or is about to.
    pub fn is_up(&self, unit: &UnitName) -> bool {
        self.units.get(unit).is_some_and(|state| state.active.is_up())
    }
}
