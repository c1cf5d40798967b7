//! Links outside of citadel's folders that lead through `current` to files of the generation that counts.
//!
//! Because they lead through `current`, they are made once and change what they mean with the commit. They are relative, so
//! that they work on a host that is prepared below a directory.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use super::error::DiskError;
use super::files::{Folder, Through, split};
use super::places::Places;
use super::record::Record;
use crate::bundle::Bundle;
use crate::bundle::manifest::{FileKind, Manifest, STORE};

/// A link at the target of a file of a bundle.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutsideLink {
    /// The file of the bundle.
    pub file: String,
    /// Where it has to be, as a path of the host.
    pub path: PathBuf,
    /// What it says.
    pub text: PathBuf,
}

/// What is at the place of a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    Nothing,
    /// The link itself.
    Right,
    /// A link of citadel to another file.
    Other,
    /// Something of another origin.
    Foreign,
}

/// Returns the links that a bundle needs; pure.
pub fn wanted(manifest: &Manifest) -> Vec<OutsideLink> {
    let outside = manifest.files.iter().filter_map(|(file, entry)| Some((file, entry.target.as_deref()?)));
    let outside = outside.filter(|(_, target)| !target.starts_with(STORE));
    outside
        .filter_map(|(file, target)| {
            let path = PathBuf::from(target);
            let parent = path.strip_prefix("/etc").ok()?.parent()?;
            let up: PathBuf = parent.components().map(|_| "..").collect();
            Some(OutsideLink { file: file.clone(), text: up.join("citadel/current").join(file), path })
        })
        .collect()
}

/// Returns what is there. A folder that is reached through a link is refused: a relative link in it would lead elsewhere.
pub fn look(places: &Places, link: &OutsideLink) -> Result<Found, DiskError> {
    let Some((parent, name)) = split(&link.path) else { return Ok(Found::Foreign) };
    match Folder::find(places, parent, Through::NoLinks)? {
        Some(folder) => look_in(&folder, name, &link.text),
        None => Ok(Found::Nothing),
    }
}

fn look_in(folder: &Folder, name: &OsStr, text: &Path) -> Result<Found, DiskError> {
    Ok(match folder.link_text(name)? {
        Some(there) if there == text => Found::Right,
        Some(there) if leads_through_current(&there) => Found::Other,
        Some(_) => Found::Foreign,
        None if folder.stat(name)?.is_some() => Found::Foreign,
        None => Found::Nothing,
    })
}

fn leads_through_current(text: &Path) -> bool {
    let inside: PathBuf = text.components().skip_while(|part| part.as_os_str() == "..").collect();
    inside.starts_with("citadel/current")
}

/// Whether a name in a folder is a link that citadel made.
pub(super) fn is_own(folder: &Folder, name: &OsStr) -> Result<bool, DiskError> {
    Ok(folder.link_text(name)?.is_some_and(|text| leads_through_current(&text)))
}

/// Durably makes the links that are missing, and records them first; returns those whose place somebody else has.
///
/// Called before the commit for what is new (a link that leads nowhere yet is ignored by all readers), and again after
/// files of others have been set aside.
pub fn make(places: &Places, manifest: &Manifest) -> Result<Vec<OutsideLink>, DiskError> {
    let mut missing = Vec::new();
    let mut occupied = Vec::new();
    for link in wanted(manifest) {
        match look(places, &link)? {
            Found::Nothing | Found::Other => missing.push(link),
            Found::Foreign => occupied.push(link),
            Found::Right => {}
        }
    }
    if missing.is_empty() {
        return Ok(occupied);
    }
    let mut folders = Vec::new();
    for link in &missing {
        let absent = link.path.ancestors().skip(1).take_while(|folder| !places.host(folder).exists());
        folders.extend(absent.map(Path::to_owned));
    }
    Record::update(places, |record| {
        record.links.extend(missing.iter().map(|link| link.path.clone()));
        record.folders.extend(folders);
    })?;
    for link in missing {
        let Some((parent, name)) = split(&link.path) else { continue };
        Folder::make(places, parent, Through::NoLinks, &mut Vec::new())?.link(name, link.text)?;
    }
    Ok(occupied)
}

/// Durably removes all links that were ever made and that the given bundle does not need; returns their paths on the host.
/// What is not citadel's link is left alone.
pub fn prune(places: &Places, needed: Option<&Manifest>) -> Result<Vec<PathBuf>, DiskError> {
    let needed: Vec<_> = needed.map(wanted).unwrap_or_default();
    let mut surplus = Record::read(places)?.links;
    surplus.retain(|path| needed.iter().all(|link| link.path != *path));
    let mut removed = Vec::new();
    for path in &surplus {
        let Some((parent, name)) = split(path) else { continue };
        let Some(folder) = Folder::find(places, parent, Through::NoLinks)? else { continue };
        if is_own(&folder, name)? && folder.remove(name)? {
            removed.push(path.clone());
        }
    }
    Record::update(places, |record| record.links.retain(|path| !surplus.contains(path)))?;
    Ok(removed)
}

/// Durably changes links that `L` lines of the old bundle's tmpfiles made and that lead elsewhere in the new bundle:
/// tmpfiles makes missing links and changes none. A link that somebody else changed is left alone. Returns their paths on
/// the host.
pub fn retarget(places: &Places, old: &Bundle, new: &Bundle) -> Result<Vec<PathBuf>, DiskError> {
    let (old, new) = (tmpfiles_links(old), tmpfiles_links(new));
    let mut changed = Vec::new();
    for (path, text) in new {
        let Some(before) = old.get(&path).filter(|before| **before != text) else { continue };
        let Some((parent, name)) = split(&path) else { continue };
        let Some(folder) = Folder::find(places, parent, Through::Links)? else { continue };
        if folder.link_text(name)?.as_ref() == Some(before) {
            folder.link(name, &text)?;
            changed.push(path);
        }
    }
    Ok(changed)
}

/// Returns the links that tmpfiles makes for a bundle, with where they lead.
fn tmpfiles_links(bundle: &Bundle) -> BTreeMap<PathBuf, PathBuf> {
    let lines = super::declared::lines(bundle, FileKind::Tmpfiles);
    let links = lines.into_iter().filter_map(|fields| match fields.as_slice() {
        [kind, path, _, _, _, _, leads_to] if kind == "L" => Some((PathBuf::from(path), PathBuf::from(leads_to))),
        _ => None,
    });
    links.collect()
}

#[cfg(test)]
mod tests;
