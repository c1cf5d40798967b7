//! citadel talks to a real systemd: this program boots throwaway hosts and runs itself on them.
//!
//! The tests in `inside` run on such a host, as its root, over the private socket of systemd or over its message bus.

#![allow(clippy::expect_used, clippy::panic)]

#[path = "manager/host.rs"]
mod host;
#[path = "manager/inside.rs"]
mod inside;
#[path = "support/machine.rs"]
#[allow(dead_code, reason = "tests/oracles.rs uses the rest")]
mod machine;
#[path = "support/project.rs"]
#[allow(dead_code, reason = "tests/oracles.rs uses the rest")]
mod project;
#[path = "support/skip.rs"]
mod skip;

use machine::{SYSTEMD_252, SYSTEMD_257};

#[test]
fn systemd_252_is_talked_to() {
    host::run_inside(&SYSTEMD_252);
}

#[test]
fn systemd_257_is_talked_to() {
    host::run_inside(&SYSTEMD_257);
}
