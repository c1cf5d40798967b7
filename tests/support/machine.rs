//! Throwaway machines with a given release of systemd, that take a bundle and say what they make of it.
//!
//! The tools of a release are asked on a whole system of that release: with the units that Debian ships, with the users
//! that the bundle's own sysusers file makes, and with stand-ins for programs and units that the manifest requires.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

/// A release of systemd, and the release of Debian that has it.
#[derive(Debug)]
pub struct Release {
    pub systemd: u64,
    debian: &'static str,
}

pub const SYSTEMD_252: Release = Release { systemd: 252, debian: "bookworm" };
pub const SYSTEMD_257: Release = Release { systemd: 257, debian: "trixie" };

/// What a machine says of a bundle: the output of each tool, under the names that `ask.sh` gives.
#[derive(Debug)]
pub struct Answers(BTreeMap<String, String>);

impl Answers {
    /// Returns all that a tool printed, and `exit status N` behind it when it failed.
    pub fn of(&self, tool: &str) -> &str {
        self.0.get(tool).unwrap_or_else(|| panic!("the machine says nothing of {tool}"))
    }

    /// Returns what a tool printed, if it printed something, for a list of complaints.
    pub fn complaint(&self, tool: &str) -> Option<&str> {
        Some(self.0.get(tool)?.trim_end()).filter(|text| !text.is_empty())
    }
}

impl Release {
    /// Returns the root of an installed system of this release, or why there is none.
    pub fn system(&self) -> Result<PathBuf, String> {
        if fs::metadata("/proc/self").map_or(true, |process| process.uid() != 0) {
            return Err("only root can make a throwaway machine".to_owned());
        }
        let namespace = Command::new("unshare").args(["--mount", "true"]).output();
        if !namespace.is_ok_and(|output| output.status.success()) {
            return Err("this machine does not allow mount namespaces".to_owned());
        }
        let own = Command::new("systemctl").arg("--version").output();
        let own = own.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
        if own.starts_with(&format!("systemd {} ", self.systemd)) {
            return Ok(PathBuf::from("/"));
        }
        let cache = std::env::var_os("CITADEL_TEST_CACHE").map_or("/var/cache/citadel-tests".into(), PathBuf::from);
        let system = cache.join(self.debian);
        let missing = format!("{} is missing; tests/prepare makes it", system.display());
        if system.is_dir() { Ok(system) } else { Err(missing) }
    }

    /// Installs a bundle on a throwaway machine of this release and asks all tools about it.
    pub fn ask(&self, system: &Path, bundle: &Path) -> Answers {
        let task = tempfile::tempdir().expect("a temporary folder is made");
        for (name, lines) in self.lists(bundle) {
            let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
            fs::write(task.path().join(name), text).expect("a list is written");
        }
        fs::write(task.path().join("ask.sh"), include_str!("ask.sh")).expect("the script is written");
        let run = Command::new("unshare")
            .args(["--mount", "--propagation", "private", "sh", "-c", include_str!("machine.sh"), "machine.sh"])
            .args([system, bundle, task.path()])
            .output()
            .expect("unshare starts");
        assert!(run.status.success(), "systemd {}: {}", self.systemd, String::from_utf8_lossy(&run.stderr));
        let answers = fs::read_dir(task.path().join("answers")).expect("there are answers");
        let read = |entry: fs::DirEntry| {
            let text = fs::read(entry.path()).expect("an answer is read");
            (entry.file_name().to_string_lossy().into_owned(), String::from_utf8_lossy(&text).into_owned())
        };
        Answers(answers.map(|entry| read(entry.expect("an answer is found"))).collect())
    }

    /// The lists that `ask.sh` works from.
    fn lists(&self, bundle: &Path) -> BTreeMap<&'static str, Vec<String>> {
        let manifest = super::project::read_json(&bundle.join("manifest.json"));
        let profile = super::project::read_json(&bundle.join("profile.json"));
        let units = keys(&manifest["units"]);
        let of_kind = |kind: &str| {
            let files = manifest["files"].as_object().expect("the manifest lists files").iter();
            let of_kind = files.filter(|(_, entry)| entry["kind"] == kind);
            of_kind.map(|(name, _)| format!("/bundle/{name}")).collect::<Vec<_>>()
        };
        let rotated = members(&profile["log_rotation"]).flat_map(|(_, rotation)| keys(&rotation["paths"]));
        BTreeMap::from([
            ("users", strings(&manifest["requires"]["users"])),
            ("groups", strings(&manifest["requires"]["groups"])),
            ("required_units", strings(&manifest["requires"]["units"])),
            ("programs", programs(bundle, &units)),
            ("files", files(&manifest)),
            ("wanted", wanted(&manifest)),
            ("directories", keys(&profile["directories"])),
            ("links", keys(&profile["storage"]["links"])),
            ("logs", rotated.collect()),
            ("services", units.iter().filter(|unit| unit.ends_with(".service")).cloned().collect()),
            ("units", units),
            ("sysusers", of_kind("sysusers")),
            ("tmpfiles", of_kind("tmpfiles")),
            ("logrotate", of_kind("logrotate")),
            // `udevadm verify` is new in systemd 254.
            ("udev", if self.systemd >= 254 { of_kind("udev") } else { Vec::new() }),
        ])
    }
}

/// Returns mode, owner, group, name and target of every file that is installed.
fn files(manifest: &Value) -> Vec<String> {
    let line = |(name, entry): (&String, &Value)| {
        let unit = name.strip_prefix("units/").map(|unit| format!("/etc/systemd/system/{unit}"));
        let target = entry["target"].as_str().map(str::to_owned).or(unit)?;
        let field = |key: &str| entry[key].as_str().expect("a file has mode and owner");
        Some(format!("{}\t{}\t{}\t{name}\t{target}", field("mode"), field("owner"), field("group")))
    };
    members(&manifest["files"]).filter_map(line).collect()
}

/// Returns which unit is wanted by which other.
fn wanted(manifest: &Value) -> Vec<String> {
    let links = |(unit, entry): (&String, &Value)| {
        let targets = strings(&entry["wanted_by"]);
        targets.into_iter().map(|target| format!("{target}\t{unit}")).collect::<Vec<_>>()
    };
    members(&manifest["units"]).flat_map(links).collect()
}

/// Returns the programs that units start, except those of systemd, which have to be there.
fn programs(bundle: &Path, units: &[String]) -> Vec<String> {
    let mut programs = Vec::new();
    for unit in units {
        let text = fs::read_to_string(bundle.join("units").join(unit)).expect("a unit is read");
        let commands = text.lines().filter(|line| line.starts_with("Exec")).filter_map(|line| line.split_once('='));
        for (_, command) in commands {
            let command = command.trim_start_matches(['-', '@', ':', '+', '!', '"']);
            programs.extend(command.split([' ', '"']).next().map(str::to_owned));
        }
    }
    programs.retain(|program| !program.is_empty() && !program.starts_with("/usr/lib/systemd/"));
    programs.sort();
    programs.dedup();
    programs
}

/// Returns the members of an object.
pub fn members(object: &Value) -> impl Iterator<Item = (&String, &Value)> {
    object.as_object().into_iter().flatten()
}

/// Returns the names of an object's members.
pub fn keys(object: &Value) -> Vec<String> {
    members(object).map(|(name, _)| name.clone()).collect()
}

/// Returns the text in an array.
pub fn strings(array: &Value) -> Vec<String> {
    array.as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
}
