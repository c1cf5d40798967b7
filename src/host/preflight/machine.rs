//! What checks ask the machine for.

use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

/// The machine, seen with the eyes of the one who runs the service.
pub trait Machine {
    /// Returns what is at a path, behind any links.
    fn kind(&self, path: &Path) -> io::Result<Kind>;

    /// Returns where a link leads, as it is written; none when the path is no link.
    fn link(&self, path: &Path) -> io::Result<Option<PathBuf>>;

    /// Returns what a path is with all links followed.
    fn real(&self, path: &Path) -> io::Result<PathBuf>;

    fn may(&self, path: &Path, what: May) -> io::Result<()>;

    /// Returns the bytes that may still be written to the file system of a path.
    fn free_disk(&self, path: &Path) -> io::Result<u64>;

    /// Returns the bytes of memory that programs can get without swapping.
    fn free_memory(&self) -> io::Result<u64>;

    /// Returns the addresses on which somebody listens on a TCP port.
    fn listeners(&self, port: u16) -> io::Result<Vec<Listener>>;

    /// Returns the processes that hold a listening socket, as far as this user may know.
    fn holders(&self, listener: &Listener) -> Vec<Holder>;
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    File,
    Directory,
    Other,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum May {
    Read,
    Write,
    /// Of a directory: reach what is in it.
    Execute,
}

/// A socket that waits for connections.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listener {
    pub address: IpAddr,
    /// The user who opened it.
    pub uid: u32,
    pub inode: u64,
}

/// A process that has a socket open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    pub pid: u32,
    /// The name of its program.
    pub name: String,
    pub user: String,
    /// The unit of systemd that it belongs to.
    pub unit: Option<String>,
}
