//! What a built bundle says of itself: its manifest and the text of its units.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::machine::{keys, members, strings};
use super::{build, project};

/// A profile, built with the real program.
#[derive(Debug)]
pub struct Bundle {
    pub folder: PathBuf,
    pub manifest: Value,
    /// The text of each unit.
    pub units: BTreeMap<String, String>,
}

/// An HTTP probe that is asked over TCP.
#[derive(Debug)]
pub struct Probe {
    pub host: String,
    pub port: u16,
    pub path: String,
    pub status: u64,
}

impl Bundle {
    /// Builds a copy of a profile of the repository below a folder.
    pub fn build(profile: &str, below: &Path) -> Self {
        project::copy(below, |_| ());
        Self::build_in(below, profile, &below.join("bundle"))
    }

    /// Builds a profile of a project into a folder.
    pub fn build_in(project: &Path, profile: &str, folder: &Path) -> Self {
        build::build(project, profile, folder);
        let folder = folder.to_owned();
        let manifest = project::read_json(&folder.join("manifest.json"));
        let text = |unit: &String| fs::read_to_string(folder.join("units").join(unit)).expect("a unit is read");
        let units = keys(&manifest["units"]).iter().map(|unit| (unit.clone(), text(unit))).collect();
        Bundle { folder, manifest, units }
    }

    pub fn required_systemd(&self) -> u64 {
        self.manifest["requires"]["systemd"].as_u64().expect("a bundle requires a systemd")
    }

    pub fn required(&self, what: &str) -> Vec<String> {
        strings(&self.manifest["requires"][what])
    }

    pub fn main_target(&self) -> &str {
        self.manifest["main_target"].as_str().expect("a bundle has a main target")
    }

    /// Returns which unit is wanted by which other: pairs of the other and the unit.
    pub fn wanted(&self) -> Vec<(String, String)> {
        let entries = members(&self.manifest["units"]);
        entries
            .flat_map(|(unit, entry)| strings(&entry["wanted_by"]).into_iter().map(|by| (by, unit.clone())))
            .collect()
    }

    /// Returns the units that a boot has to start.
    pub fn at_boot(&self) -> BTreeSet<&str> {
        let wanted = |unit: &&String| !strings(&self.manifest["units"][*unit]["wanted_by"]).is_empty();
        self.units.keys().filter(wanted).map(String::as_str).collect()
    }

    /// Returns active state and finer state of a unit after a boot, as systemd calls them.
    pub fn state_after_boot(&self, unit: &str) -> &'static str {
        if !self.at_boot().contains(unit) {
            "inactive dead"
        } else if unit.ends_with(".socket") {
            "active listening"
        } else if unit.ends_with(".timer") {
            "active waiting"
        } else if unit.ends_with(".target") {
            "active active"
        } else if self.values(unit, "Type") == ["oneshot"] {
            "active exited"
        } else {
            "active running"
        }
    }

    /// Returns the variables, each with `=` and its value, that a unit gets from files of the bundle.
    pub fn environment(&self, unit: &str) -> Vec<String> {
        let files = strings(&self.manifest["units"][unit]["files"]).into_iter().filter(|file| file.starts_with("env/"));
        let text = files.map(|file| fs::read_to_string(self.folder.join(file)).expect("a file is read"));
        let lines = text.flat_map(|text| text.lines().map(str::to_owned).collect::<Vec<String>>());
        // Values with characters that have to be escaped are left out.
        lines.filter(|line| !line.contains('\\')).map(|line| line.replace('"', "")).collect()
    }

    /// Returns the values of a directive of a unit.
    pub fn values<'a>(&'a self, unit: &str, directive: &str) -> Vec<&'a str> {
        self.units[unit].lines().filter_map(|line| line.strip_prefix(directive)?.strip_prefix('=')).collect()
    }

    /// Returns the words in all values of a directive of a unit.
    pub fn words<'a>(&'a self, unit: &str, directive: &str) -> BTreeSet<&'a str> {
        self.values(unit, directive).into_iter().flat_map(str::split_ascii_whitespace).collect()
    }

    /// Returns the words of a directive in all units.
    pub fn words_of_all<'a>(&'a self, directive: &str) -> BTreeSet<&'a str> {
        self.units.keys().flat_map(|unit| self.words(unit, directive)).collect()
    }

    /// Returns every command of a unit: the directive, and the command without the signs before it.
    pub fn commands<'a>(&'a self, unit: &str) -> impl Iterator<Item = (&'a str, &'a str)> + use<'a> {
        let assignments = self.units[unit].lines().filter(|line| line.starts_with("Exec"));
        let commands = assignments.filter_map(|line| line.split_once('='));
        commands.map(|(directive, command)| (directive, command.trim_start_matches(['-', '@', ':', '+', '!'])))
    }

    /// Returns the addresses that a unit listens on.
    pub fn listens(&self, unit: &str) -> Vec<(String, u16)> {
        let listens = self.manifest["units"][unit]["listens"].as_array().into_iter().flatten();
        let address = |listen: &Value| Some((listen["address"].as_str()?.to_owned(), port(&listen["port"])?));
        listens.map(|listen| address(listen).expect("a listen has address and port")).collect()
    }

    /// Returns the HTTP probes of a unit that are asked over TCP.
    pub fn probes(&self, unit: &str) -> Vec<Probe> {
        let read = |probe: &Value| {
            Some(Probe {
                host: probe["host"].as_str()?.to_owned(),
                port: port(&probe["port"])?,
                path: probe["path"].as_str()?.to_owned(),
                status: probe["status"].as_u64()?,
            })
        };
        members(&self.manifest["units"][unit]["health"]).filter_map(|(_, probe)| read(&probe["http"])).collect()
    }
}

fn port(value: &Value) -> Option<u16> {
    value.as_u64().and_then(|port| port.try_into().ok())
}
