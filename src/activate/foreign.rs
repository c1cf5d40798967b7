//! Units and files of others at the names and places that a bundle needs.
//!
//! systemd takes a unit from the first folder of its load path that has it, and the generator's is in the middle: an old
//! hand-written unit in `/etc/systemd/system` would silently win over the one of the bundle.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::error::DiskError;
use super::files::{Folder, Through, is_file, is_link};
use super::links;
use super::places::Places;
use crate::bundle::manifest::Manifest;
use crate::bundle::unit::{UnitKind, UnitName};

/// Who is used when two files define one unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Wins {
    /// The foreign file: the unit of the bundle would never be used.
    Theirs,
    /// The unit of the bundle.
    Ours,
}

/// A folder of systemd's load path.
#[derive(Debug)]
pub struct LoadFolder {
    pub path: &'static str,
    /// Who wins against the generator's folder.
    pub wins: Wins,
    /// Whether its files can be moved: packages own those in `/usr`, and generators make theirs again.
    pub movable: bool,
}

/// The load path of the system manager, in its order, but for the folder of citadel's own generator
/// (systemd.unit(5), "Unit File Load Path"; system.attached is in systemd's path-lookup.c).
pub const LOAD_PATH: [LoadFolder; 13] = [
    theirs("/etc/systemd/system.control", true),
    theirs("/run/systemd/system.control", true),
    theirs("/run/systemd/transient", false),
    theirs("/run/systemd/generator.early", false),
    theirs("/etc/systemd/system", true),
    theirs("/etc/systemd/system.attached", true),
    theirs("/run/systemd/system", true),
    theirs("/run/systemd/system.attached", true),
    theirs("/run/systemd/generator", false),
    ours("/usr/local/lib/systemd/system", true),
    ours("/usr/lib/systemd/system", false),
    ours("/lib/systemd/system", false),
    ours("/run/systemd/generator.late", false),
];

const fn theirs(path: &'static str, movable: bool) -> LoadFolder {
    LoadFolder { path, wins: Wins::Theirs, movable }
}

const fn ours(path: &'static str, movable: bool) -> LoadFolder {
    LoadFolder { path, wins: Wins::Ours, movable }
}

/// A file that defines a unit of the bundle's name.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct ForeignUnit {
    /// The unit of the bundle, or an instance of a template of it.
    pub unit: UnitName,
    /// As a path of the host.
    pub path: PathBuf,
    pub wins: Wins,
    /// Whether it can be set aside.
    pub movable: bool,
    /// Links that enable it or give it another name, as paths of the host; they move with it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub links: Vec<PathBuf>,
}

/// A file at the target of a file of the bundle.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct ForeignFile {
    /// The file of the bundle.
    pub file: String,
    /// As a path of the host.
    pub path: PathBuf,
}

impl fmt::Display for ForeignUnit {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{} is defined by {}", self.unit, self.path.display())
    }
}

impl fmt::Display for ForeignFile {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{} is there, where the bundle has {}", self.path.display(), self.file)
    }
}

/// What others have where a bundle has something too. Paths are paths of the host.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
pub struct Foreign {
    pub units: Vec<ForeignUnit>,
    pub files: Vec<ForeignFile>,
    /// Units that an operator has masked, with the mask: they stay masked.
    pub masked: BTreeMap<UnitName, PathBuf>,
    /// Local changes to units of the bundle: they stay in effect.
    pub drop_ins: BTreeMap<UnitName, Vec<PathBuf>>,
    /// Init scripts of the same name; they do not count beside a unit.
    pub init_scripts: BTreeMap<UnitName, PathBuf>,
}

impl Foreign {
    /// Whether a switch has to be refused unless they are set aside.
    pub fn is_in_the_way(&self) -> bool {
        !self.units.is_empty() || !self.files.is_empty()
    }

    /// Returns what is in the way, a line each.
    pub fn in_the_way(&self) -> String {
        let units = self.units.iter().map(|unit| format!("\n- {unit}"));
        units.chain(self.files.iter().map(|file| format!("\n- {file}"))).collect()
    }

    /// Returns what people should know and what stops nothing.
    pub fn warnings(&self) -> Vec<String> {
        let masked =
            self.masked.iter().map(|(unit, path)| format!("{unit} is masked by {} and stays so", path.display()));
        let drop_ins = self.drop_ins.iter().flat_map(|(unit, paths)| paths.iter().map(move |path| (unit, path)));
        let local = drop_ins.filter(|(_, path)| path.starts_with("/etc") || path.starts_with("/run"));
        let local = local.map(|(unit, path)| format!("{} changes {unit} on this host", path.display()));
        masked.chain(local).collect()
    }

    /// Returns the units that would win and cannot be set aside: a switch has to be refused in any case.
    pub fn immovable(&self) -> impl Iterator<Item = &ForeignUnit> {
        self.units.iter().filter(|unit| unit.wins == Wins::Theirs && !unit.movable)
    }
}

/// Looks for them. A unit of a package that the `old` bundle overrides already is not told again.
pub fn find(places: &Places, old: Option<&Manifest>, new: &Manifest) -> Result<Foreign, DiskError> {
    let units: Vec<UnitName> = new.units.keys().filter_map(|name| UnitName::parse(name)).collect();
    let mut foreign = Foreign::default();
    // On most hosts `/lib` is a link to `/usr/lib`, and everything would be there twice.
    let merged = Folder::open(places, Path::new("/"), Through::Links)?.stat("lib")?.is_some_and(|it| is_link(&it));
    for folder in LOAD_PATH.iter().filter(|folder| !(merged && folder.path.starts_with("/lib/"))) {
        let Some(opened) = Folder::find(places, folder.path, Through::Links)? else { continue };
        for name in opened.names()? {
            let Some(name) = name.to_str() else { continue };
            if let Some(changed) = name.strip_suffix(".d") {
                for unit in units.iter().filter(|unit| is_changed_by(unit, changed)) {
                    foreign.drop_ins.entry(unit.clone()).or_default().extend(drop_ins(&opened, folder.path, name)?);
                }
            } else if let Some(unit) = UnitName::parse(name)
                && (units.contains(&unit) || unit.template().is_some_and(|template| units.contains(&template)))
            {
                definition(&opened, folder, unit, old, &mut foreign)?;
            }
        }
    }
    foreign.drop_ins.retain(|_, files| !files.is_empty());
    enabling_links(places, &mut foreign.units)?;
    if let Some(scripts) = Folder::find(places, "/etc/init.d", Through::Links)? {
        for unit in units.into_iter().filter(|unit| unit.kind() == UnitKind::Service) {
            if scripts.stat(unit.stem())?.is_some() {
                let path = Path::new("/etc/init.d").join(unit.stem());
                foreign.init_scripts.insert(unit, path);
            }
        }
    }
    for link in links::wanted(new) {
        if links::look(places, &link)? == links::Found::Foreign {
            foreign.files.push(ForeignFile { file: link.file, path: link.path });
        }
    }
    Ok(foreign)
}

/// Sorts in what a folder has under the name of a unit.
fn definition(
    opened: &Folder,
    folder: &LoadFolder,
    unit: UnitName,
    old: Option<&Manifest>,
    foreign: &mut Foreign,
) -> Result<(), DiskError> {
    let path = Path::new(folder.path).join(unit.as_str());
    let Some(stat) = opened.stat(unit.as_str())? else { return Ok(()) };
    let text = opened.link_text(unit.as_str())?;
    let leads_to = |start: &str| text.as_ref().is_some_and(|text| text.starts_with(start));
    // What citadel's own generator made, in this generation or for one that is taken back.
    if folder.path == "/run/systemd/generator" && leads_to("/etc/citadel") {
        return Ok(());
    }
    let masks = leads_to("/dev/null") || is_file(&stat) && stat.st_size == 0;
    if masks && folder.wins == Wins::Theirs {
        foreign.masked.entry(unit).or_insert(path);
        return Ok(());
    }
    let known = old.is_some_and(|old| old.units.contains_key(unit.as_str()));
    if folder.wins == Wins::Theirs || !known || folder.movable {
        let (wins, movable) = (folder.wins, folder.movable);
        foreign.units.push(ForeignUnit { unit, path, wins, movable, links: Vec::new() });
    }
    Ok(())
}

/// Whether `NAME.d` changes a unit: its own name, that of its template, or a beginning that ends in `-`.
fn is_changed_by(unit: &UnitName, name: &str) -> bool {
    let begins = |name: &str| {
        let start = name.strip_suffix(unit.kind().suffix()).and_then(|name| name.strip_suffix('.'));
        start.is_some_and(|start| start.ends_with('-') && unit.stem().starts_with(start))
    };
    name == unit.as_str() || unit.template().is_some_and(|template| template.as_str() == name) || begins(name)
}

fn drop_ins(folder: &Folder, path: &str, name: &str) -> Result<Vec<PathBuf>, DiskError> {
    if folder.stat(name)?.is_some_and(|stat| !is_link(&stat) && !super::files::is_folder(&stat)) {
        return Ok(Vec::new());
    }
    // The folder may be a link to one elsewhere on the host; it is only listed.
    let Ok(inside) = folder.child(name) else { return Ok(vec![Path::new(path).join(name)]) };
    let names = inside.names()?.into_iter().filter(|file| file.to_str().is_some_and(|file| file.ends_with(".conf")));
    Ok(names.map(|file| Path::new(path).join(name).join(file)).collect())
}

/// Finds the links that belong to units which will move.
fn enabling_links(places: &Places, units: &mut [ForeignUnit]) -> Result<(), DiskError> {
    if units.iter().all(|unit| !unit.movable) {
        return Ok(());
    }
    for folder in LOAD_PATH.iter().filter(|folder| folder.movable) {
        let Some(opened) = Folder::find(places, folder.path, Through::Links)? else { continue };
        for name in opened.names()? {
            let Some(text) = name.to_str() else { continue };
            let path = Path::new(folder.path).join(text);
            if [".wants", ".requires", ".upholds"].iter().any(|suffix| text.ends_with(suffix)) {
                let Ok(inside) = opened.child(text) else { continue };
                for below in inside.names()? {
                    let Some(link) = below.to_str().and_then(UnitName::parse) else { continue };
                    let belongs =
                        |unit: &ForeignUnit| unit.unit == link || link.template().as_ref() == Some(&unit.unit);
                    for unit in units.iter_mut().filter(|unit| unit.movable && belongs(unit)) {
                        unit.links.push(path.join(&below));
                    }
                }
            } else if let Some(leads_to) = opened.link_text(text)? {
                let named = |unit: &ForeignUnit| leads_to.file_name().is_some_and(|it| it == unit.unit.as_str());
                for unit in units.iter_mut().filter(|unit| unit.movable && unit.path != path && named(unit)) {
                    unit.links.push(path.clone());
                }
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
