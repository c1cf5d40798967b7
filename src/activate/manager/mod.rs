//! The service manager of the host, over D-Bus.
//!
//! Root talks to the private socket of systemd, so that a host without a message bus can be switched, and a restart of
//! the bus in the middle of a switch is no harm; all others go over the system bus. Nothing here decides what to do.

mod bus;
mod error;
mod jobs;
mod ledger;
mod marks;
mod private;
mod properties;
mod reason;
mod run;
mod units;

use bus::Bus;
pub use bus::Way;
pub use error::{BusError, BusErrorKind};
pub use jobs::{Job, JobEvent, JobKind, JobOutcome, JobResult};
pub use zbus::Variant;

/// A connection to systemd. It belongs to the tokio runtime in which it was made.
#[derive(Debug)]
pub struct Manager {
    bus: Bus,
}

impl Manager {
    /// Connects to systemd: as root to its private socket, and else, or when that fails, over the system bus.
    pub async fn connect() -> Result<Self, BusError> {
        if !rustix::process::geteuid().is_root() {
            return Self::connect_by(Way::SystemBus).await;
        }
        match Self::connect_by(Way::Private).await {
            Ok(manager) => Ok(manager),
            // The first error says more: the private socket is there wherever systemd is.
            Err(error) => Self::connect_by(Way::SystemBus).await.map_err(|_| error),
        }
    }

    /// Connects to systemd by one way.
    pub async fn connect_by(way: Way) -> Result<Self, BusError> {
        Ok(Manager { bus: Bus::connect(way).await? })
    }
}
