//! The host side: generations on disk, carrying out a plan over D-Bus, trial, rollback, and the systemd generator.

pub mod generation;
pub mod log;
pub mod manager;
pub mod places;
pub mod progress;
pub mod trial;
pub mod worker;

pub use generation::Generation;
pub use places::Places;
