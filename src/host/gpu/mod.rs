//! Settings of GPUs: what is wanted, what a GPU accepts, what was there before, and the way back.
//!
//! What was there before is on disk before anything changes ([`saved`]), so whoever comes after a crash can take it back.
//! Settings do not survive a restart of the host, so what an earlier boot saved counts no more.

mod apply;
mod desired;
mod drift;
mod limits;
mod plan;
mod restore;
pub mod saved;
mod seen;
mod status;
#[cfg(test)]
pub(in crate::host) mod testing;
mod watch;

pub use apply::{Applied, ApplyError, apply};
pub use desired::{Desired, DesiredError, Unsupported, read as read_desired};
pub use drift::{Drift, drift};
pub use limits::Verdict;
pub use plan::{Plan, Step, plan};
pub use restore::{Restored, restore};
pub use saved::{Saved, State, StateError};
pub use seen::{Seen, look};
pub use status::{GpuStatus, Status, status};
pub use watch::{Sight, watch};
