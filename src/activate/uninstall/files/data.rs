//! Taking away what services have written, which is never done by accident.

use std::collections::BTreeSet;
use std::path::Path;

use super::Uninstalled;
use crate::activate::error::DiskError;
use crate::activate::files::{Below, Folder, Through, is_link, split};
use crate::activate::places::Places;
use crate::activate::record::Record;

/// Removes what tmpfiles and systemd made for bundles: links and empty folders, and with `purge` everything but what is
/// mounted there.
pub fn remove(places: &Places, record: &Record, purge: bool, result: &mut Uninstalled) -> Result<(), DiskError> {
    let mut kept: BTreeSet<&Path> = BTreeSet::new();
    for path in record.data.iter().rev() {
        let Some((parent, name)) = split(path) else { continue };
        let folder = match reach(places, record, parent)? {
            Below::Folder(folder) => folder,
            Below::Nothing => continue,
            Below::Elsewhere => {
                let (path, parent) = (path.display(), parent.display());
                result
                    .kept
                    .push(format!("{path} is not removed: something was mounted or linked at {parent} or above"));
                continue;
            }
        };
        let Some(stat) = folder.stat(name)? else { continue };
        if purge {
            let mounts = folder.remove_all(name)?;
            if !mounts.is_empty() {
                result.kept.extend(
                    mounts.iter().map(|path| mounted(path)).filter(|it| !result.kept.contains(it)).collect::<Vec<_>>(),
                );
                continue;
            }
        } else if !(is_link(&stat) && folder.remove(name)? || folder.remove_empty(name)?) {
            kept.insert(path);
            continue;
        }
        result.removed.push(path.display().to_string());
    }
    // A folder is told once, not with every folder in it.
    let top = kept.iter().filter(|path| !path.ancestors().skip(1).any(|above| kept.contains(above)));
    result.kept.extend(top.map(|path| format!("{} holds data; `--purge` removes it", path.display())));
    Ok(())
}

/// Opens the folder above some data. From the topmost folder on that came with citadel, it has to be what was made then:
/// a disk that is mounted there now has data of others.
fn reach(places: &Places, record: &Record, parent: &Path) -> Result<Below, DiskError> {
    let made = |path: &&Path| record.folders.contains(*path) || record.data.contains(*path);
    let base = parent.ancestors().filter(made).last().and_then(Path::parent).unwrap_or(parent);
    match Folder::find(places, base, Through::Links)? {
        Some(folder) => folder.below(parent.strip_prefix(base).unwrap_or(Path::new(""))),
        None => Ok(Below::Nothing),
    }
}

/// Removes folders that were made on the way to something, where they are empty.
pub fn remove_folders(places: &Places, record: &Record, result: &mut Uninstalled) -> Result<(), DiskError> {
    // Longest first: a folder is empty only without those in it.
    for folder in record.folders.iter().rev() {
        if let Some((parent, name)) = split(folder)
            && let Some(parent) = Folder::find(places, parent, Through::Links)?
            && parent.remove_empty(name)?
        {
            result.removed.push(folder.display().to_string());
        }
    }
    Ok(())
}

/// Says that something is mounted and so was kept.
pub fn mounted(path: &Path) -> String {
    format!("{} is a mount, and what is mounted is not citadel's", path.display())
}
