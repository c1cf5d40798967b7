//! The events of a switch: what the one who waits for it is shown, and what is kept while it runs.

use serde::{Deserialize, Serialize};

use super::generation::Generation;
use crate::bundle::unit::UnitName;
use crate::plan::{Action, Plan};

/// Something that happened, written as one JSON object a line.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// A switch has begun.
    Begun { id: String, from: Option<Generation>, to: Option<Generation>, profile: Option<String> },
    /// What it will do.
    Planned { plan: Plan },
    /// A part of the switch begins: `check`, `write`, `stop`, `commit`, `reload`, `phase`, `health`, `confirm`, `roll back`.
    Stage { name: String },
    /// A deployment phase begins, with so many units.
    Phase { name: String, units: usize },
    /// Something is being done to a unit.
    Unit { unit: UnitName, action: Action, state: UnitProgress },
    /// A service is waited for; what its probes say.
    Waiting { unit: UnitName, message: String },
    /// A service is healthy.
    Healthy { unit: UnitName },
    /// Somebody has to confirm, within so many seconds.
    Confirm { seconds: u64 },
    /// Something that people should know and that stops nothing.
    Warning { message: String },
    /// What went wrong, before anything is taken back.
    Failed { message: String },
    /// The end. Nothing comes after it.
    Finished { outcome: Outcome, summary: String, seconds: f64 },
}

/// How far an action has come.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(tag = "is", rename_all = "snake_case")]
pub enum UnitProgress {
    Begun,
    Done { seconds: f64 },
    Failed { message: String },
}

/// How a switch ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// The new generation runs and is healthy.
    Done,
    /// There was nothing to do.
    Unchanged,
    /// The next boot tries it.
    NextBoot,
    /// The bundle is not one, or not whole.
    Invalid,
    /// Something could not be read or written, and nothing was changed.
    NotWritten,
    /// This host must not take the bundle, and nothing was changed.
    Refused,
    /// Another switch is running.
    Busy,
    /// It failed, and what was before runs again.
    RolledBack,
    /// It failed, and not everything could be taken back.
    Broken,
}
