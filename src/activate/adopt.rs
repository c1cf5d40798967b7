//! Setting files of others aside, and putting them back.
//!
//! What moves is in the trial before it moves. A kill in between leaves a part of the files here and a part there, so both
//! ways can be gone again from any such state, and what has moved already is left as it is.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, Stat, Timespec, Timestamps};
use rustix::io::Errno;

use super::error::DiskError;
use super::files::{Access, Folder, Through, is_file, is_link, split};
use super::foreign::{self, Foreign};
use super::links;
use super::places::Places;
use super::trial::SetAside;
use crate::bundle::manifest::Manifest;
use crate::bundle::unit::UnitName;

/// Returns what has to move before citadel's own files count; pure. `id` is that of the switch.
pub fn plan(id: &str, foreign: &Foreign) -> Vec<SetAside> {
    let units = foreign.units.iter().filter(|unit| unit.movable);
    // Links first: a unit is never gone while it is still enabled.
    let links = units.clone().flat_map(|unit| &unit.links);
    let paths = links.chain(units.map(|unit| &unit.path)).chain(foreign.files.iter().map(|file| &file.path));
    let mut seen = BTreeSet::new();
    let kept = Path::new("/etc/citadel/adopted").join(id);
    paths
        .filter(|path| seen.insert(*path))
        .map(|path| SetAside { path: path.clone(), kept: kept.join(path.strip_prefix("/").unwrap_or(path)) })
        .collect()
}

/// Durably moves the files; one that has moved already is fine.
pub fn set_aside(places: &Places, files: &[SetAside]) -> Result<(), DiskError> {
    for file in files {
        let (from, name) = plain(places, &file.path)?;
        let (to, kept_name) = plain(places, &file.kept)?;
        let Some(from) = Folder::find(places, from, Through::Links)? else { continue };
        let Some(there) = from.stat(name)? else { continue };
        if links::is_own(&from, name)? {
            continue;
        }
        let to = Folder::make_own(places, to)?;
        match to.stat(kept_name)? {
            None => move_file(&from, name, &there, &to, kept_name)?,
            // A copy to another file system was made and the original not removed yet.
            Some(kept) if is_same(&from, name, &there, &to, kept_name, &kept)? => {
                from.remove(name)?;
            }
            Some(_) => {
                let reason = format!("has come back since it was set aside to {}", file.kept.display());
                return Err(DiskError::Foreign { path: places.host(&file.path), reason });
            }
        }
    }
    Ok(())
}

/// Whether a bundle needs the place of a file that was set aside.
pub fn is_needed(file: &SetAside, manifest: &Manifest) -> bool {
    let is_unit = foreign::LOAD_PATH.iter().any(|folder| file.path.starts_with(folder.path));
    let name = file.path.file_name().and_then(OsStr::to_str).and_then(UnitName::parse);
    match name.filter(|_| is_unit) {
        Some(name) => {
            let has = |name: &UnitName| manifest.units.contains_key(name.as_str());
            has(&name) || name.template().is_some_and(|template| has(&template))
        }
        None => links::wanted(manifest).iter().any(|link| link.path == file.path),
    }
}

/// What could not be put back, as paths of the host.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NotBack {
    /// It is neither where it was nor where it was kept.
    pub lost: Vec<PathBuf>,
    /// Somebody has put another file in its place, which stays; the old one is still kept.
    pub occupied: Vec<SetAside>,
}

impl NotBack {
    /// Returns what people have to know about it, a sentence each.
    pub fn messages(&self) -> Vec<String> {
        let lost = self.lost.iter().map(|path| format!("{} is gone and cannot be put back", path.display()));
        let occupied = self.occupied.iter().map(|file| {
            format!(
                "{} was not put back, for there is another file; it is kept as {}",
                file.path.display(),
                file.kept.display()
            )
        });
        lost.chain(occupied).collect()
    }
}

/// Durably moves the files back; one that is back already is fine. A link of citadel makes room.
pub fn put_back(places: &Places, files: &[SetAside]) -> Result<NotBack, DiskError> {
    let mut not_back = NotBack::default();
    for file in files.iter().rev() {
        let (to, name) = plain(places, &file.path)?;
        let (from, kept_name) = plain(places, &file.kept)?;
        let from = match Folder::own(places, from) {
            Err(error) if error.is_not_found() => None,
            other => Some(other?),
        };
        let kept = from.as_ref().map(|from| from.stat(kept_name)).transpose()?.flatten();
        let (Some(from), Some(kept)) = (from, kept) else {
            let there = Folder::find(places, to, Through::Links)?.map(|to| to.stat(name)).transpose()?.flatten();
            if there.is_none() {
                not_back.lost.push(file.path.clone());
            }
            continue;
        };
        let to = Folder::make(places, to, Through::Links, &mut Vec::new())?;
        match to.stat(name)? {
            Some(there) if !links::is_own(&to, name)? && !is_same(&from, kept_name, &kept, &to, name, &there)? => {
                not_back.occupied.push(file.clone());
            }
            _ => move_file(&from, kept_name, &kept, &to, name)?,
        }
    }
    forget_empty(places, files)?;
    Ok(not_back)
}

fn plain<'a>(places: &Places, path: &'a Path) -> Result<(&'a Path, &'a OsStr), DiskError> {
    split(path).ok_or_else(|| DiskError::Unsafe { path: places.host(path), reason: "is not a plain path".to_owned() })
}

/// Moves a file or a link over whatever has the new name.
fn move_file(from: &Folder, name: &OsStr, stat: &Stat, to: &Folder, new: &OsStr) -> Result<(), DiskError> {
    match rustix::fs::renameat(from, name, to, new) {
        Ok(()) => {
            to.sync()?;
            return from.sync();
        }
        Err(Errno::XDEV) => {}
        Err(error) => return Err(DiskError::doing("move", from.path().join(name))(error.into())),
    }
    if let Some(text) = from.link_text(name)? {
        to.link(new, text)?;
    } else {
        let content = from.read(name, LARGEST)?;
        let access = Access { mode: stat.st_mode & 0o7777, owner: Some((stat.st_uid, stat.st_gid)) };
        to.write(new, &content, access)?;
        let changed = Timespec { tv_sec: stat.st_mtime as _, tv_nsec: stat.st_mtime_nsec as _ };
        let times = Timestamps { last_access: changed, last_modification: changed };
        rustix::fs::utimensat(to.as_fd(), new, &times, AtFlags::SYMLINK_NOFOLLOW)
            .map_err(|error| DiskError::doing("set the time of", to.path().join(new))(error.into()))?;
    }
    from.remove(name).map(|_| ())
}

/// What is set aside are units and configuration.
const LARGEST: u64 = 64 << 20;

fn is_same(
    one: &Folder,
    name: &OsStr,
    stat: &Stat,
    two: &Folder,
    other: &OsStr,
    with: &Stat,
) -> Result<bool, DiskError> {
    if is_link(stat) && is_link(with) {
        return Ok(one.link_text(name)? == two.link_text(other)?);
    }
    let comparable = is_file(stat) && is_file(with) && stat.st_size == with.st_size;
    Ok(comparable && one.read(name, LARGEST)? == two.read(other, LARGEST)?)
}

/// Removes folders below `adopted` in which nothing is kept any more.
fn forget_empty(places: &Places, files: &[SetAside]) -> Result<(), DiskError> {
    for file in files {
        for folder in file.kept.ancestors().skip(1).take_while(|folder| *folder != Path::new("/etc/citadel")) {
            let (parent, name) = plain(places, folder)?;
            match Folder::own(places, parent) {
                Err(error) if error.is_not_found() => {}
                parent => {
                    parent?.remove_empty(name)?;
                }
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
