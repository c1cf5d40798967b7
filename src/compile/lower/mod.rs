//! From the resolved machine to units and files as values; `render` makes text of them.
//!
//! One file a subject: `service` composes a service unit out of `process`, `environment`, `resources`, `sandbox` and
//! `gpu`; the others make one kind of unit or file each.

mod directories;
mod draft;
mod environment;
mod gpu;
mod install;
mod log_rotation;
mod machine;
mod modules_load;
mod monitor;
mod mounts;
mod on_demand;
mod order;
mod probes;
mod process;
mod raw;
mod resources;
mod sandbox;
mod service;
mod slices;
mod sockets;
mod storage;
mod targets;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
mod timers;
mod udev;
mod users;
mod vllm;

use crate::bundle::digest::Digest;
use crate::bundle::manifest::{FileEntry, FileKind, STORE, UnitEntry};
use crate::bundle::unit::{UnitFile, UnitName};
use crate::compile::finding::{Code, Finding, OptionPath};
use crate::compile::render;
use crate::compile::system::System;

use machine::Machine;

/// A value cannot be written into its file without changing its meaning.
pub const ENCODING: Code = Code("C0301");
/// A directive that the profile wrote out is none.
pub const DIRECTIVE: Code = Code("C0302");
/// A raw unit or file has a name or a place that it must not have.
pub const RAW: Code = Code("C0303");
/// A service that listens does not say where.
pub const NO_PORT: Code = Code("C0304");
/// A unit cannot be wired up as the profile asks.
pub const WIRING: Code = Code("C0305");
/// Citadel wrote a file that it cannot read back: a defect of citadel.
pub const INTERNAL: Code = Code("C0399");

/// Everything that a host gets, before it is text.
pub struct Lowered {
    /// Sorted by name.
    pub units: Vec<LoweredUnit>,
    /// Files that are not units, sorted by path in the bundle.
    pub files: Vec<LoweredFile>,
}

/// A unit with what the manifest and the checks need to know of it.
#[derive(Clone, Debug)]
pub struct LoweredUnit {
    pub name: UnitName,
    pub unit: UnitFile,
    pub entry: UnitEntry,
    /// Where the unit comes from in the profile.
    pub origin: OptionPath,
    /// Directives that the profile wrote out itself, by section and key, with their option.
    pub written_out: Vec<(String, String, OptionPath)>,
}

/// A file with its place in the bundle and on the host.
#[derive(Clone, Debug)]
pub struct LoweredFile {
    /// Its path in the bundle.
    pub path: String,
    pub kind: FileKind,
    /// Where it belongs on a host.
    pub target: Option<String>,
    /// Permission bits in octal.
    pub mode: String,
    pub content: String,
    pub origin: OptionPath,
}

impl LoweredFile {
    /// Returns the manifest's line on the file.
    pub fn entry(&self) -> FileEntry {
        FileEntry {
            kind: self.kind,
            target: self.target.clone(),
            mode: self.mode.clone(),
            owner: "root".to_owned(),
            group: "root".to_owned(),
            size: self.content.len() as u64,
            sha256: Digest::of(self.content.as_bytes()),
        }
    }

    /// Returns a file that a unit reads, at a path in the host's store that changes with its content.
    fn stored(folder: &str, name: &str, kind: FileKind, content: String, origin: OptionPath) -> Self {
        let digest = Digest::of(content.as_bytes()).short();
        LoweredFile {
            path: format!("{folder}/{name}"),
            kind,
            target: Some(format!("{STORE}/{digest}-{name}")),
            mode: "0644".to_owned(),
            content,
            origin,
        }
    }

    /// Returns a file that a part of the host other than a unit reads, at a fixed path.
    fn at(path: &str, kind: FileKind, target: &str, content: String, origin: OptionPath) -> Self {
        LoweredFile {
            path: path.to_owned(),
            kind,
            target: Some(target.to_owned()),
            mode: "0644".to_owned(),
            content,
            origin,
        }
    }
}

/// What lowering has made so far.
#[derive(Default)]
struct Output {
    units: Vec<LoweredUnit>,
    files: Vec<LoweredFile>,
    findings: Vec<Finding>,
}

impl Output {
    /// Keeps the value, or the finding about it.
    fn keep<T>(&mut self, result: Result<T, Finding>) -> Option<T> {
        result.map_err(|finding| self.findings.push(finding)).ok()
    }
}

/// Lowers a machine. Values that cannot be written without changing their meaning are reported and left out.
pub fn lower(system: &System) -> (Lowered, Vec<Finding>) {
    let machine = Machine::new(system);
    let mut out = Output::default();
    for service in &system.services {
        service::lower(&machine, service, &mut out);
    }
    targets::lower(&machine, &mut out);
    timers::lower(&machine, &mut out);
    sockets::lower(&machine, &mut out);
    slices::lower(system, &mut out);
    mounts::lower(system, &mut out);
    raw::lower(&machine, &mut out);
    log_rotation::lower(&system.profile, &mut out);
    udev::lower(system, &mut out);
    directories::lower(&system.profile, &mut out);
    users::lower(system, &mut out);
    modules_load::lower(&system.profile, &mut out);
    let profile = render::profile(&system.profile).map(|content| LoweredFile {
        path: "profile.json".to_owned(),
        kind: FileKind::Profile,
        target: None,
        mode: "0644".to_owned(),
        content,
        origin: OptionPath::default(),
    });
    let profile = out.keep(profile);
    out.files.extend(profile);

    out.units.sort_by(|one, other| one.name.cmp(&other.name));
    out.files.sort_by(|one, other| one.path.cmp(&other.path));
    (Lowered { units: out.units, files: out.files }, out.findings)
}
