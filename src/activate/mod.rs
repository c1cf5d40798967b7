//! The host side: generations on disk, carrying out a plan over D-Bus, trial, rollback, and the systemd generator.

pub mod admit;
pub mod adopt;
pub mod current;
pub mod declared;
pub mod error;
pub mod files;
pub mod foreign;
pub mod generation;
pub mod generator;
pub mod history;
pub mod install;
pub mod links;
pub mod lock;
pub mod places;
pub mod progress;
pub mod record;
pub mod store;
pub mod system;
#[cfg(test)]
mod testing;
pub mod trial;
pub mod verify;

pub use error::DiskError;
pub use generation::Generation;
pub use places::Places;
