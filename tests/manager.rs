//! citadel talks to a real systemd: this program boots throwaway hosts and runs itself on them.
//!
//! The tests in `inside` run on such a host, as its root, over the private socket of systemd or over its message bus.

#![allow(clippy::expect_used, clippy::panic)]

#[allow(dead_code, reason = "tests/switch.rs uses the rest")]
mod host;
#[path = "manager/inside.rs"]
mod inside;
#[path = "manager/run_inside.rs"]
mod run_inside;

use host::machine::{SYSTEMD_252, SYSTEMD_257};

#[test]
fn systemd_252_is_talked_to() {
    run_inside::run_inside(&SYSTEMD_252);
}

#[test]
fn systemd_257_is_talked_to() {
    run_inside::run_inside(&SYSTEMD_257);
}
