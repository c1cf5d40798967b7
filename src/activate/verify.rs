//! Drift: how a host differs from what its generation says.

use std::path::PathBuf;

use serde::Serialize;

use super::error::DiskError;
use super::places::Places;
use crate::bundle::unit::UnitName;
use crate::plan::Snapshot;

/// One difference. Paths are paths of the host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "drift", rename_all = "snake_case")]
pub enum Drift {
    /// A file of the generation or the store is not as it was built.
    Changed {
        path: PathBuf,
    },
    Missing {
        path: PathBuf,
    },
    /// A link outside leads elsewhere or is a file.
    Link {
        path: PathBuf,
    },
    /// A local change to a unit.
    DropIn {
        unit: UnitName,
        path: PathBuf,
    },
    Masked {
        unit: UnitName,
        path: PathBuf,
    },
    /// Another file defines the unit.
    Foreign {
        unit: UnitName,
        path: PathBuf,
    },
    /// systemd uses another file, or none.
    Loaded {
        unit: UnitName,
        from: Option<PathBuf>,
    },
    /// systemd has not read the unit as it is on disk.
    Stale {
        unit: UnitName,
    },
}

/// Returns all drift; `live` is what systemd says, none on a host that does not run.
pub fn drift(places: &Places, live: Option<&Snapshot>) -> Result<Vec<Drift>, DiskError> {
    let _ = (places, live);
    todo!()
}
