//! What is on the disk of a host, and what changed there since an earlier look.
//!
//! Whatever a host writes lies in the upper layer of its file system, so only that has to be read. Where one of two looks
//! found nothing at a path in that layer, the file is the one of the system below it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, Metadata};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use super::Host;

/// What the host changed on its disk, by path.
#[derive(Debug)]
pub struct Disk {
    system: PathBuf,
    upper: BTreeMap<PathBuf, Entry>,
    /// Folders that hide those of the same name below them.
    opaque: BTreeSet<PathBuf>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Entry {
    Absent,
    Present { kind: Kind, mode: u32, owner: (u32, u32) },
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Kind {
    Folder,
    File(Vec<u8>),
    Link(PathBuf),
    Other,
}

impl Host {
    /// Looks at the disk.
    pub fn disk(&self) -> Disk {
        let mut disk = Disk { system: self.system.clone(), upper: BTreeMap::new(), opaque: BTreeSet::new() };
        disk.read(&self.path("/task/upper"), Path::new("/"));
        disk
    }
}

impl Disk {
    fn read(&mut self, upper: &Path, folder: &Path) {
        let real = below(upper, folder);
        for entry in fs::read_dir(&real).unwrap_or_else(|error| panic!("{}: {error}", real.display())) {
            let name = entry.expect("an entry is read").file_name();
            let path = folder.join(name);
            let real = below(upper, &path);
            // What goes away while it is read is not there.
            let Ok(metadata) = fs::symlink_metadata(&real) else { continue };
            let entry = Entry::read(&real, &metadata);
            if metadata.is_dir() {
                if is_opaque(&real) {
                    self.opaque.insert(path.clone());
                }
                self.read(upper, &path);
            }
            self.upper.insert(path, entry);
        }
    }

    fn entry(&self, path: &Path) -> Entry {
        if let Some(entry) = self.upper.get(path) {
            return entry.clone();
        }
        let hidden = path.ancestors().skip(1).any(|folder| {
            self.opaque.contains(folder) || matches!(self.upper.get(folder), Some(entry) if !entry.is_folder())
        });
        let real = below(&self.system, path);
        match fs::symlink_metadata(&real) {
            Ok(metadata) if !hidden => Entry::read(&real, &metadata),
            _ => Entry::Absent,
        }
    }

    /// Returns the paths that were different before, each with what happened to it; `ignore` says which do not count.
    pub fn changes_since(&self, before: &Disk, ignore: impl Fn(&Path) -> bool) -> Vec<String> {
        let paths: BTreeSet<&PathBuf> = before.upper.keys().chain(self.upper.keys()).collect();
        let mut changes = Vec::new();
        for path in paths.into_iter().filter(|path| !ignore(path)) {
            let (old, new) = (before.entry(path), self.entry(path));
            let change = match (&old, &new) {
                _ if old == new => continue,
                (Entry::Absent, _) => "added",
                (_, Entry::Absent) => "removed",
                _ => "changed",
            };
            changes.push(format!("{change} {}", path.display()));
        }
        changes
    }
}

impl Entry {
    fn read(path: &Path, metadata: &Metadata) -> Self {
        let file_type = metadata.file_type();
        if file_type.is_char_device() && metadata.rdev() == 0 {
            // The upper layer says so that there is nothing.
            return Entry::Absent;
        }
        let kind = if file_type.is_dir() {
            Kind::Folder
        } else if file_type.is_symlink() {
            Kind::Link(fs::read_link(path).unwrap_or_default())
        } else if file_type.is_file() {
            Kind::File(fs::read(path).unwrap_or_default())
        } else {
            Kind::Other
        };
        Entry::Present { kind, mode: metadata.mode() & 0o7777, owner: (metadata.uid(), metadata.gid()) }
    }

    fn is_folder(&self) -> bool {
        matches!(self, Entry::Present { kind: Kind::Folder, .. })
    }
}

/// Returns a path of the host below a folder of this machine.
fn below(root: &Path, path: &Path) -> PathBuf {
    root.join(path.strip_prefix("/").unwrap_or(path))
}

/// Whether a folder of the upper layer hides the one below it.
fn is_opaque(path: &Path) -> bool {
    let mut value = [0; 8];
    let size = rustix::fs::getxattr(path, "trusted.overlay.opaque", &mut value[..]);
    size.is_ok_and(|size| &value[..size] == b"y")
}
