//! The transient service that carries out a switch, so that it outlives the terminal, and following it from there.

use std::collections::BTreeMap;

use super::manager::{BusError, Manager};
use super::places::Places;
use super::progress::{Event, Outcome};
use crate::bundle::unit::UnitName;

/// How the following of a switch ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Followed {
    /// The switch is over.
    Finished(Outcome),
    /// Whoever watched does not want to any more; the switch goes on.
    Left,
    /// The service ended, and neither it nor recovery said how.
    Vanished,
}

/// Why a switch cannot be followed.
#[derive(Debug, thiserror::Error)]
pub enum FollowError {
    #[error(transparent)]
    Bus(#[from] BusError),
    #[error("{path} cannot be read: {source}")]
    Read { path: std::path::PathBuf, source: std::io::Error },
}

/// Returns the name of the service for a switch; none when the id does not fit into one.
pub fn unit(id: &str) -> Option<UnitName> {
    UnitName::parse(&format!("citadel-switch-{id}.service"))
}

/// Starts the service and returns when its program runs.
pub async fn start(
    _manager: &Manager,
    _unit: &UnitName,
    _argv: &[String],
    _environment: &BTreeMap<String, String>,
) -> Result<(), BusError> {
    todo!()
}

/// Reads the events of a switch as they come, from the first one, until the last one.
pub async fn follow(
    _places: &Places,
    _id: &str,
    _unit: &UnitName,
    _observe: &mut dyn FnMut(&Event),
) -> Result<Followed, FollowError> {
    todo!()
}
