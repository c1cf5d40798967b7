//! From a profile to a bundle: evaluate, check, lower, render. Knows nothing of a running host.

pub mod config;
