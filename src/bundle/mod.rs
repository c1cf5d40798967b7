//! The bundle: what leaves the compiler and what a host is given. The ground floor; knows nothing else of this program.

mod characters;
pub mod digest;
pub mod env_file;
pub mod manifest;
pub mod quantity;
pub mod unit;
