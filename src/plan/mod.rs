//! What a move from one bundle to another does to each unit of a host, and why.
//!
//! Everything here is a pure function of two bundles and a [`Snapshot`] of what runs. The same plan is printed, shown in
//! a diff, stored, carried out, and compared afterwards with what systemd reports.

pub mod action;
pub mod snapshot;

pub use action::{Action, Plan, Reason, Step};
pub use snapshot::{ActiveState, LoadState, Snapshot, UnitState};
