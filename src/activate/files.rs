//! Durable changes of single files, through folders that are held open.
//!
//! citadel works as root in folders of a host, sometimes of one that only lies below a directory (`--root`). A path that
//! is looked up twice can mean two things, and a link in a foreign host can lead into this one. So a folder is opened once,
//! with `openat2(2)` and inside of the root, and everything else happens by name in that folder and never through a link.
//!
//! "Durable" means that the change is on disk when the function returns, and that a crash before leaves the old or the new
//! content, never a part: a temporary file is written and synced, renamed over the name, and the folder is synced.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Component, Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::fs::{AtFlags, FileType, Gid, Mode, OFlags, RawMode, ResolveFlags, Stat, Uid};
use rustix::io::Errno;

use super::error::DiskError;
use super::places::Places;

mod remove;

pub use remove::Below;

/// Temporary names begin with this; what a killed program left behind is known by it.
pub const TEMPORARY: &str = ".citadel-tmp-";

/// What a new file belongs to and who may read it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Access {
    /// Permission bits.
    pub mode: RawMode,
    /// User and group; none for those of this process.
    pub owner: Option<(u32, u32)>,
}

impl Access {
    /// Everybody may read it.
    pub const PUBLIC: Access = Access { mode: 0o644, owner: None };
    /// Only its owner may read it.
    pub const PRIVATE: Access = Access { mode: 0o600, owner: None };
}

/// A folder that is held open.
#[derive(Debug)]
pub struct Folder {
    fd: OwnedFd,
    /// Where it is, for messages.
    path: PathBuf,
}

impl AsFd for Folder {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// What a link on the way to a folder means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Through {
    /// It is followed, as if the root folder were `/`.
    Links,
    /// It is refused: the place of a relative link depends on it, or nobody but citadel has links there.
    NoLinks,
}

const FOLDER: OFlags = OFlags::DIRECTORY.union(OFlags::CLOEXEC).union(OFlags::NOFOLLOW);

impl Folder {
    /// Opens a folder of the host.
    pub fn open(places: &Places, folder: impl AsRef<Path>, through: Through) -> Result<Self, DiskError> {
        let folder = folder.as_ref();
        let path = places.host(folder);
        let root = rustix::fs::open(places.root(), FOLDER.difference(OFlags::NOFOLLOW), Mode::empty())
            .map_err(|error| DiskError::doing("open the folder", places.root())(error.into()))?;
        let inside = folder.strip_prefix("/").unwrap_or(folder);
        let inside = if inside.as_os_str().is_empty() { Path::new(".") } else { inside };
        let how = match through {
            Through::Links => ResolveFlags::IN_ROOT,
            Through::NoLinks => ResolveFlags::IN_ROOT | ResolveFlags::NO_SYMLINKS,
        };
        // A rename somewhere on the way makes the kernel give up once in a while.
        let fd = loop {
            match rustix::fs::openat2(&root, inside, OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty(), how) {
                Err(Errno::AGAIN | Errno::INTR) => {}
                other => break other,
            }
        };
        match fd {
            Ok(fd) => Ok(Folder { fd, path }),
            Err(Errno::LOOP) => Err(DiskError::Unsafe { path, reason: "is reached through a link".to_owned() }),
            Err(error) => Err(DiskError::doing("open the folder", path)(error.into())),
        }
    }

    /// Opens a folder, or returns none when it is not there.
    pub fn find(places: &Places, folder: impl AsRef<Path>, through: Through) -> Result<Option<Self>, DiskError> {
        optional(Self::open(places, folder, through))
    }

    /// Opens a folder of the host and durably makes what is missing, readable by everybody; adds each folder that it
    /// made to `made`, as a path of the host.
    pub fn make(
        places: &Places,
        folder: impl AsRef<Path>,
        through: Through,
        made: &mut Vec<PathBuf>,
    ) -> Result<Self, DiskError> {
        let folder = folder.as_ref();
        if let Some(found) = Self::find(places, folder, through)? {
            return Ok(found);
        }
        let (Some(parent), Some(name)) = (folder.parent(), folder.file_name()) else {
            return Self::open(places, folder, through);
        };
        let parent = Self::make(places, parent, through, made)?;
        if parent.make_child(name)? {
            parent.sync()?;
            made.push(folder.to_owned());
        }
        parent.child(name)
    }

    /// Opens a folder of citadel itself below `/etc/citadel`; nobody but root, or this user, may be able to change it.
    pub fn own(places: &Places, folder: impl AsRef<Path>) -> Result<Self, DiskError> {
        let folder = folder.as_ref();
        let home = Path::new("/etc/citadel");
        let mut opened = Self::open(places, home, Through::NoLinks)?;
        opened.check_owned()?;
        let below = folder.strip_prefix(places.home()).or_else(|_| folder.strip_prefix(home)).unwrap_or(Path::new(""));
        for name in below {
            opened = opened.child(name)?;
            opened.check_owned()?;
        }
        Ok(opened)
    }

    /// Like [`Folder::own`], and makes what is missing.
    pub fn make_own(places: &Places, folder: impl AsRef<Path>) -> Result<Self, DiskError> {
        let inside = Path::new("/").join(folder.as_ref().strip_prefix(places.root()).unwrap_or(folder.as_ref()));
        Self::make(places, &inside, Through::NoLinks, &mut Vec::new())?;
        Self::own(places, &inside)
    }

    /// Opens a folder in this one, which must not be a link.
    pub fn child(&self, name: impl AsRef<OsStr>) -> Result<Self, DiskError> {
        let path = self.path_of(&name);
        match rustix::fs::openat(&self.fd, name.as_ref(), FOLDER, Mode::empty()) {
            Ok(fd) => Ok(Folder { fd, path }),
            Err(Errno::LOOP | Errno::NOTDIR) => {
                Err(DiskError::Unsafe { path, reason: "is a link or a file, and has to be a folder".to_owned() })
            }
            Err(error) => Err(DiskError::doing("open the folder", path)(error.into())),
        }
    }

    /// Makes a folder in this one, readable by everybody, without syncing; returns whether it was missing.
    pub fn make_child(&self, name: impl AsRef<OsStr>) -> Result<bool, DiskError> {
        let failed = |error: Errno| DiskError::doing("make the folder", self.path_of(&name))(error.into());
        match rustix::fs::mkdirat(&self.fd, name.as_ref(), Mode::from_raw_mode(0o755)) {
            Ok(()) => {}
            Err(Errno::EXIST) => return Ok(false),
            Err(error) => return Err(failed(error)),
        }
        // The umask must not decide who can read what services need.
        rustix::fs::fchmod(self.child(&name)?, Mode::from_raw_mode(0o755)).map_err(failed)?;
        Ok(true)
    }

    /// Where this is on this machine, for messages.
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn path_of(&self, name: impl AsRef<OsStr>) -> PathBuf {
        self.path.join(name.as_ref())
    }

    /// Makes sure that nobody but root, or this user, can change the folder.
    pub fn check_owned(&self) -> Result<(), DiskError> {
        let stat = rustix::fs::fstat(&self.fd)
            .map_err(|error| DiskError::doing("look at the folder", &self.path)(error.into()))?;
        let us = rustix::process::geteuid().as_raw();
        let reason = if stat.st_uid != 0 && stat.st_uid != us {
            "belongs to a user other than root"
        } else if stat.st_mode & 0o022 != 0 {
            "can be changed by others than its owner"
        } else {
            return Ok(());
        };
        Err(DiskError::Unsafe { path: self.path.clone(), reason: reason.to_owned() })
    }

    /// Puts changes of names in this folder on disk.
    pub fn sync(&self) -> Result<(), DiskError> {
        rustix::fs::fsync(&self.fd).map_err(|error| DiskError::doing("sync the folder", &self.path)(error.into()))
    }

    /// Returns what a name is, without following a link; none when nothing has it.
    pub fn stat(&self, name: impl AsRef<OsStr>) -> Result<Option<Stat>, DiskError> {
        match rustix::fs::statat(&self.fd, name.as_ref(), AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => Ok(Some(stat)),
            Err(Errno::NOENT) => Ok(None),
            Err(error) => Err(DiskError::doing("look at", self.path_of(name))(error.into())),
        }
    }

    /// Returns where a link leads; none when there is none of that name.
    pub fn link_text(&self, name: impl AsRef<OsStr>) -> Result<Option<PathBuf>, DiskError> {
        match rustix::fs::readlinkat(&self.fd, name.as_ref(), Vec::new()) {
            Ok(text) => Ok(Some(PathBuf::from(OsStr::from_bytes(text.as_bytes())))),
            Err(Errno::NOENT | Errno::INVAL) => Ok(None),
            Err(error) => Err(DiskError::doing("read the link", self.path_of(name))(error.into())),
        }
    }

    /// Reads a regular file; a link is refused, and so is what has more than `limit` bytes.
    pub fn read(&self, name: impl AsRef<OsStr>, limit: u64) -> Result<Vec<u8>, DiskError> {
        let path = || self.path_of(&name);
        let failed = |error: Errno| DiskError::doing("read", path())(error.into());
        // A pipe of that name would otherwise wait for a writer.
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK;
        let file = match rustix::fs::openat(&self.fd, name.as_ref(), flags, Mode::empty()) {
            Err(Errno::LOOP) => return Err(DiskError::Unsafe { path: path(), reason: "is a link".to_owned() }),
            other => other.map_err(failed)?,
        };
        if !is_file(&rustix::fs::fstat(&file).map_err(failed)?) {
            return Err(DiskError::Unsafe { path: path(), reason: "is not a regular file".to_owned() });
        }
        let mut content = Vec::new();
        File::from(file).take(limit + 1).read_to_end(&mut content).map_err(DiskError::doing("read", path()))?;
        if content.len() as u64 > limit {
            return Err(DiskError::Unsafe { path: path(), reason: format!("has more than {limit} bytes") });
        }
        Ok(content)
    }

    /// Makes a new file without syncing it; the name must be free.
    pub fn create(&self, name: impl AsRef<OsStr>, content: &[u8], access: Access) -> Result<OwnedFd, DiskError> {
        let write = || -> std::io::Result<OwnedFd> {
            let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let file = rustix::fs::openat(&self.fd, name.as_ref(), flags, Mode::from_raw_mode(0o600))?;
            let mut file = File::from(file);
            file.write_all(content)?;
            if let Some((user, group)) = access.owner {
                rustix::fs::fchown(&file, Some(Uid::from_raw(user)), Some(Gid::from_raw(group)))?;
            }
            rustix::fs::fchmod(&file, Mode::from_raw_mode(access.mode))?;
            Ok(file.into())
        };
        write().map_err(DiskError::doing("write", self.path_of(&name)))
    }

    /// Durably gives a file this content, whatever was there before.
    pub fn write(&self, name: impl AsRef<OsStr>, content: &[u8], access: Access) -> Result<(), DiskError> {
        let temporary = temporary(&name);
        let put = || {
            let file = self.create(&temporary, content, access)?;
            rustix::fs::fsync(&file).map_err(|error| DiskError::doing("sync", self.path_of(&name))(error.into()))?;
            self.rename(&temporary, self, &name)
        };
        put().inspect_err(|_| self.forget(&temporary))?;
        self.sync()
    }

    /// Durably makes a link, in one step where there was one.
    pub fn link(&self, name: impl AsRef<OsStr>, leads_to: impl AsRef<Path>) -> Result<(), DiskError> {
        let temporary = temporary(&name);
        let put = || {
            rustix::fs::symlinkat(leads_to.as_ref(), &self.fd, temporary.as_os_str())
                .map_err(|error| DiskError::doing("make the link", self.path_of(&name))(error.into()))?;
            self.rename(&temporary, self, &name)
        };
        put().inspect_err(|_| self.forget(&temporary))?;
        self.sync()
    }

    /// Renames, without syncing either folder.
    pub fn rename(&self, old: impl AsRef<OsStr>, to: &Folder, new: impl AsRef<OsStr>) -> Result<(), DiskError> {
        rustix::fs::renameat(&self.fd, old.as_ref(), &to.fd, new.as_ref())
            .map_err(|error| DiskError::doing("rename to", to.path_of(new))(error.into()))
    }

    /// Durably removes a file or a link; returns whether there was one.
    pub fn remove(&self, name: impl AsRef<OsStr>) -> Result<bool, DiskError> {
        match rustix::fs::unlinkat(&self.fd, name.as_ref(), AtFlags::empty()) {
            Ok(()) => self.sync().map(|()| true),
            Err(Errno::NOENT) => Ok(false),
            Err(error) => Err(DiskError::doing("remove", self.path_of(name))(error.into())),
        }
    }

    /// Durably removes a folder that is empty; returns whether it did.
    pub fn remove_empty(&self, name: impl AsRef<OsStr>) -> Result<bool, DiskError> {
        match rustix::fs::unlinkat(&self.fd, name.as_ref(), AtFlags::REMOVEDIR) {
            Ok(()) => self.sync().map(|()| true),
            Err(Errno::NOENT | Errno::NOTEMPTY | Errno::NOTDIR | Errno::BUSY | Errno::EXIST) => Ok(false),
            Err(error) => Err(DiskError::doing("remove the folder", self.path_of(name))(error.into())),
        }
    }

    /// Returns the names in this folder, sorted.
    pub fn names(&self) -> Result<Vec<OsString>, DiskError> {
        let list = || -> rustix::io::Result<Vec<OsString>> {
            let mut names = Vec::new();
            for entry in rustix::fs::Dir::read_from(&self.fd)? {
                let name = OsStr::from_bytes(entry?.file_name().to_bytes()).to_owned();
                if name != "." && name != ".." {
                    names.push(name);
                }
            }
            names.sort();
            Ok(names)
        };
        list().map_err(|error| DiskError::doing("list", &self.path)(error.into()))
    }

    /// Removes a temporary file after a failure, which is what is reported.
    fn forget(&self, name: &OsStr) {
        let _ = rustix::fs::unlinkat(&self.fd, name, AtFlags::empty());
    }

    /// Removes temporary files that a killed program left behind in this folder.
    pub fn remove_abandoned(&self) -> Result<(), DiskError> {
        for name in self.names()? {
            if name.as_bytes().starts_with(TEMPORARY.as_bytes()) {
                self.remove_all(name)?;
            }
        }
        Ok(())
    }
}

/// Returns a name beside the given one that nothing else uses.
pub fn temporary(name: impl AsRef<OsStr>) -> OsString {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let mut temporary = OsString::from(format!("{TEMPORARY}{}-{count}-", std::process::id()));
    // A long name must not make the temporary one too long.
    let name = name.as_ref().as_bytes();
    temporary.push(OsStr::from_bytes(&name[name.len().saturating_sub(100)..]));
    temporary
}

/// Turns the absence of what was looked for into none.
pub fn optional<T>(result: Result<T, DiskError>) -> Result<Option<T>, DiskError> {
    match result {
        Ok(found) => Ok(Some(found)),
        Err(error) if error.is_not_found() => Ok(None),
        Err(error) => Err(error),
    }
}

/// Splits a path of the host in its folder and its name; none for the root folder itself.
pub fn split(path: &Path) -> Option<(&Path, &OsStr)> {
    let plain = path.components().all(|part| matches!(part, Component::RootDir | Component::Normal(_)));
    plain.then_some(())?;
    path.parent().zip(path.file_name())
}

pub fn is_file(stat: &Stat) -> bool {
    FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile
}

pub fn is_folder(stat: &Stat) -> bool {
    FileType::from_raw_mode(stat.st_mode) == FileType::Directory
}

pub fn is_link(stat: &Stat) -> bool {
    FileType::from_raw_mode(stat.st_mode) == FileType::Symlink
}

#[cfg(test)]
mod tests;
