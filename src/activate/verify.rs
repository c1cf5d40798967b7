//! Drift: how a host differs from what its generation says.

use std::collections::BTreeSet;
use std::fmt;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::current;
use super::error::DiskError;
use super::files::{Folder, Through};
use super::foreign::{self, Wins};
use super::generation::Generation;
use super::generator::PROGRAM;
use super::host;
use super::links::{self, Found};
use super::manager::Manager;
use super::places::Places;
use super::store;
use crate::bundle::digest::Digest;
use crate::bundle::manifest::{FILE_NAME, Manifest};
use crate::bundle::read::parse_manifest;
use crate::bundle::unit::UnitName;
use crate::plan::{LoadState, Snapshot};

/// One difference. Paths are paths of the host.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(tag = "drift", rename_all = "snake_case")]
pub enum Drift {
    /// A file of the generation or the store is not as it was built.
    Changed { path: PathBuf },
    /// A file of the generation or the store, a link, or a part of the installation is not there.
    Missing { path: PathBuf },
    /// A link leads elsewhere, or something else has its place.
    Link { path: PathBuf },
    /// A local change to a unit is in effect.
    DropIn { unit: UnitName, path: PathBuf },
    /// An operator has masked a unit.
    Masked { unit: UnitName, path: PathBuf },
    /// Another file defines a unit and wins.
    Foreign { unit: UnitName, path: PathBuf },
    /// systemd uses another file, or none.
    Loaded { unit: UnitName, from: Option<PathBuf> },
    /// systemd has not read the unit as it is on disk (`NeedDaemonReload`).
    Stale { unit: UnitName },
}

impl fmt::Display for Drift {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Changed { path } => write!(out, "{} is not as it was built", path.display()),
            Self::Missing { path } => write!(out, "{} is missing", path.display()),
            Self::Link { path } => write!(out, "{} is not the link that it should be", path.display()),
            Self::DropIn { unit, path } => write!(out, "{unit} is changed by {}", path.display()),
            Self::Masked { unit, path } => write!(out, "{unit} is masked by {}", path.display()),
            Self::Foreign { unit, path } => write!(out, "{unit} is defined by {}", path.display()),
            Self::Loaded { unit, from: Some(path) } => write!(out, "systemd has {unit} from {}", path.display()),
            Self::Loaded { unit, from: None } => write!(out, "systemd does not know {unit}"),
            Self::Stale { unit } => write!(out, "systemd has not read {unit} as it is now; `systemctl daemon-reload`"),
        }
    }
}

/// Looks at a host, and at systemd where it runs.
pub async fn look(places: &Places) -> Result<Vec<Drift>, DiskError> {
    let current = current::get(places)?.filter(|_| places.is_live());
    let bundle = current.and_then(|generation| store::read(places, generation).ok());
    let Some((bundle, manager)) = bundle.zip(Manager::connect().await.ok()) else { return drift(places, None) };
    let Ok(snapshot) = host::snapshot(&manager, [Some(&bundle)]).await else { return drift(places, None) };
    let units = bundle.manifest.units.keys().filter_map(|name| UnitName::parse(name)).collect();
    let stale = manager.outdated(&units).await.unwrap_or_default();
    drift(places, Some(Live { snapshot: &snapshot, stale: &stale }))
}

/// What systemd says.
#[derive(Clone, Copy, Debug)]
pub struct Live<'a> {
    pub snapshot: &'a Snapshot,
    /// Units that need a reload of the manager.
    pub stale: &'a BTreeSet<UnitName>,
}

/// Returns all drift, in a fixed order; none when no generation counts. `live` is none on a host that does not run.
///
/// A manifest that cannot be read is an error: without it nobody knows what should be.
pub fn drift(places: &Places, live: Option<Live<'_>>) -> Result<Vec<Drift>, DiskError> {
    let Some(generation) = current::get(places)? else { return Ok(Vec::new()) };
    let folder = Folder::own(places, places.generation(generation))?;
    let manifest = parse_manifest(&folder.read(FILE_NAME, store::LIMIT)?)?;
    let mut found = BTreeSet::new();
    files(&folder, generation, &manifest, &mut found);
    for (name, entry) in manifest.files.values().filter_map(|entry| Some((store::store_name(entry)?, entry))) {
        let path = Path::new(crate::bundle::manifest::STORE).join(name);
        let store = Folder::own(places, places.store());
        compare(store.and_then(|store| store.read(name, store::LIMIT)), entry.sha256, path, &mut found);
    }
    for link in links::wanted(&manifest) {
        match links::look(places, &link) {
            Ok(Found::Right) => {}
            Ok(Found::Nothing) => drop(found.insert(Drift::Missing { path: link.path })),
            Ok(Found::Other | Found::Foreign) | Err(_) => drop(found.insert(Drift::Link { path: link.path })),
        }
    }
    installation(places, &mut found)?;
    let foreign = foreign::find(places, Some(&manifest), &manifest)?;
    for unit in foreign.units.into_iter().filter(|unit| unit.wins == Wins::Theirs) {
        found.insert(Drift::Foreign { unit: unit.unit, path: unit.path });
    }
    found.extend(foreign.masked.into_iter().map(|(unit, path)| Drift::Masked { unit, path }));
    for (unit, paths) in foreign.drop_ins {
        // What packages bring for all units of a name is as it should be.
        let local = paths.into_iter().filter(|path| path.starts_with("/etc") || path.starts_with("/run"));
        found.extend(local.map(|path| Drift::DropIn { unit: unit.clone(), path }));
    }
    if let Some(live) = live {
        loaded(generation, &manifest, live, &mut found);
    }
    Ok(found.into_iter().collect())
}

fn files(folder: &Folder, generation: Generation, manifest: &Manifest, found: &mut BTreeSet<Drift>) {
    for (path, entry) in &manifest.files {
        let host = Path::new("/etc/citadel/generations").join(generation.to_string()).join(path);
        compare(store::read_below(folder, path, store::LIMIT), entry.sha256, host, found);
    }
}

fn compare(content: Result<Vec<u8>, DiskError>, digest: Digest, path: PathBuf, found: &mut BTreeSet<Drift>) {
    match content {
        Ok(content) if Digest::of(&content) == digest => {}
        Err(error) if error.is_not_found() => drop(found.insert(Drift::Missing { path })),
        Ok(_) | Err(_) => drop(found.insert(Drift::Changed { path })),
    }
}

/// The generator and the program: without them the next boot has no units.
fn installation(places: &Places, found: &mut BTreeSet<Drift>) -> Result<(), DiskError> {
    let generator = Path::new("/etc/systemd/system-generators/citadel-generator");
    let folder = generator.parent().map(|parent| Folder::find(places, parent, Through::Links)).transpose()?.flatten();
    let text = folder.map(|folder| folder.link_text("citadel-generator")).transpose()?.flatten();
    match text {
        None => drop(found.insert(Drift::Missing { path: generator.to_owned() })),
        Some(text) if text != Path::new(PROGRAM) => drop(found.insert(Drift::Link { path: generator.to_owned() })),
        Some(_) => {}
    }
    if !places.host(PROGRAM).exists() {
        found.insert(Drift::Missing { path: PROGRAM.into() });
    }
    Ok(())
}

fn loaded(generation: Generation, manifest: &Manifest, live: Live<'_>, found: &mut BTreeSet<Drift>) {
    for unit in manifest.units.keys().filter_map(|name| UnitName::parse(name)) {
        let Some(state) = live.snapshot.units.get(&unit) else { continue };
        let expected = [
            Path::new("/run/systemd/generator").join(unit.as_str()),
            Path::new("/etc/citadel/generations").join(generation.to_string()).join("units").join(unit.as_str()),
        ];
        // A mask is told as such.
        let right = state.fragment.as_ref().is_some_and(|fragment| expected.contains(fragment));
        if !right && state.load != LoadState::Masked {
            found.insert(Drift::Loaded { unit: unit.clone(), from: state.fragment.clone() });
        }
        if live.stale.contains(&unit) {
            found.insert(Drift::Stale { unit });
        }
    }
}

#[cfg(test)]
mod tests;
