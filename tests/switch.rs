//! Switches on a real systemd: a host moves from bundle to bundle, and back by itself when the new one is not healthy.

#![cfg(feature = "compiler")]
#![allow(clippy::expect_used, clippy::panic)]

/// Makes each of these functions a test on a host with systemd 252 and on one with 257.
macro_rules! on_each_systemd {
    ($($name:ident),* $(,)?) => {
        mod on_252 {
            $(#[test] fn $name() { super::$name(&crate::host::machine::SYSTEMD_252) })*
        }
        mod on_257 {
            $(#[test] fn $name() { super::$name(&crate::host::machine::SYSTEMD_257) })*
        }
    };
}

#[path = "switch/failures.rs"]
mod failures;
#[allow(dead_code, reason = "tests/boot.rs uses the rest")]
mod host;
#[path = "switch/kinds_of_units.rs"]
mod kinds_of_units;
#[path = "switch/least_disruption.rs"]
mod least_disruption;
#[path = "switch/others.rs"]
mod others;
#[path = "switch/outlives.rs"]
mod outlives;
#[path = "switch/preflight.rs"]
mod preflight;
#[path = "switch/promises.rs"]
mod promises;
#[path = "switch/proof.rs"]
mod proof;
#[allow(dead_code, reason = "tests/kill_walk.rs uses the rest")]
#[path = "switch/runs.rs"]
mod runs;
#[path = "switch/secrets.rs"]
mod secrets;
#[path = "switch/site.rs"]
mod site;
#[path = "switch/speed.rs"]
mod speed;
#[path = "switch/whole_life.rs"]
mod whole_life;
