//! A throwaway host on which this very test program runs.

use crate::host::machine::Release;
use crate::host::{Parts, can_boot, skip};

/// Set on a throwaway host, so that nothing in `inside` ever runs on another one.
pub const THROWAWAY: &str = "CITADEL_TEST_THROWAWAY_HOST";

/// Boots a host, as Debian ships it and with nothing to do, and runs the tests of `inside` there.
pub fn run_inside(release: &Release) {
    let system = match can_boot(release) {
        Ok(system) => system,
        Err(reason) => return skip::skipped(&format!("systemd {}: {reason}", release.systemd)),
    };
    let mut parts = Parts::new();
    parts.file("install.sh", "");
    parts.bind(&std::env::current_exe().expect("a program"), "/task/test");
    let host = parts.boot(release, &system);
    let throwaway = format!("{THROWAWAY}={}", release.systemd);
    let output = host.call(&["env", &throwaway, "/task/test", "inside::", "--ignored", "--test-threads=1"]);
    let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "systemd {}:\n{said}\n{}", release.systemd, host.journal(&["--lines=80"]));
}
