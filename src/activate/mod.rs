//! The host side: generations on disk, carrying out a plan over D-Bus, trial, rollback, and the systemd generator.

pub mod admit;
pub mod adopt;
pub mod apply;
pub mod confirm;
pub mod current;
pub mod declared;
pub mod end;
mod entry;
pub mod error;
pub mod files;
pub mod foreign;
pub mod generation;
pub mod generations;
pub mod generator;
pub mod history;
pub mod host;
pub mod install;
pub mod links;
pub mod lock;
pub mod log;
pub mod manager;
pub mod offline;
pub mod places;
pub mod progress;
pub mod prospect;
pub mod record;
pub mod recover;
pub mod rollback;
pub mod secrets;
pub mod setup;
pub mod status;
pub mod store;
pub mod switch;
pub mod system;
#[cfg(test)]
mod testing;
pub mod trial;
pub mod uninstall;
pub mod verify;
pub mod worker;

pub use error::DiskError;
pub use generation::Generation;
pub use places::Places;
