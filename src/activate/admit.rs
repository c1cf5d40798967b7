//! The manifest as root's input: what it may ask for, whoever wrote it.
//!
//! The compiler makes no such manifest. But a bundle comes over the network, and root acts on its names and paths: so every
//! name that becomes a path or an argument is checked here again, and all problems are told at once. The content of units
//! is not judged: a bundle decides what runs as root on the host, that is what it is for.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::secrets;
use crate::bundle::Bundle;
use crate::bundle::manifest::{FILE_NAME, FileEntry, FileKind, Manifest, STORE, UnitEntry, credential_path};
use crate::bundle::read::is_inside;
use crate::bundle::unit::{UnitFile, UnitKind, UnitName};
use crate::health::probe::{Probe, Test};

/// Something in a manifest that root must not act on.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Problem {
    /// What it is about: a file of the bundle, a unit, or a part of the manifest.
    pub at: String,
    /// What is wrong and what has to be, as the end of a sentence that begins with `at`.
    pub message: String,
}

impl std::fmt::Display for Problem {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The name is of unknown origin and goes to a terminal.
        write!(out, "{} {}", self.at.escape_debug(), self.message)
    }
}

/// Folders below `/etc` in which a bundle writes no files of its own: citadel's, those of units, and those of secrets.
const RESERVED: [&str; 7] = [
    "/etc/citadel",
    "/etc/systemd/system",
    "/etc/systemd/system-generators",
    "/etc/systemd/system.attached",
    "/etc/systemd/system.control",
    "/etc/credstore",
    "/etc/credstore.encrypted",
];

/// Returns everything that is wrong with the manifest of a bundle. `systemd` is the version of the host, none when it is
/// not known.
pub fn problems(bundle: &Bundle, systemd: Option<u32>) -> Vec<Problem> {
    let mut found = Found::default();
    let manifest = &bundle.manifest;
    texts(manifest, &mut found);
    if let Some(host) = systemd.filter(|host| *host < manifest.requires.systemd) {
        let needed = manifest.requires.systemd;
        found.add("requires", format!("needs systemd {needed}, and this host has {host}; build for this host"));
    }
    files(manifest, &mut found);
    for (name, unit) in &manifest.units {
        self::unit(name, unit, manifest, &mut found);
    }
    if !manifest.units.contains_key(&manifest.main_target) {
        found.add("main_target", format!("is {:?}, which is no unit of the bundle", manifest.main_target));
    }
    for (name, unit) in &manifest.units {
        identity(name, unit, bundle, &mut found);
    }
    phases(manifest, &mut found);
    credentials(manifest, &mut found);
    found.0
}

/// No deployment has more phases.
const MOST_PHASES: usize = 100;

/// The longest that a phase may take, in seconds: a week.
const LONGEST_PHASE: u64 = 7 * 24 * 60 * 60;

fn phases(manifest: &Manifest, found: &mut Found) {
    let mut names = BTreeSet::new();
    for phase in manifest.phases.iter().filter(|phase| !names.insert(&phase.name)) {
        found.add("phases", format!("names {:?} twice", phase.name));
    }
    for phase in manifest.phases.iter().filter(|phase| phase.deadline_seconds > LONGEST_PHASE) {
        found.add("phases", format!("gives {:?} more than seven days", phase.name));
    }
    if manifest.phases.len() > MOST_PHASES {
        found.add("phases", format!("has more than {MOST_PHASES} phases"));
    }
}

/// The name of a credential becomes a path and a part of commands that people copy.
fn credentials(manifest: &Manifest, found: &mut Found) {
    for (name, entry) in &manifest.credentials {
        let place = credential_path(name, entry.encrypted);
        if !secrets::is_name(name) {
            found.add("credentials", format!("has the name {name:?}, which no credential can have"));
        } else if entry.path != place {
            found.add("credentials", format!("keeps {name:?} at {:?}, and has to at {place:?}", entry.path));
        }
    }
}

/// A command that asks for the health of a service runs as its user, which has to be known without systemd.
fn identity(name: &str, unit: &UnitEntry, bundle: &Bundle, found: &mut Found) {
    let is_command = |value: &serde_json::Value| {
        serde_json::from_value::<Probe>(value.clone()).is_ok_and(|probe| matches!(probe.test, Test::Command(_)))
    };
    if !unit.health.values().any(is_command) {
        return;
    }
    let text = bundle.files.get(&unit.file).map(|text| String::from_utf8_lossy(text));
    let Some(file) = text.and_then(|text| UnitFile::parse(&text).ok()) else {
        found.add(name, "has a command for its health, and no file that says as whom it runs");
        return;
    };
    for key in ["User", "Group", "SupplementaryGroups"] {
        if let Some(value) = file.values("Service", key).find(|value| value.contains('%')) {
            found.add(name, format!("has a command for its health and `{key}={value}`; name it without a specifier"));
        }
    }
}

#[derive(Default)]
struct Found(Vec<Problem>);

impl Found {
    fn add(&mut self, at: &str, message: impl Into<String>) {
        self.0.push(Problem { at: at.to_owned(), message: message.into() });
    }
}

/// Texts that are shown on terminals and written to journals.
fn texts(manifest: &Manifest, found: &mut Found) {
    let phases = manifest.phases.iter().map(|phase| ("phases", phase.name.as_str()));
    let groups = manifest.groups.keys().map(|name| ("groups", name.as_str()));
    let single = [("profile", manifest.profile.as_str()), ("requires", manifest.requires.host.as_str())];
    for (at, text) in single.into_iter().chain(phases).chain(groups) {
        if text.is_empty() || text.len() > 255 || text.chars().any(char::is_control) {
            found.add(at, format!("has the name {text:?}; a name has 1 to 255 bytes and no control characters"));
        }
    }
}

fn files(manifest: &Manifest, found: &mut Found) {
    let mut targets: BTreeMap<&str, &str> = BTreeMap::new();
    for (path, entry) in &manifest.files {
        if let Err(message) = place(path, entry.kind) {
            found.add(path, message);
        }
        if let Err(message) = access(entry) {
            found.add(path, message);
        }
        if let Err(message) = target(entry) {
            found.add(path, message);
        }
        // Equal content has one name in the store, and that is what the store is for.
        let shared = matches!(entry.kind, FileKind::Env | FileKind::Config);
        if let Some(target) = entry.target.as_deref()
            && let Some(other) = targets.insert(target, path)
            && !shared
        {
            found.add(path, format!("has the target {target:?}, which {other:?} has too"));
        }
    }
    for names in [manifest.files.keys().map(String::as_str).collect::<BTreeSet<_>>(), targets.into_keys().collect()] {
        for name in &names {
            let below = names.iter().find(|other| other.strip_prefix(name).is_some_and(|rest| rest.starts_with('/')));
            if let Some(below) = below {
                found.add(name, format!("would be a file and, for {below:?}, a folder"));
            }
        }
    }
}

/// Each kind of file has its own folder in a bundle.
fn place(path: &str, kind: FileKind) -> Result<(), String> {
    let folder = match kind {
        FileKind::Unit => "units/",
        FileKind::Env => "env/",
        FileKind::Config => "config/",
        FileKind::Logrotate => "logrotate/",
        FileKind::Udev => "udev/",
        FileKind::Tmpfiles => "tmpfiles/",
        FileKind::Sysusers => "sysusers/",
        FileKind::ModulesLoad => "modules-load/",
        FileKind::Raw => "files/",
        FileKind::Profile => "",
    };
    if path == FILE_NAME || !is_inside(path) || path.len() > 4096 || path.split('/').any(|part| part.len() > 255) {
        return Err("is not a plain path in a bundle".to_owned());
    }
    path.strip_prefix(folder).map(|_| ()).ok_or(format!("does not lie in `{folder}`, where files of its kind lie"))
}

fn access(entry: &FileEntry) -> Result<(), String> {
    let digits = (3..=5).contains(&entry.mode.len()) && entry.mode.bytes().all(|it| it.is_ascii_digit());
    let mode = u32::from_str_radix(&entry.mode, 8).ok().filter(|_| digits);
    if mode.is_none_or(|mode| mode & !0o755 != 0) {
        return Err(format!(
            "has the mode {:?}; only its owner may write a file, and it may not change users",
            entry.mode
        ));
    }
    for name in [&entry.owner, &entry.group] {
        let first = name.bytes().next().is_some_and(|it| it.is_ascii_alphabetic() || it == b'_');
        let plain = name.bytes().all(|it| it.is_ascii_alphanumeric() || b"_-.".contains(&it));
        if !first || !plain || name.len() > 255 {
            return Err(format!("belongs to {name:?}, which is not the name of a user or group"));
        }
    }
    Ok(())
}

fn target(entry: &FileEntry) -> Result<(), String> {
    let Some(target) = &entry.target else {
        return match entry.kind {
            FileKind::Unit | FileKind::Profile => Ok(()),
            _ => Err("has no target, and a file of its kind needs one".to_owned()),
        };
    };
    let wrong = |must: &str| Err(format!("has the target {target:?}; {must}"));
    if target.len() > 4000 || !target.strip_prefix('/').is_some_and(is_inside) {
        return wrong("a target is an absolute path without `.`, `..` and control characters");
    }
    let in_folder = |folder: &str, suffix: &str| {
        let name = target.strip_prefix(folder).and_then(|rest| rest.strip_prefix('/'));
        name.is_some_and(|name| !name.contains('/') && !name.starts_with('.') && name.ends_with(suffix))
    };
    let (folder, suffix) = match entry.kind {
        FileKind::Unit | FileKind::Profile => return wrong("a file of its kind has none"),
        FileKind::Env | FileKind::Config => {
            let name = format!("{STORE}/{}-", entry.sha256.short());
            return if in_folder(STORE, "") && target.len() > name.len() && target.starts_with(&name) {
                Ok(())
            } else {
                wrong(&format!("it has to begin with {name:?}, which its content gives it"))
            };
        }
        FileKind::Raw => {
            let reserved = RESERVED.iter().any(|folder| is_in(target, folder));
            return match (target.starts_with("/etc/"), reserved) {
                (true, false) => Ok(()),
                (true, true) => wrong("citadel, units and secrets have this place to themselves"),
                (false, _) => wrong("it has to lie below `/etc`"),
            };
        }
        FileKind::Logrotate => ("/etc/logrotate.d", ""),
        FileKind::Udev => ("/etc/udev/rules.d", ".rules"),
        FileKind::Tmpfiles => ("/etc/tmpfiles.d", ".conf"),
        FileKind::Sysusers => ("/etc/sysusers.d", ".conf"),
        FileKind::ModulesLoad => ("/etc/modules-load.d", ".conf"),
    };
    if in_folder(folder, suffix) { Ok(()) } else { wrong(&format!("it has to be `{folder}/NAME{suffix}`")) }
}

/// Whether a path is a folder itself or lies in it.
fn is_in(path: &str, folder: &str) -> bool {
    path.strip_prefix(folder).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

fn unit(name: &str, unit: &UnitEntry, manifest: &Manifest, found: &mut Found) {
    match UnitName::parse(name) {
        None => found.add(name, "is not the name of a unit"),
        Some(parsed) if matches!(parsed.kind(), UnitKind::Device | UnitKind::Scope) => {
            found.add(name, "cannot be defined by a file");
        }
        Some(parsed) if is_own(parsed.as_str()) => found.add(name, "is a name that citadel keeps for its own units"),
        Some(_) => {}
    }
    let expected = format!("units/{name}");
    let kind = manifest.files.get(&unit.file).map(|entry| entry.kind);
    if unit.file != expected || kind != Some(FileKind::Unit) {
        found.add(name, format!("is defined by {:?}, and has to be by {expected:?}", unit.file));
    }
    for wanting in unit.wanted_by.iter().filter(|wanting| UnitName::parse(wanting).is_none()) {
        found.add(name, format!("is wanted by {wanting:?}, which is not the name of a unit"));
    }
    for file in unit.files.iter().filter(|file| !manifest.files.contains_key(*file)) {
        found.add(name, format!("reads {file:?}, which is not in the bundle"));
    }
    if let Some(phase) = unit.phase.as_ref().filter(|phase| manifest.phases.iter().all(|known| known.name != **phase)) {
        found.add(name, format!("is in the phase {phase:?}, which does not exist"));
    }
    for (probe, value) in &unit.health {
        if let Err(error) = serde_json::from_value::<Probe>(value.clone()) {
            found.add(name, format!("has a health probe {probe:?} that this program cannot carry out ({error})"));
        }
    }
    if let Some(ready) = unit.ready.as_ref().filter(|ready| !unit.health.contains_key(*ready)) {
        found.add(name, format!("is ready with the probe {ready:?}, which it does not have"));
    }
}

/// Whether a name is one of the units that citadel itself makes on a host.
pub fn is_own(unit: &str) -> bool {
    matches!(unit, "citadel-recover.service" | "citadel-boot.service") || unit.starts_with("citadel-switch-")
}

#[cfg(test)]
mod tests;
