//! citadel: a build-time configuration compiler for AI services on one's own GPU machines.
//!
//! A profile is evaluated ([`compile`]) to a bundle ([`bundle`]). On a host, a move from one bundle to another is planned
//! ([`plan`]), carried out ([`activate`]) and judged ([`health`]). What the host has is
//! known to [`host`]. Each room knows only those below it.

pub mod activate;
pub mod bundle;
pub mod cli;
#[cfg(feature = "compiler")]
pub mod compile;
#[cfg(feature = "diff")]
pub mod diff;
pub mod health;
pub mod host;
pub mod plan;
