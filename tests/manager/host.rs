//! A throwaway host on which this very test program runs.

use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::machine::Release;
use crate::skip;

/// Set on a throwaway host, so that nothing in `inside` ever runs on another one.
pub const THROWAWAY: &str = "CITADEL_TEST_THROWAWAY_HOST";

const PATIENCE: Duration = Duration::from_secs(120);

/// Between two looks at something that is to change.
const PAUSE: Duration = Duration::from_millis(30);

/// Boots a host and runs the tests of `inside` there.
pub fn run_inside(release: &Release) {
    let system = match release.system() {
        Ok(system) => system,
        Err(reason) => return skip::skipped(&format!("systemd {}: {reason}", release.systemd)),
    };
    for program in ["systemd-nspawn", "nsenter", "ip"] {
        let found = Command::new("sh").args(["-c", "command -v \"$1\"", "sh", program]).output();
        if !found.is_ok_and(|output| output.status.success()) {
            return skip::skipped(&format!("there is no {program}; tests/prepare installs it"));
        }
    }
    let task = tempfile::tempdir().expect("a temporary folder is made");
    fs::write(task.path().join("boot.sh"), include_str!("../boot/boot.sh")).expect("a script is written");
    fs::write(task.path().join("inside.sh"), include_str!("inside.sh")).expect("a script is written");
    fs::copy(std::env::current_exe().expect("a program"), task.path().join("test")).expect("the program is copied");
    let machine = Command::new("sh")
        .args([&task.path().join("boot.sh"), &system, task.path()])
        .stdin(Stdio::piped())
        .spawn()
        .expect("a shell starts");
    let host = Host { machine, task };
    let init = host.init();
    let in_host = |arguments: &[&str]| {
        let environment = ["PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C.UTF-8"];
        let mut command = Command::new("timeout");
        command.args([&PATIENCE.as_secs().to_string(), "nsenter", "--all", "--target", &init, "env", "-i"]);
        command.args(environment).arg(format!("{THROWAWAY}={}", release.systemd)).args(arguments);
        command.stdin(Stdio::null()).output().expect("timeout starts")
    };
    // Before systemd listens, `systemctl` does not wait.
    let start = Instant::now();
    while !["running", "degraded"]
        .contains(&String::from_utf8_lossy(&in_host(&["systemctl", "is-system-running", "--wait"]).stdout).trim())
    {
        assert!(start.elapsed() < PATIENCE, "the host does not end its boot:\n{}", host.console());
        std::thread::sleep(PAUSE);
    }
    let output = in_host(&["/task/test", "inside::", "--ignored", "--test-threads=1"]);
    let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    let journal = || String::from_utf8_lossy(&in_host(&["journalctl", "-b", "--no-pager", "-n80"]).stdout).into_owned();
    assert!(output.status.success(), "systemd {}:\n{said}\n{}", release.systemd, journal());
}

struct Host {
    machine: Child,
    task: TempDir,
}

impl Host {
    /// Waits for the first process of the host, and returns it as this machine numbers it.
    fn init(&self) -> String {
        let start = Instant::now();
        loop {
            if let Some(init) = self.find_init() {
                return init;
            }
            let over = self.task.path().join("ended").exists() || start.elapsed() > PATIENCE;
            assert!(!over, "the host does not start:\n{}", self.console());
            std::thread::sleep(PAUSE);
        }
    }

    fn console(&self) -> String {
        let text = fs::read(self.task.path().join("console")).unwrap_or_default();
        String::from_utf8_lossy(&text).into_owned()
    }

    fn find_init(&self) -> Option<String> {
        let group = PathBuf::from(fs::read_to_string(self.task.path().join("group")).ok()?.trim_end());
        let processes = fs::read_to_string(group.join("payload/init.scope/cgroup.procs")).ok()?;
        processes.lines().next().map(str::to_owned)
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        drop(self.machine.stdin.take());
        let _ = self.machine.wait();
    }
}
