//! A throwaway host on which a bundle is installed and systemd is the first process.

use std::collections::BTreeSet;
use std::fs;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::bundle::Bundle;
use crate::machine::{Release, keys, members};
use crate::project;

/// How long a host may take for anything that it is asked to do.
const PATIENCE: Duration = Duration::from_secs(120);

/// Between two looks at something that is to change.
const PAUSE: Duration = Duration::from_millis(30);

/// A running host; it ends, without a trace, when this is dropped.
#[derive(Debug)]
pub struct Host {
    task: TempDir,
    machine: Child,
    /// Its first process, as this machine numbers it.
    init: String,
}

impl Host {
    /// Boots a host with this bundle, and waits until it has started everything.
    pub fn boot(release: &Release, system: &Path, bundle: &Bundle) -> Self {
        let task = tempfile::tempdir().expect("a temporary folder is made");
        let scripts = [
            ("boot.sh", include_str!("boot.sh")),
            ("inside.sh", include_str!("inside.sh")),
            ("install.sh", include_str!("install.sh")),
            ("program.py", include_str!("program.py")),
        ];
        for (name, text) in scripts {
            fs::write(task.path().join(name), text).expect("a script is written");
        }
        fs::create_dir(task.path().join("lists")).expect("a folder is made");
        for (name, lines) in lists(bundle) {
            let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
            fs::write(task.path().join("lists").join(name), text).expect("a list is written");
        }
        let copied = Command::new("cp").arg("-R").args([&bundle.folder, &task.path().join("bundle")]).status();
        assert!(copied.is_ok_and(|status| status.success()), "the bundle cannot be copied");

        let machine = Command::new("sh")
            .args([&task.path().join("boot.sh"), system, task.path()])
            .stdin(Stdio::piped())
            .spawn()
            .expect("a shell starts");
        let mut host = Host { task, machine, init: String::new() };
        host.until("a first process", || Ok(host.find_init().is_some()));
        host.init = host.find_init().expect("it was there");
        host.until("the end of the boot", || match host.run(&["systemctl", "is-system-running", "--wait"]).trim() {
            "running" | "degraded" => Ok(true),
            state => Err(format!("{state}\n{}", host.run(&["systemctl", "list-jobs"]))),
        });
        let version = host.run(&["systemctl", "--version"]);
        assert!(version.starts_with(&format!("systemd {} ", release.systemd)), "another systemd: {version}");
        host
    }

    fn find_init(&self) -> Option<String> {
        let group = PathBuf::from(fs::read_to_string(self.task.path().join("group")).ok()?.trim_end());
        let processes = fs::read_to_string(group.join("payload/init.scope/cgroup.procs")).ok()?;
        processes.lines().next().map(str::to_owned)
    }

    /// Runs a program on the host, as root and outside all units, and returns what it prints.
    pub fn run(&self, command: &[&str]) -> String {
        let output = Command::new("timeout")
            .arg(PATIENCE.as_secs().to_string())
            .args(["nsenter", "--all", "--target", &self.init])
            .args(["env", "-i", "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C.UTF-8", "SYSTEMD_COLORS=0"])
            .args(command)
            .stdin(Stdio::null())
            .output()
            .expect("timeout starts");
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
    }

    /// Runs `systemctl` with a job to do, and returns when the job is done.
    pub fn systemctl(&self, arguments: &[&str]) {
        let said = self.run(&[&["systemctl", "--quiet"], arguments].concat());
        assert!(said.is_empty(), "systemctl {arguments:?}: {said}\n{}", self.journal(&["--lines=100"]));
    }

    /// Returns properties of units, in the order of the units.
    pub fn show(&self, properties: &[&str], units: &[&str]) -> Vec<Properties> {
        let wanted = format!("--property=Id,{}", properties.join(","));
        let text = self.run(&[&["systemctl", "show", &wanted], units].concat());
        let shown: Vec<Properties> = text.split("\n\n").map(|block| Properties(block.trim().to_owned())).collect();
        assert_eq!(shown.len(), units.len(), "{text}");
        shown
    }

    pub fn state(&self, unit: &str) -> String {
        self.run(&["systemctl", "is-active", unit]).trim().to_owned()
    }

    /// Returns the messages of the journal, with the programs that wrote them.
    pub fn journal(&self, arguments: &[&str]) -> String {
        self.run(&["journalctl", "--sync"]);
        self.run(&[&["journalctl", "--boot", "--no-pager", "--output=short-monotonic"], arguments].concat())
    }

    /// Returns what the host wrote to its console since it was installed.
    pub fn console(&self) -> String {
        let text = fs::read(self.task.path().join("console")).unwrap_or_default();
        String::from_utf8_lossy(&text).into_owned()
    }

    /// Sends an HTTP request from the host itself, and returns status and body.
    pub fn get(&self, host: &str, port: u16, path: &str) -> (u64, String) {
        let script = r#"exec 3<>"/dev/tcp/$1/$2" && printf 'GET %s HTTP/1.0\r\n\r\n' "$3" >&3 && cat <&3"#;
        let reply = self.run(&["bash", "-c", script, "bash", host, &port.to_string(), path]);
        let (head, body) = reply.split_once("\r\n\r\n").unwrap_or_else(|| panic!("{host}:{port}{path}: {reply:?}"));
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
        (status.unwrap_or_else(|| panic!("no status: {head}")), body.to_owned())
    }

    /// Returns the IPv4 addresses and TCP ports that somebody listens on.
    pub fn listens(&self) -> BTreeSet<(String, u16)> {
        let table = self.run(&["cat", "/proc/net/tcp"]);
        let listening = table.lines().filter_map(|line| {
            let mut fields = line.split_ascii_whitespace();
            let (address, port) = fields.nth(1)?.split_once(':')?;
            // The address is in the byte order of the machine; 0A is the state of listening.
            let address = Ipv4Addr::from(u32::from_str_radix(address, 16).ok()?.to_ne_bytes());
            let port = u16::from_str_radix(port, 16).ok()?;
            (fields.nth(1)? == "0A").then(|| (address.to_string(), port))
        });
        listening.collect()
    }

    /// Looks until something is so; an `Err` says what is in its place.
    pub fn until(&self, what: &str, mut look: impl FnMut() -> Result<bool, String>) {
        let start = Instant::now();
        loop {
            let seen = look();
            if seen == Ok(true) {
                return;
            }
            // `boot.sh` removes the folder when it fails.
            let is_over = self.task.path().join("ended").exists() || !self.task.path().exists();
            if is_over || start.elapsed() > PATIENCE {
                panic!("waited in vain for {what}: {seen:?}\n{}", self.console());
            }
            std::thread::sleep(PAUSE);
        }
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        drop(self.machine.stdin.take());
        let _ = self.machine.wait();
    }
}

/// What `systemctl show` says of a unit.
#[derive(Debug)]
pub struct Properties(String);

impl Properties {
    pub fn get(&self, property: &str) -> &str {
        let mut values = self.0.lines().filter_map(|line| line.strip_prefix(property)?.strip_prefix('='));
        values.next().unwrap_or_else(|| panic!("no {property} in {}", self.0))
    }

    /// Returns a point in time as microseconds since the machine started; 0 for never.
    pub fn time(&self, property: &str) -> u64 {
        self.get(property).parse().expect("a number of microseconds")
    }
}

/// The lists that the scripts work from.
fn lists(bundle: &Bundle) -> Vec<(&'static str, Vec<String>)> {
    let installed: Vec<_> = members(&bundle.manifest["files"])
        .filter_map(|(name, entry)| Some((name, entry, entry["target"].as_str()?)))
        .collect();
    let field =
        |entry: &serde_json::Value, key: &str| entry[key].as_str().expect("a file has mode and owner").to_owned();
    let files = installed.iter().map(|(name, entry, target)| format!("{}\t{name}\t{target}", field(entry, "mode")));
    let owners = installed
        .iter()
        .map(|(_, entry, target)| format!("{}\t{}\t{target}", field(entry, "owner"), field(entry, "group")));
    let required_services = bundle.required("units").into_iter().filter(|unit| unit.ends_with(".service"));
    vec![
        ("users", bundle.required("users")),
        ("required_units", required_services.collect()),
        ("mounts", bundle.required("mounts")),
        ("link_targets", link_targets(bundle)),
        ("programs", programs(bundle)),
        ("working_directories", working_directories(bundle)),
        ("files", files.collect()),
        ("owners", owners.collect()),
        ("units", keys(&bundle.manifest["units"])),
        ("wanted", bundle.wanted().into_iter().map(|(target, unit)| format!("{target}\t{unit}")).collect()),
        ("addresses", addresses(bundle)),
        ("ready", ready(bundle)),
    ]
}

/// The programs that units start, except those that the operating system has.
fn programs(bundle: &Bundle) -> Vec<String> {
    let commands = bundle.units.keys().flat_map(|unit| bundle.commands(unit));
    let mut programs: Vec<String> =
        commands.filter_map(|(_, command)| command.split(' ').next()).map(str::to_owned).collect();
    programs.retain(|program| !["/bin/", "/usr/bin/", "/usr/lib/"].iter().any(|folder| program.starts_with(folder)));
    programs.sort();
    programs.dedup();
    programs
}

/// The folders that units start in, except those that systemd makes for them.
fn working_directories(bundle: &Bundle) -> Vec<String> {
    let mut directories: Vec<String> = bundle.words_of_all("WorkingDirectory").into_iter().map(str::to_owned).collect();
    directories.retain(|directory| !directory.starts_with("/var/lib/"));
    directories
}

/// What the links that a bundle makes lead to.
fn link_targets(bundle: &Bundle) -> Vec<String> {
    let profile = project::read_json(&bundle.folder.join("profile.json"));
    let links = members(&profile["storage"]["links"]);
    links.map(|(_, link)| link["target"].as_str().expect("a link has a target").to_owned()).collect()
}

/// The addresses that services listen on and that a machine does not have by itself.
fn addresses(bundle: &Bundle) -> Vec<String> {
    let listens = bundle.units.keys().flat_map(|unit| bundle.listens(unit));
    let mut addresses: Vec<String> = listens.map(|(address, _)| address).collect();
    addresses.push(STRANGER.to_owned());
    addresses.retain(|address| !["127.0.0.1", "::1", "0.0.0.0", "::"].contains(&address.as_str()));
    addresses.sort();
    addresses.dedup();
    addresses
}

/// An address of the host that no bundle knows, at which nobody listens.
pub const STRANGER: &str = "203.0.113.9";

/// The addresses that `wait-ready` connects to, by service.
fn ready(bundle: &Bundle) -> Vec<String> {
    let line = |(_, entry): (&String, &serde_json::Value)| {
        let probe = &entry["health"][entry["ready"].as_str()?]["http"];
        let service = entry["service"].as_str()?;
        let address = match probe["socket"].as_str() {
            Some(socket) => socket.to_owned(),
            None => format!("{}\t{}", probe["host"].as_str()?, probe["port"]),
        };
        Some(format!("{service}\t{address}"))
    };
    members(&bundle.manifest["units"]).filter_map(line).collect()
}
