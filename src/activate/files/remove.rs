//! Removing folders with what is in them, and nothing beyond them.
//!
//! Where citadel made a folder, an administrator may mount a disk later. What is on it is not citadel's, so nothing here
//! goes through a mount, of a disk or of another folder, nor through a link.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

use super::{Folder, is_folder};
use crate::activate::error::DiskError;

/// What is on the way down from a folder.
#[derive(Debug)]
pub enum Below {
    Folder(Folder),
    Nothing,
    /// A mount, a link or a file, so what is behind it is not what was made there.
    Elsewhere,
}

impl Folder {
    /// Opens a folder somewhere below this one, through no mount and no link.
    pub fn below(&self, inside: impl AsRef<Path>) -> Result<Below, DiskError> {
        let inside = inside.as_ref();
        let flags = OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        let how = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_XDEV;
        let inside_or_here = if inside.as_os_str().is_empty() { Path::new(".") } else { inside };
        loop {
            match rustix::fs::openat2(&self.fd, inside_or_here, flags, Mode::empty(), how) {
                Ok(fd) => return Ok(Below::Folder(Folder { fd, path: self.path_of(inside) })),
                Err(Errno::AGAIN | Errno::INTR) => {}
                Err(Errno::NOENT) => return Ok(Below::Nothing),
                Err(Errno::XDEV | Errno::LOOP | Errno::NOTDIR) => return Ok(Below::Elsewhere),
                Err(error) => return Err(DiskError::doing("open the folder", self.path_of(inside))(error.into())),
            }
        }
    }

    /// Durably removes a file, or a folder with everything in it; a name that is free is fine. Never follows a link or
    /// crosses a mount: returns the mounts that it met, which stay with the folders above them.
    pub fn remove_all(&self, name: impl AsRef<OsStr>) -> Result<Vec<PathBuf>, DiskError> {
        let mut kept = Vec::new();
        self.remove_what_is_here(name.as_ref(), &mut kept)?;
        self.sync()?;
        Ok(kept)
    }

    /// Does not sync this folder: mostly it goes, too.
    fn remove_what_is_here(&self, name: &OsStr, kept: &mut Vec<PathBuf>) -> Result<(), DiskError> {
        let mut how = AtFlags::empty();
        if self.stat(name)?.is_some_and(|stat| is_folder(&stat)) {
            how = AtFlags::REMOVEDIR;
            let inside = match self.below(name)? {
                Below::Folder(inside) => inside,
                Below::Nothing => return Ok(()),
                Below::Elsewhere => {
                    kept.push(self.path_of(name));
                    return Ok(());
                }
            };
            let before = kept.len();
            for below in inside.names()? {
                inside.remove_what_is_here(&below, kept)?;
            }
            if kept.len() > before {
                return inside.sync();
            }
        }
        match rustix::fs::unlinkat(&self.fd, name, how) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            // A file can be a mount point, too.
            Err(Errno::BUSY) => {
                kept.push(self.path_of(name));
                Ok(())
            }
            Err(error) => Err(DiskError::doing("remove", self.path_of(name))(error.into())),
        }
    }
}
