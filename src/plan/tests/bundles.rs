//! Small bundles, states and plans as text.

use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::bundle::Bundle;
use crate::bundle::digest::Digest;
use crate::bundle::manifest::{
    Budget, ChangePolicy, Compiler, FileEntry, FileKind, Listen, Manifest, PhaseEntry, Requirements, UnitEntry,
};
use crate::bundle::unit::{UnitFile, UnitName};
use crate::plan::{Action, ActiveState, LoadState, Plan, Snapshot, UnitState};

pub(super) fn name(text: &str) -> UnitName {
    UnitName::parse(text).unwrap_or_else(|| panic!("{text} is not the name of a unit"))
}

/// Returns a bundle of units, each with its text.
///
/// A line such as `#! can_reload on_change=keep phase=two listens=0.0.0.0:80 files=files/etc/a` fills the manifest.
pub(super) fn bundle(units: &[(&str, &str)]) -> Bundle {
    let mut bundle = Bundle { manifest: empty(), files: BTreeMap::new() };
    for (name, text) in units {
        let path = format!("units/{name}");
        add_file(&mut bundle, &path, None, FileKind::Unit, text);
        let mut entry = entry(path);
        let file = UnitFile::parse(text).unwrap();
        let wanted = file.values("Install", "WantedBy").flat_map(str::split_whitespace);
        entry.wanted_by = wanted.map(str::to_owned).collect();
        for word in text.lines().filter_map(|line| line.strip_prefix("#! ")).flat_map(str::split_whitespace) {
            let (key, value) = word.split_once('=').unwrap_or((word, ""));
            match key {
                "can_reload" => entry.can_reload = true,
                "phase" => entry.phase = Some(value.to_owned()),
                "files" => entry.files.push(value.to_owned()),
                "on_change" => {
                    entry.on_change = serde_json::from_value(serde_json::Value::String(value.to_owned())).unwrap();
                }
                "listens" => {
                    let (address, port) = value.rsplit_once(':').unwrap();
                    entry.listens.push(Listen { address: address.to_owned(), port: port.parse().unwrap() });
                }
                _ => panic!("{word} says nothing about a unit"),
            }
        }
        bundle.manifest.units.insert((*name).to_owned(), entry);
    }
    bundle
}

/// Adds a file to a bundle; one that goes to the store is named by its content.
pub(super) fn add_file(bundle: &mut Bundle, path: &str, target: Option<&str>, kind: FileKind, text: &str) {
    let entry = FileEntry {
        kind,
        target: target.map(str::to_owned),
        mode: "0644".to_owned(),
        owner: "root".to_owned(),
        group: "root".to_owned(),
        size: text.len() as u64,
        sha256: Digest::of(text.as_bytes()),
    };
    bundle.manifest.files.insert(path.to_owned(), entry);
    bundle.files.insert(path.to_owned(), text.as_bytes().to_vec());
}

fn entry(file: String) -> UnitEntry {
    UnitEntry {
        file,
        service: None,
        wanted_by: Vec::new(),
        files: Vec::new(),
        credentials: Vec::new(),
        phase: None,
        on_change: ChangePolicy::Auto,
        can_reload: false,
        listens: Vec::new(),
        gpus: Vec::new(),
        health: BTreeMap::new(),
        preflight: BTreeMap::new(),
        ready: None,
    }
}

fn empty() -> Manifest {
    let phase = |name: &str| PhaseEntry { name: name.to_owned(), description: None, deadline_seconds: 60 };
    Manifest {
        version: 1,
        profile: "test".to_owned(),
        description: None,
        compiler: Compiler { citadel: "0".to_owned(), nickel: "0".to_owned() },
        requires: Requirements {
            systemd: 252,
            host: "test".to_owned(),
            cpus: 1,
            memory_bytes: 1,
            gpus: Vec::new(),
            driver: None,
            cuda: None,
            mounts: Vec::new(),
            units: Vec::new(),
            users: Vec::new(),
            groups: Vec::new(),
        },
        main_target: "main.target".to_owned(),
        files: BTreeMap::new(),
        units: BTreeMap::new(),
        phases: ["one", "two", "three"].map(phase).to_vec(),
        groups: BTreeMap::new(),
        credentials: BTreeMap::new(),
        budget: Budget::default(),
        inputs: BTreeMap::new(),
    }
}

/// Returns the state of units, written like `a.service, b.service failed, c.service active run2 </etc/c <d.service`.
///
/// Behind the name: the state (active when left out), the invocation, `@` and the file that defines it, `<` and a unit
/// that depends on it, `masked`, `sub=` and the finer state.
pub(super) fn state(text: &str) -> Snapshot {
    let mut units = BTreeMap::new();
    for unit in text.split(',').map(str::trim).filter(|unit| !unit.is_empty()) {
        let mut words = unit.split_whitespace();
        let unit = name(words.next().unwrap());
        let mut state = UnitState {
            load: LoadState::Loaded,
            active: ActiveState::Active,
            invocation: Some("run1".to_owned()),
            ..UnitState::default()
        };
        for word in words {
            if let Some(dependant) = word.strip_prefix('<') {
                state.dependants.insert(name(dependant));
            } else if let Some(file) = word.strip_prefix('@') {
                state.fragment = Some(PathBuf::from(file));
            } else if let Some(sub) = word.strip_prefix("sub=") {
                state.sub = sub.to_owned();
            } else if word.starts_with("run") {
                state.invocation = Some(word.to_owned());
            } else if word == "masked" {
                state.load = LoadState::Masked;
            } else {
                state.active = serde_json::from_value(serde_json::Value::String(word.to_owned())).unwrap();
            }
        }
        units.insert(unit, state);
    }
    Snapshot { units }
}

/// Returns the steps that do something, one a line, with their reasons.
pub(super) fn shown(plan: &Plan) -> Vec<String> {
    let steps = plan.steps.iter().filter(|(_, step)| step.action != Action::Nothing);
    steps.map(|(unit, _)| line(plan, unit.as_str())).collect()
}

/// Returns what happens to one unit and why.
pub(super) fn line(plan: &Plan, unit: &str) -> String {
    let step = &plan.steps[&name(unit)];
    let reasons: Vec<String> = step.reasons.iter().map(ToString::to_string).collect();
    format!("{unit}: {}, because {}", step.action.words(), reasons.join(", "))
}

pub(super) fn order(plan: &Plan) -> String {
    plan.order.iter().map(UnitName::as_str).collect::<Vec<_>>().join(" ")
}
