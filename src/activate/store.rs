//! Generations and the files that they share.
//!
//! A generation holds every file of its bundle. Store files are the same content once more under a name that is made of
//! it: what units name in their text, so that an unchanged file has an unchanged path in every generation.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{Advice, Gid, Uid};

use super::current;
use super::error::DiskError;
use super::files::{Access, Folder, TEMPORARY, optional, temporary};
use super::generation::Generation;
use super::places::Places;
use super::trial::Trial;
use crate::bundle::Bundle;
use crate::bundle::digest::Digest;
use crate::bundle::manifest::{FILE_NAME, FileEntry, Manifest, STORE};
use crate::bundle::read::{ReadError, parse_manifest};

/// No file of a bundle is larger; bundles have the same limit for everything together.
pub(super) use crate::bundle::archive::MOST_BYTES as LIMIT;

/// Durably writes a bundle as a generation; returns an existing one when it is the same bundle, whole.
///
/// When this returns, everything is on disk: the generation has its name only once its content has been synced. The bundle
/// must have passed `admit`. Owners that do not exist yet are root until [`settle_owners`].
pub fn import(places: &Places, bundle: &Bundle) -> Result<Generation, DiskError> {
    let generations = Folder::make_own(places, places.generations())?;
    let store = Folder::make_own(places, places.store())?;
    generations.remove_abandoned()?;
    store.remove_abandoned()?;

    let mut unsynced = Unsynced::default();
    let renames = write_store(&store, bundle, &mut unsynced)?;
    let known = list(places)?;
    let existing = known.iter().rev().copied().find(|known| is_whole(&generations, *known, bundle));
    let (generation, temporary) = match existing {
        Some(generation) => (generation, None),
        None => {
            let generation = next(places, &known)?;
            (generation, Some(write_generation(&generations, generation, bundle, &mut unsynced)?))
        }
    };
    unsynced.sync()?;
    for (from, to) in renames {
        store.rename(from, &store, to)?;
    }
    // Also when nothing was renamed: a killed import may have renamed without coming this far.
    store.sync()?;
    if let Some(temporary) = temporary {
        generations.rename(temporary, &generations, generation.to_string())?;
    }
    generations.sync()?;
    Ok(generation)
}

/// What has been written and is not yet on disk.
///
/// Everything is written first and then synced by a few threads at once. Journaling file systems put all that waits at one
/// moment on disk together, so 70 files cost 6 ms on an SSD instead of 250 ms one after the other. One `syncfs` would be as
/// safe and nearly as fast, but it also waits for everything else on the file system, and a host that is just fetching
/// models has many gigabytes of that.
#[derive(Default)]
struct Unsynced {
    files: Vec<(PathBuf, OwnedFd)>,
    folders: Vec<Folder>,
}

/// More of them wait for each other again.
const THREADS: usize = 4;

impl Unsynced {
    fn sync(self) -> Result<(), DiskError> {
        for (_, file) in &self.files {
            // Starts writeback on Linux and waits for nothing; only an acceleration, so a failure is none.
            let _ = rustix::fs::fadvise(file, 0, None, Advice::DontNeed);
        }
        let all: Vec<(&Path, BorrowedFd<'_>)> = self
            .files
            .iter()
            .map(|(path, file)| (path.as_path(), file.as_fd()))
            .chain(self.folders.iter().map(|folder| (folder.path(), folder.as_fd())))
            .collect();
        let sync = |part: &[(&Path, BorrowedFd<'_>)]| {
            part.iter().try_for_each(|(path, file)| {
                rustix::fs::fsync(file).map_err(|error| DiskError::doing("sync", path)(error.into()))
            })
        };
        std::thread::scope(|threads| {
            let parts = all.chunks(all.len().div_ceil(THREADS).max(1));
            let running: Vec<_> = parts.map(|part| threads.spawn(move || sync(part))).collect();
            // A thread that did not come to its end has synced nothing.
            let died = || DiskError::doing("sync", "")(std::io::ErrorKind::Interrupted.into());
            running.into_iter().try_for_each(|thread| thread.join().unwrap_or_else(|_| Err(died())))
        })
    }
}

/// Writes the store files that are not there, under temporary names; returns those with the names that they are to get.
fn write_store(
    store: &Folder,
    bundle: &Bundle,
    unsynced: &mut Unsynced,
) -> Result<Vec<(std::ffi::OsString, String)>, DiskError> {
    let mut renames = Vec::new();
    let mut seen = BTreeSet::new();
    for (file, name, entry) in store_files(bundle) {
        // One content under one name can serve several units.
        if !seen.insert(name) {
            continue;
        }
        let content = &bundle.files[file];
        if store.read(name, entry.size).is_ok_and(|there| there == *content) {
            continue;
        }
        let temporary = temporary(name);
        let written = store.create(&temporary, content, access(entry)?)?;
        unsynced.files.push((store.path().join(name), written));
        renames.push((temporary, name.to_owned()));
    }
    Ok(renames)
}

fn write_generation(
    generations: &Folder,
    generation: Generation,
    bundle: &Bundle,
    unsynced: &mut Unsynced,
) -> Result<std::ffi::OsString, DiskError> {
    let name = temporary(generation.to_string());
    generations.make_child(&name)?;
    let top = unsynced.folders.len();
    unsynced.folders.push(generations.child(&name)?);
    let text = bundle.manifest_text();
    let written = unsynced.folders[top].create(FILE_NAME, &text, Access::PUBLIC)?;
    unsynced.files.push((generations.path().join(&name).join(FILE_NAME), written));
    // Files come sorted, so the folder of a file is mostly that of the one before.
    let mut open: Vec<(PathBuf, usize)> = vec![(PathBuf::new(), top)];
    for (path, content) in &bundle.files {
        let Some(entry) = bundle.manifest.files.get(path) else { continue };
        let path = Path::new(path);
        let (Some(parent), Some(file)) = (path.parent(), path.file_name()) else { continue };
        open.retain(|(above, _)| parent.starts_with(above));
        let mut at = open.last().map_or(top, |(_, at)| *at);
        let mut above = open.last().map_or_else(PathBuf::new, |(above, _)| above.clone());
        for part in parent.strip_prefix(&above).unwrap_or(Path::new("")) {
            unsynced.folders[at].make_child(part)?;
            let child = unsynced.folders[at].child(part)?;
            unsynced.folders.push(child);
            at = unsynced.folders.len() - 1;
            above.push(part);
            open.push((above.clone(), at));
        }
        let written = unsynced.folders[at].create(file, content, access(entry)?)?;
        unsynced.files.push((unsynced.folders[at].path().join(file), written));
    }
    Ok(name)
}

/// Returns the number of a new generation: one that nothing on this host has meant since the highest that is there.
fn next(places: &Places, known: &[Generation]) -> Result<Generation, DiskError> {
    let used = in_use(places)?;
    let highest = known.iter().chain(&used).map(|known| known.0).max().unwrap_or(0);
    Ok(Generation(highest + 1))
}

/// Whether a generation is this bundle and nobody has changed it.
fn is_whole(generations: &Folder, generation: Generation, bundle: &Bundle) -> bool {
    let text = bundle.manifest_text();
    let Ok(folder) = generations.child(generation.to_string()) else { return false };
    folder.read(FILE_NAME, text.len() as u64).is_ok_and(|there| there == text)
        && bundle
            .files
            .iter()
            .all(|(path, content)| read_below(&folder, path, content.len() as u64).is_ok_and(|there| there == *content))
}

/// Reads a file of a generation, through no link.
pub(super) fn read_below(folder: &Folder, path: &str, limit: u64) -> Result<Vec<u8>, DiskError> {
    match path.split_once('/') {
        Some((child, rest)) => read_below(&folder.child(child)?, rest, limit),
        None => folder.read(path, limit),
    }
}

/// Returns the files of a bundle that the store holds: its path in the bundle, the name in the store, and its entry.
fn store_files(bundle: &Bundle) -> impl Iterator<Item = (&str, &str, &FileEntry)> {
    bundle.manifest.files.iter().filter_map(|(path, entry)| {
        let name = store_name(entry)?;
        bundle.files.contains_key(path).then_some((path.as_str(), name, entry))
    })
}

pub(super) fn store_name(entry: &FileEntry) -> Option<&str> {
    let name = entry.target.as_deref()?.strip_prefix(STORE)?.strip_prefix('/')?;
    (!name.contains('/')).then_some(name)
}

/// Returns who may do what with a file. A user that does not exist yet gets the file later.
fn access(entry: &FileEntry) -> Result<Access, DiskError> {
    let mode = u32::from_str_radix(&entry.mode, 8).map_err(|_| DiskError::Broken {
        path: PathBuf::from(entry.target.as_deref().unwrap_or_default()),
        reason: format!("has the mode {:?}", entry.mode),
        help: "build the bundle again".to_owned(),
    })?;
    Ok(Access { mode, owner: owner(entry) })
}

/// Returns the user and group of a file; root for those that do not exist, none when this process is not root and
/// cannot give files away.
fn owner(entry: &FileEntry) -> Option<(u32, u32)> {
    if !rustix::process::geteuid().is_root() {
        return None;
    }
    let user = if entry.owner == "root" { Some(0) } else { uzers::get_user_by_name(&entry.owner).map(|it| it.uid()) };
    let group = if entry.group == "root" { Some(0) } else { uzers::get_group_by_name(&entry.group).map(|it| it.gid()) };
    Some((user.unwrap_or(0), group.unwrap_or(0)))
}

/// Gives files the owners that did not exist when they were written; call it after sysusers.
pub fn settle_owners(places: &Places, generation: Generation, bundle: &Bundle) -> Result<(), DiskError> {
    let entries: Vec<_> =
        bundle.manifest.files.iter().filter(|(_, it)| it.owner != "root" || it.group != "root").collect();
    if entries.is_empty() {
        return Ok(());
    }
    let folder = Folder::own(places, places.generation(generation))?;
    let store = Folder::own(places, places.store())?;
    for (path, entry) in entries {
        let Some(owner) = owner(entry) else { continue };
        let inside = Path::new(path);
        let (parent, name) = (inside.parent().unwrap_or(Path::new("")), inside.file_name().unwrap_or_default());
        let mut below = None;
        for part in parent {
            below = Some(below.as_ref().unwrap_or(&folder).child(part)?);
        }
        give(below.as_ref().unwrap_or(&folder), name, owner)?;
        if let Some(name) = store_name(entry) {
            give(&store, name.as_ref(), owner)?;
        }
    }
    Ok(())
}

fn give(folder: &Folder, name: &OsStr, (user, group): (u32, u32)) -> Result<(), DiskError> {
    match folder.stat(name)? {
        Some(stat) if (stat.st_uid, stat.st_gid) != (user, group) => {
            let how = rustix::fs::AtFlags::SYMLINK_NOFOLLOW;
            rustix::fs::chownat(folder, name, Some(Uid::from_raw(user)), Some(Gid::from_raw(group)), how)
                .map_err(|error| DiskError::doing("change the owner of", folder.path().join(name))(error.into()))
        }
        _ => Ok(()),
    }
}

/// Reads a generation and checks the digest of every file.
pub fn read(places: &Places, generation: Generation) -> Result<Bundle, DiskError> {
    let (folder, manifest) = read_manifest(places, generation)?;
    let mut files = BTreeMap::new();
    for (path, entry) in &manifest.files {
        let content = read_below(&folder, path, LIMIT)?;
        if content.len() as u64 != entry.size || Digest::of(&content) != entry.sha256 {
            return Err(ReadError::Changed(folder.path().join(path)).into());
        }
        files.insert(path.clone(), content);
    }
    Ok(Bundle { manifest, files })
}

/// Reads a generation as it is on disk: a file that somebody changed has its new content, and one that is gone or cannot
/// be read is left out. What has to be stopped or taken back must not depend on nobody having touched it.
pub fn read_as_is(places: &Places, generation: Generation) -> Result<Bundle, DiskError> {
    let (folder, manifest) = read_manifest(places, generation)?;
    let mut files = BTreeMap::new();
    for path in manifest.files.keys() {
        if let Ok(content) = read_below(&folder, path, LIMIT) {
            files.insert(path.clone(), content);
        }
    }
    Ok(Bundle { manifest, files })
}

fn read_manifest(places: &Places, generation: Generation) -> Result<(Folder, Manifest), DiskError> {
    let folder = open(places, generation)?;
    let manifest = parse_manifest(&folder.read(FILE_NAME, LIMIT)?).map_err(|error| match error {
        ReadError::Manifest { reason, .. } => ReadError::Manifest { path: folder.path().join(FILE_NAME), reason },
        other => other,
    })?;
    match manifest.files.keys().find(|path| !crate::bundle::read::is_inside(path)) {
        Some(path) => Err(ReadError::Path(path.clone()).into()),
        None => Ok((folder, manifest)),
    }
}

fn open(places: &Places, generation: Generation) -> Result<Folder, DiskError> {
    optional(Folder::own(places, places.generation(generation)))?.ok_or(DiskError::NoGeneration(generation))
}

/// Returns the store files of a bundle that are missing or changed, as paths of the host.
pub fn check_store(places: &Places, bundle: &Bundle) -> Result<Vec<PathBuf>, DiskError> {
    let store = optional(Folder::own(places, places.store()))?;
    let right = |name: &str, entry: &FileEntry| {
        store
            .as_ref()
            .is_some_and(|store| store.read(name, entry.size).is_ok_and(|content| Digest::of(&content) == entry.sha256))
    };
    let wrong = store_files(bundle).filter(|(_, name, entry)| !right(name, entry));
    Ok(wrong.map(|(_, name, _)| Path::new(STORE).join(name)).collect())
}

/// Returns all generations, the oldest first.
pub fn list(places: &Places) -> Result<Vec<Generation>, DiskError> {
    let Some(folder) = optional(Folder::own(places, places.generations()))? else { return Ok(Vec::new()) };
    let mut found: Vec<_> = folder.names()?.iter().filter_map(|name| Generation::parse(name.to_str()?)).collect();
    found.sort();
    Ok(found)
}

/// Returns the generations that must stay: the current one and those of a trial.
fn in_use(places: &Places) -> Result<BTreeSet<Generation>, DiskError> {
    let trial = Trial::read(places)?;
    let of_trial = trial.iter().flat_map(|trial| trial.from.into_iter().chain([trial.to]));
    Ok(current::get(places)?.into_iter().chain(of_trial).collect())
}

/// Durably removes a generation that is neither current nor part of a trial; its store files go with [`gc`].
pub fn delete(places: &Places, generation: Generation) -> Result<(), DiskError> {
    open(places, generation)?;
    if current::get(places)? == Some(generation) {
        return Err(DiskError::InUse { generation, reason: "is the current one" });
    }
    if in_use(places)?.contains(&generation) {
        return Err(DiskError::InUse { generation, reason: "is part of a switch that is not proven" });
    }
    let generations = Folder::own(places, places.generations())?;
    // Without its name it is no generation any more, however much of it a crash leaves.
    let away = temporary(generation.to_string());
    generations.rename(generation.to_string(), &generations, &away)?;
    generations.remove_all(away)?;
    generations.sync()
}

/// What [`gc`] removed.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Collected {
    pub generations: Vec<Generation>,
    /// Names of store files.
    pub files: Vec<String>,
}

/// Removes all but the newest `keep` generations, those in use and `also`, then store files that none refers to, and what
/// killed programs left behind.
pub fn gc(places: &Places, keep: usize, also: Option<Generation>) -> Result<Collected, DiskError> {
    let mut collected = Collected::default();
    let Some(store) = optional(Folder::own(places, places.store()))? else { return Ok(collected) };
    let mut used = in_use(places)?;
    used.extend(also);
    let all = list(places)?;
    for generation in all.iter().rev().skip(keep).rev().filter(|it| !used.contains(it)) {
        delete(places, *generation)?;
        collected.generations.push(*generation);
    }
    let mut needed = BTreeSet::new();
    for generation in list(places)? {
        // What cannot be read may need anything.
        let Ok(text) = open(places, generation)?.read(FILE_NAME, LIMIT) else { return Ok(collected) };
        let Ok(manifest) = parse_manifest(&text) else { return Ok(collected) };
        needed.extend(manifest.files.values().filter_map(store_name).map(str::to_owned));
    }
    for name in store.names()? {
        let text = name.to_string_lossy();
        if !needed.contains(&*text) {
            store.remove_all(&name)?;
            if !text.starts_with(TEMPORARY) {
                collected.files.push(text.into_owned());
            }
        }
    }
    Folder::own(places, places.generations())?.remove_abandoned()?;
    Ok(collected)
}

#[cfg(test)]
mod tests;
