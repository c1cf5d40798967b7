//! From a profile to a bundle: evaluate, check, lower, render. Knows nothing of a running host.

pub mod budget;
pub mod check;
pub mod config;
pub mod finding;
pub mod lower;
pub mod render;
pub mod system;
