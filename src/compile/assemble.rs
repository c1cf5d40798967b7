//! Puts rendered files and the manifest together to a bundle.

use std::collections::{BTreeMap, BTreeSet};

use super::config::members;
use super::finding::Finding;
use super::lower::Lowered;
use super::render;
use super::system::System;
use super::{budget, evaluate};
use crate::bundle::Bundle;
use crate::bundle::digest::Digest;
use crate::bundle::manifest::{
    self, Compiler, CredentialEntry, FileEntry, FileKind, Manifest, PhaseEntry, RequiredGpu, Requirements,
    credential_path,
};
use crate::bundle::unit::directives::{self, Lookup};

/// Renders everything and returns the bundle, or the defect that prevents it.
pub fn assemble(
    profile: &str,
    system: &System,
    lowered: &Lowered,
    inputs: BTreeMap<String, Digest>,
) -> Result<Bundle, Finding> {
    let mut files = BTreeMap::new();
    let mut entries = BTreeMap::new();
    for file in &lowered.files {
        entries.insert(file.path.clone(), file.entry());
        files.insert(file.path.clone(), file.content.clone().into_bytes());
    }
    for unit in &lowered.units {
        let text = render::unit(unit)?;
        let entry = FileEntry {
            kind: FileKind::Unit,
            target: None,
            mode: "0644".to_owned(),
            owner: "root".to_owned(),
            group: "root".to_owned(),
            size: text.len() as u64,
            sha256: Digest::of(text.as_bytes()),
        };
        entries.insert(unit.entry.file.clone(), entry);
        files.insert(unit.entry.file.clone(), text.into_bytes());
    }
    let manifest = Manifest {
        version: manifest::VERSION,
        profile: profile.to_owned(),
        description: system.profile.description.clone(),
        compiler: Compiler {
            citadel: env!("CARGO_PKG_VERSION").to_owned(),
            nickel: evaluate::NICKEL_VERSION.to_owned(),
        },
        requires: requirements(system, lowered),
        main_target: system.main_target.to_string(),
        files: entries,
        units: lowered.units.iter().map(|unit| (unit.name.to_string(), unit.entry.clone())).collect(),
        phases: phases(system),
        groups: groups(system),
        credentials: credentials(system, lowered),
        budget: budget::budget(system),
        inputs,
    };
    Ok(Bundle { manifest, files })
}

fn requirements(system: &System, lowered: &Lowered) -> Requirements {
    let host = &system.profile.host;
    let used: BTreeSet<usize> = system.services.iter().flat_map(|service| &service.gpus).map(|gpu| gpu.index).collect();
    let gpu = |index: usize| {
        let gpu = host.gpus.get(index)?;
        Some(RequiredGpu {
            name: gpu.name.clone(),
            index: u32::try_from(index).ok()?,
            uuid: gpu.uuid.clone(),
            pci_address: gpu.pci_address.clone(),
            memory_bytes: gpu.memory.0,
        })
    };
    let own: BTreeSet<&str> = lowered.units.iter().map(|unit| unit.name.as_str()).collect();
    let mounts = system.services.iter().flat_map(|service| members(&service.spec.mounts));
    Requirements {
        systemd: lowest_systemd(lowered, host.systemd),
        host: host.name.clone(),
        cpus: host.cpus,
        memory_bytes: host.memory.0,
        gpus: used.into_iter().filter_map(gpu).collect(),
        driver: host.driver.clone(),
        cuda: host.cuda.clone(),
        mounts: mounts
            .chain(system.profile.storage.mounts.keys().map(String::as_str))
            .map(str::to_owned)
            .collect::<BTreeSet<_>>()
            .into_iter()
            .collect(),
        units: members(&host.units).filter(|unit| !own.contains(unit)).map(str::to_owned).collect(),
        users: existing(system.profile.users.iter().map(|(name, user)| (name, user.existing))),
        groups: existing(system.profile.user_groups.iter().map(|(name, group)| (name, group.existing))),
    }
}

/// Returns the lowest version of systemd that knows every directive of the units, at most that of the host.
fn lowest_systemd(lowered: &Lowered, host: u32) -> u32 {
    let directives: BTreeSet<(&str, &str)> = lowered
        .units
        .iter()
        .flat_map(|unit| &unit.unit.sections)
        .flat_map(|section| section.entries.iter().map(|entry| (section.name.as_str(), entry.key.as_str())))
        .collect();
    let since = |(section, key)| match directives::lookup(section, key, directives::OLDEST) {
        Lookup::TooNew { since } => since,
        _ => directives::OLDEST,
    };
    directives.into_iter().map(since).max().unwrap_or(directives::OLDEST).min(host)
}

fn existing<'a>(names: impl Iterator<Item = (&'a String, bool)>) -> Vec<String> {
    names.filter(|(_, existing)| *existing).map(|(name, _)| name.clone()).collect()
}

fn phases(system: &System) -> Vec<PhaseEntry> {
    let mut phases: Vec<_> = system.profile.phases.iter().collect();
    phases.sort_by_key(|(name, phase)| (phase.order, *name));
    phases
        .into_iter()
        .map(|(name, phase)| PhaseEntry {
            name: name.clone(),
            description: phase.description.clone(),
            deadline_seconds: phase.deadline.as_secs_ceil(),
        })
        .collect()
}

fn groups(system: &System) -> BTreeMap<String, Vec<String>> {
    let group = |set| members(set).map(str::to_owned).collect();
    system.profile.groups.iter().map(|(name, set)| (name.clone(), group(set))).collect()
}

fn credentials(system: &System, lowered: &Lowered) -> BTreeMap<String, CredentialEntry> {
    let entry = |name: &String| {
        let units = lowered.units.iter().filter(|unit| unit.entry.credentials.contains(name));
        let credential = &system.profile.credentials[name];
        CredentialEntry {
            description: credential.description.clone(),
            encrypted: credential.encrypted,
            path: credential_path(name, credential.encrypted),
            units: units.map(|unit| unit.name.to_string()).collect(),
        }
    };
    system.profile.credentials.keys().map(|name| (name.clone(), entry(name))).collect()
}
