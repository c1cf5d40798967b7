//! What a move from one bundle to another does to each unit of a host, and why.
//!
//! Everything here is a pure function of two bundles and a [`Snapshot`] of what runs. The same plan is printed, shown in
//! a diff, stored, carried out, and compared afterwards with what systemd reports.

pub mod action;
mod assumed;
mod change;
pub mod compare;
mod content;
mod draft;
pub mod effect;
mod forward;
mod listen;
mod order;
mod relations;
pub mod rollback;
pub mod snapshot;
mod spread;
#[cfg(test)]
mod tests;
mod units;

pub use action::{Action, Plan, Reason, Step};
pub use compare::{Difference, differences};
pub use effect::{Effect, effect};
pub use forward::{forward, predicted};
pub use rollback::{Mismatch, mismatch, rollback, surplus};
pub use snapshot::{ActiveState, LoadState, Snapshot, UnitState};
