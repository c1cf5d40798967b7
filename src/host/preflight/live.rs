//! This machine.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use rustix::fs::Access;

use super::machine::{Holder, Kind, Listener, Machine, May};
use super::sockets;

/// This machine, seen with the eyes of the calling thread.
#[derive(Clone, Copy, Debug)]
pub struct Live;

impl Machine for Live {
    fn kind(&self, path: &Path) -> io::Result<Kind> {
        let found = fs::metadata(path)?;
        Ok(if found.is_file() {
            Kind::File
        } else if found.is_dir() {
            Kind::Directory
        } else {
            Kind::Other
        })
    }

    fn link(&self, path: &Path) -> io::Result<Option<PathBuf>> {
        match fs::read_link(path) {
            Ok(target) => Ok(Some(target)),
            Err(error) if error.kind() == io::ErrorKind::InvalidInput => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn real(&self, path: &Path) -> io::Result<PathBuf> {
        fs::canonicalize(path)
    }

    fn may(&self, path: &Path, what: May) -> io::Result<()> {
        let access = match what {
            May::Read => Access::READ_OK,
            May::Write => Access::WRITE_OK,
            May::Execute => Access::EXEC_OK,
        };
        Ok(rustix::fs::access(path, access)?)
    }

    fn free_disk(&self, path: &Path) -> io::Result<u64> {
        let found = rustix::fs::statvfs(path)?;
        Ok(found.f_bavail.saturating_mul(found.f_frsize))
    }

    fn free_memory(&self) -> io::Result<u64> {
        let text = fs::read_to_string("/proc/meminfo")?;
        available(&text).ok_or_else(|| io::Error::other("/proc/meminfo has no MemAvailable"))
    }

    fn listeners(&self, port: u16) -> io::Result<Vec<Listener>> {
        sockets::listeners(port)
    }

    fn holders(&self, listener: &Listener) -> Vec<Holder> {
        sockets::holders(listener.inode)
    }
}

/// Returns the bytes that programs can get without swapping (proc_meminfo(5)).
fn available(text: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kibibytes.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::available;

    #[test]
    fn available_memory_is_read() {
        assert_eq!(available("MemTotal:  100 kB\nMemFree: 1 kB\nMemAvailable:   42 kB\n"), Some(42 * 1024));
        assert_eq!(available("MemTotal:  100 kB\n"), None);
    }
}
