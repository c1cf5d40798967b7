//! A throwaway machine with a real systemd as its first process.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use tempfile::TempDir;

use crate::systemd::{is_root, write};

/// A directory that a throwaway machine sees as `/citadel`; `units` in it are all units that it has.
pub struct Machine {
    dir: TempDir,
}

impl Machine {
    pub fn new() -> Self {
        let dir = TempDir::new().expect("a temporary directory");
        for name in ["units", "out"] {
            fs::create_dir(dir.path().join(name)).expect("a directory");
        }
        Machine { dir }
    }

    /// Returns a path within the directory.
    pub fn path(&self, path: &str) -> PathBuf {
        self.dir.path().join(path)
    }

    pub fn add_unit(&self, name: &str, text: &str) {
        write(&self.path("units").join(name), text.as_bytes());
    }

    /// Boots, runs these oneshot services all together, and then the shell command as root; ends when that ends.
    ///
    /// Err when machines do not boot here, whatever the services are.
    pub fn run(&self, services: &[String], command: &str) -> Result<(), String> {
        if !is_root() {
            return Err("booting a throwaway machine needs root".to_owned());
        }
        // The command is in a file so that no escaping of ours comes into it.
        write(&self.path("last.sh"), command.as_bytes());
        let services = services.join(" ");
        self.add_unit(
            "last.service",
            &format!(
                "[Unit]\nDefaultDependencies=no\nWants={services}\nAfter={services}\n[Service]\nType=oneshot\n\
                 ExecStart=/bin/touch /citadel/out/booted\nExecStart=/bin/sh -eu /citadel/last.sh\n\
                 ExecStopPost=/bin/systemctl exit 0 --force\n\
                 StandardOutput=file:/citadel/out/log\nStandardError=file:/citadel/out/log\n"
            ),
        );
        fs::create_dir(self.path("root")).map_err(|error| error.to_string())?;
        // nspawn does not start from "/" itself, and forgets its mounts with the mount namespace.
        let script = "mount --bind / \"$1/root\" && exec timeout --kill-after=5 120 systemd-nspawn --quiet \
            --directory=\"$1/root\" --machine=\"$2\" --volatile=overlay --private-network --register=no --keep-unit \
            --bind=\"$1:/citadel\" --setenv=SYSTEMD_UNIT_PATH=/citadel/units --boot -- --unit=last.service";
        let output = Command::new("unshare")
            .args(["--mount", "sh", "-c", script, "sh"])
            .arg(self.dir.path())
            .arg(format!("citadel-test-{}", std::process::id()))
            .stdin(Stdio::null())
            .output()
            .map_err(|error| format!("unshare: {error}"))?;
        if !self.path("out/booted").exists() {
            let log = String::from_utf8_lossy(&output.stderr) + String::from_utf8_lossy(&output.stdout);
            return Err(format!("a throwaway machine does not boot here: {}", log.trim()));
        }
        assert!(output.status.success(), "the last command failed: {}", self.read_text("log"));
        Ok(())
    }

    /// Returns what the machine left under this name in `out`.
    pub fn read(&self, name: &str) -> Vec<u8> {
        fs::read(self.path("out").join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    pub fn read_text(&self, name: &str) -> String {
        String::from_utf8_lossy(&self.read(name)).into_owned()
    }
}
