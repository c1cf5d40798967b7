//! What probes need to know of the host beyond what they find out themselves.

use std::future::Future;
use std::pin::Pin;

use crate::bundle::unit::UnitName;
use crate::plan::UnitState;

/// A host as probes see it.
pub trait Host {
    /// Returns what systemd says about a unit.
    ///
    /// # Errors
    ///
    /// Why systemd could not be asked, for people. That a unit is not loaded is an answer and no error.
    fn unit(&self, unit: &UnitName) -> impl Future<Output = Result<UnitState, String>>;

    /// Returns what knows the processes on the GPUs; none where nothing does.
    fn gpu(&self) -> Option<&dyn GpuProcesses>;
}

/// Knows which processes hold memory on which GPU.
pub trait GpuProcesses {
    /// Whether a process of the unit holds memory on each GPU that is assigned to it.
    ///
    /// # Errors
    ///
    /// Why the driver could not be asked, for people.
    fn uses_its_gpus<'a>(&'a self, unit: &'a UnitName) -> Pin<Box<dyn Future<Output = Result<bool, String>> + 'a>>;
}
