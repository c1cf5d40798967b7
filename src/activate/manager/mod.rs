//! The service manager of the host, over D-Bus.

mod error;
mod jobs;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

pub use error::{BusError, BusErrorKind};
pub use jobs::{Job, JobEvent, JobKind, JobOutcome, JobResult};
pub use zbus::Variant;

use crate::bundle::unit::UnitName;
use crate::plan::{Snapshot, UnitState};

/// A connection to systemd.
#[derive(Debug)]
pub struct Manager {}

/// What systemd says about a unit, at one moment.
impl Manager {
    /// Connects to systemd: as root to its private socket, which needs no message bus, and else over the system bus.
    pub async fn connect() -> Result<Self, BusError> {
        todo!()
    }

    /// Returns the release of systemd, such as 257.
    pub async fn version(&self) -> Result<u32, BusError> {
        todo!()
    }

    /// Returns the states of these units, and of the instances of templates among them, as far as systemd has them in
    /// memory. One call; invocation, files and dependants are left out.
    pub async fn units(&self, _wanted: &BTreeSet<UnitName>) -> Result<Snapshot, BusError> {
        todo!()
    }

    /// Completes a snapshot with all that is known about these units, reading them from disk where needed, and adds the
    /// units of others that depend on them and are up.
    pub async fn details(&self, _snapshot: &mut Snapshot, _units: &BTreeSet<UnitName>) -> Result<(), BusError> {
        todo!()
    }

    /// Returns all that is known about one unit now.
    pub async fn unit(&self, _unit: &UnitName) -> Result<UnitState, BusError> {
        todo!()
    }

    /// Returns those of the units whose files changed since systemd read them.
    pub async fn outdated(&self, _units: &BTreeSet<UnitName>) -> Result<BTreeSet<UnitName>, BusError> {
        todo!()
    }

    /// Makes systemd run its generators and read all units again, and waits until it has.
    pub async fn reload(&self) -> Result<(), BusError> {
        todo!()
    }

    /// Forgets that a unit failed; one that is not in memory has nothing to forget.
    pub async fn reset_failed(&self, _unit: &UnitName) -> Result<(), BusError> {
        todo!()
    }

    /// Hands all jobs to systemd at once, waits for their ends, and returns how each ended.
    ///
    /// Jobs that are not over within `limit` are cancelled. Each unit may occur once.
    pub async fn run(
        &self,
        _jobs: &[Job],
        _limit: Duration,
        _observe: &mut dyn FnMut(JobEvent),
    ) -> Result<BTreeMap<UnitName, JobOutcome>, BusError> {
        todo!()
    }

    /// Starts a service that has no file, and waits until its program runs. Properties are those of systemd's
    /// `StartTransientUnit`, with their types on D-Bus.
    pub async fn start_transient(
        &self,
        _unit: &UnitName,
        _description: &str,
        _argv: &[String],
        _properties: Vec<(&str, Variant<'_>)>,
    ) -> Result<JobOutcome, BusError> {
        todo!()
    }

    /// Stops a unit and waits for its end.
    pub async fn stop(&self, _unit: &UnitName, _limit: Duration) -> Result<JobOutcome, BusError> {
        todo!()
    }
}
