//! What a host is and has, in the format of `hosts/NAME.json` that profiles import.
//!
//! Everything is read from files below a root folder, and from the driver of the GPUs; [`collect`] puts it together. Lists
//! are sorted, sizes are rounded down, and what changes by itself from minute to minute is left out, but for free space,
//! which is rounded to GiB.

mod devices;
mod gpus;
mod kernel;
mod mounts;
mod names;
mod ports;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::bundle::quantity::Size;
use crate::host::gpu::Seen;

/// Facts of a machine; `modules/citadel/host.ncl` says what each of them means.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Facts {
    pub version: u32,
    pub name: String,
    pub systemd: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kernel: Option<String>,
    pub cgroup: u32,
    pub cgroup_controllers: BTreeMap<String, bool>,
    pub cpus: u32,
    pub memory: Size,
    pub numa: Vec<Node>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub driver: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cuda: Option<String>,
    pub gpus: Vec<Gpu>,
    pub device_nodes: BTreeMap<String, bool>,
    pub mounts: BTreeMap<String, Mount>,
    pub users: BTreeMap<String, bool>,
    pub groups: BTreeMap<String, bool>,
    pub units: BTreeMap<String, bool>,
    pub ports: BTreeMap<String, u16>,
}

/// A NUMA node.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Node {
    pub node: u32,
    /// As the kernel lists them, such as `0-15,32-47`.
    pub cpus: String,
    pub memory: Size,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Gpu {
    pub name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub uuid: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pci_address: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub minor: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub numa: Option<u32>,
    pub memory: Size,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mig: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub power_limit_watts: Option<Range>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub graphics_clock_mhz: Option<Range>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_clock_mhz: Option<Range>,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Range {
    pub min: u32,
    pub max: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub default_value: Option<u32>,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Mount {
    #[serde(rename = "type")]
    pub kind: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size: Option<Size>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub free: Option<Size>,
}

/// A fact that every machine has cannot be found.
#[derive(Debug, thiserror::Error)]
pub enum FactsError {
    #[error("cannot read {path}: {source}", path = .path.display())]
    Unreadable { path: PathBuf, source: std::io::Error },
    #[error("{path} does not say what it should", path = .path.display())]
    Unclear { path: PathBuf },
    #[error("this host does not say which systemd it has: {0}")]
    NoSystemd(String),
}

/// Collects the facts of the machine below a root folder.
///
/// `seen` are its GPUs, none without a driver; `own` are the ports of services that profiles make, which are no facts.
pub fn collect(root: &Path, systemd: u32, seen: Option<&Seen>, own: &BTreeSet<u16>) -> Result<Facts, FactsError> {
    let tree = Tree(root);
    let cgroup = kernel::control_groups(tree);
    Ok(Facts {
        version: 1,
        name: tree.word("proc/sys/kernel/hostname")?,
        systemd,
        kernel: tree.word("proc/sys/kernel/osrelease").ok(),
        cgroup: cgroup.0,
        cgroup_controllers: cgroup.1,
        cpus: kernel::cpus(tree)?,
        memory: kernel::memory(tree)?,
        numa: kernel::numa(tree),
        driver: seen.and_then(|seen| seen.driver.version.clone()),
        cuda: seen.and_then(|seen| seen.driver.cuda.clone()),
        gpus: seen.map(|seen| gpus::gpus(tree, seen)).unwrap_or_default(),
        device_nodes: devices::nvidia(tree),
        mounts: mounts::mounts(tree)?,
        users: names::accounts(tree, "etc/passwd"),
        groups: names::accounts(tree, "etc/group"),
        units: names::units(tree),
        ports: ports::listening(tree, own),
    })
}

/// Returns the version of systemd on this host.
pub fn systemd_version() -> Result<u32, FactsError> {
    let said = std::process::Command::new("systemctl").arg("--version").output();
    let said = said.map_err(|error| FactsError::NoSystemd(format!("systemctl does not start: {error}")))?;
    let text = String::from_utf8_lossy(&said.stdout);
    kernel::systemd(&text).ok_or_else(|| FactsError::NoSystemd("systemctl --version says nothing".to_owned()))
}

/// The files of a machine.
#[derive(Clone, Copy)]
struct Tree<'a>(&'a Path);

impl Tree<'_> {
    fn path(self, path: impl AsRef<Path>) -> PathBuf {
        self.0.join(path)
    }

    fn read(self, path: &str) -> Result<String, FactsError> {
        let path = self.path(path);
        match fs::read(&path) {
            Ok(text) => Ok(String::from_utf8_lossy(&text).into_owned()),
            Err(source) => Err(FactsError::Unreadable { path, source }),
        }
    }

    /// Reads a file of one line.
    fn word(self, path: &str) -> Result<String, FactsError> {
        Ok(self.read(path)?.trim().to_owned())
    }

    /// Returns the names in a folder, sorted; none when it is not there.
    fn names(self, path: &str) -> Vec<String> {
        let entries = fs::read_dir(self.path(path)).into_iter().flatten().flatten();
        let mut names: Vec<String> = entries.filter_map(|entry| entry.file_name().into_string().ok()).collect();
        names.sort();
        names
    }

    fn unclear(self, path: &str) -> FactsError {
        FactsError::Unclear { path: self.path(path) }
    }
}

/// Returns a size in whole units; profiles and pull requests need no bytes.
fn rounded(bytes: u64, unit: u64) -> Size {
    Size(bytes / unit * unit)
}

const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns a folder with these files.
    fn tree(files: &[(&str, &str)]) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        root
    }

    const MACHINE: [(&str, &str); 15] = [
        ("proc/sys/kernel/hostname", "db\n"),
        ("proc/sys/kernel/osrelease", "6.1.0-41-amd64\n"),
        ("proc/meminfo", "MemTotal:       131811560 kB\nMemFree:  1 kB\n"),
        ("proc/self/mountinfo", "22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw\n"),
        ("proc/net/tcp", TCP),
        ("proc/net/tcp6", "  sl  local_address\n"),
        ("etc/services", "ssh 22/tcp # shell\nredis 6379/tcp\nredis 6379/udp\n"),
        ("etc/passwd", "root:x:0:0:root:/root:/bin/sh\ndeploy:x:1000:1000:,,,:/home/deploy:/bin/sh\n"),
        ("etc/group", "root:x:0:\ndocker:x:998:deploy\n"),
        ("sys/devices/system/cpu/online", "0-15,32-47\n"),
        ("sys/devices/system/node/node0/cpulist", "0-15,32-47\n"),
        ("sys/devices/system/node/node0/meminfo", "Node 0 MemTotal:       131811560 kB\n"),
        ("sys/fs/cgroup/cgroup.controllers", "cpuset cpu io memory pids\n"),
        ("etc/systemd/system/own.service", ""),
        ("etc/systemd/system/multi-user.target.wants/redis-server.service", ""),
    ];

    const TCP: &str = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid
   0: 00000000:0016 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1
   1: 0100007F:18EB 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 2
   2: 0100007F:2C88 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 3
   3: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4
   4: 0100007F:A000 0100007F:0016 01 00000000:00000000 00:00000000 00000000     0        0 5
";

    #[test]
    fn facts_are_those_of_the_files() {
        let root = tree(&MACHINE);
        let own = BTreeSet::from([11400]);
        let facts = serde_json::to_value(collect(root.path(), 252, None, &own).unwrap()).unwrap();
        let mut facts = facts.as_object().unwrap().clone();
        // The file system of the test itself.
        assert_eq!(facts.remove("mounts").unwrap()["/"]["type"], "ext4");
        assert_eq!(
            serde_json::Value::Object(facts),
            serde_json::json!({
                "version": 1, "name": "db", "systemd": 252, "kernel": "6.1.0-41-amd64", "cgroup": 2,
                "cgroup_controllers": { "cpu": true, "cpuset": true, "io": true, "memory": true, "pids": true },
                "cpus": 32, "memory": "128722M",
                "numa": [{ "node": 0, "cpus": "0-15,32-47", "memory": "128722M" }],
                "gpus": [], "device_nodes": {},
                "users": { "deploy": true, "root": true }, "groups": { "docker": true, "root": true },
                "units": { "own.service": true, "redis-server.service": true },
                "ports": { "redis": 6379, "ssh": 22, "tcp-8080": 8080 },
            })
        );
    }

    #[test]
    fn what_every_machine_has_must_be_found() {
        for missing in ["proc/sys/kernel/hostname", "proc/meminfo", "proc/self/mountinfo"] {
            let files: Vec<(&str, &str)> = MACHINE.into_iter().filter(|(path, _)| *path != missing).collect();
            let root = tree(&files);
            let error = collect(root.path(), 252, None, &BTreeSet::new()).unwrap_err().to_string();
            assert!(error.starts_with("cannot read /") && error.contains(missing), "{error}");
        }
    }
}
