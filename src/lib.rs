//! citadel: a build-time configuration compiler for AI services on one's own GPU machines.
//!
//! A profile is evaluated ([`compile`]) to a bundle ([`bundle`]); each room knows only those below it.

pub mod bundle;
#[cfg(feature = "compiler")]
pub mod cli;
#[cfg(feature = "compiler")]
pub mod compile;
