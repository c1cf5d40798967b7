//! Machines that exist only in tests.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use super::answer::Answer;
use super::machine::{Holder, Kind, Listener, Machine, May};

/// A machine that has only what it was given.
#[derive(Clone, Debug, Default)]
pub struct Fake {
    pub paths: BTreeMap<PathBuf, Kind>,
    pub links: BTreeMap<PathBuf, PathBuf>,
    pub denied: Vec<(PathBuf, May)>,
    pub disk: Option<u64>,
    pub memory: Option<u64>,
    pub listeners: Vec<(u16, Listener)>,
    pub holders: Vec<Holder>,
}

impl Fake {
    pub fn file(mut self, path: &str) -> Self {
        self.paths.insert(path.into(), Kind::File);
        self
    }

    pub fn directory(mut self, path: &str) -> Self {
        self.paths.insert(path.into(), Kind::Directory);
        self
    }

    pub fn link(mut self, path: &str, target: &str) -> Self {
        self.links.insert(path.into(), target.into());
        self
    }

    /// Adds a file that may not be used like this.
    pub fn denied(mut self, path: &str, what: May) -> Self {
        self.denied.push((path.into(), what));
        self.file(path)
    }

    /// Adds a directory that may not be entered.
    pub fn sealed(mut self, path: &str) -> Self {
        self.denied.push((path.into(), May::Execute));
        self.directory(path)
    }
}

fn missing() -> io::Error {
    io::Error::from_raw_os_error(2)
}

impl Machine for Fake {
    fn kind(&self, path: &Path) -> io::Result<Kind> {
        self.paths.get(path).copied().ok_or_else(missing)
    }

    fn link(&self, path: &Path) -> io::Result<Option<PathBuf>> {
        let link = self.links.get(path).cloned();
        if link.is_none() { self.kind(path).map(|_| None) } else { Ok(link) }
    }

    fn real(&self, path: &Path) -> io::Result<PathBuf> {
        let target = self.links.get(path).map(|target| Path::new("/").join(target));
        let path = target.unwrap_or_else(|| path.to_owned());
        self.kind(&path).map(|_| path)
    }

    fn may(&self, path: &Path, what: May) -> io::Result<()> {
        let denied = self.denied.iter().any(|(at, denied)| at == path && *denied == what);
        if denied { Err(io::Error::from_raw_os_error(13)) } else { self.kind(path).map(|_| ()) }
    }

    fn free_disk(&self, _: &Path) -> io::Result<u64> {
        self.disk.ok_or_else(missing)
    }

    fn free_memory(&self) -> io::Result<u64> {
        self.memory.ok_or_else(missing)
    }

    fn listeners(&self, port: u16) -> io::Result<Vec<Listener>> {
        Ok(self.listeners.iter().filter(|(at, _)| *at == port).map(|(_, listener)| listener.clone()).collect())
    }

    fn holders(&self, _: &Listener) -> Vec<Holder> {
        self.holders.clone()
    }
}

/// Returns why a check did not pass.
pub fn reason(answer: Answer) -> String {
    answer.expect_err("it does not pass").reason
}
