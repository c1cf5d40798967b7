//! What GPUs had before citadel changed them, and what they got: on disk before the first change.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, Mode, OFlags};
use rustix::io::{Errno, FdFlags};
use serde::{Deserialize, Serialize};

use crate::activate::Places;
use crate::activate::files::{Access, Folder, Through, optional};
use crate::bundle::manifest::GPU_STATE;
use crate::host::driver::{Gpu, Kind, Setting};

use super::seen::identity;

const FILE: &str = "saved.json";
const LIMIT: u64 = 1 << 20;

/// How long to wait for another command that changes GPUs.
const PATIENCE: Duration = Duration::from_secs(10);

/// How long to wait for the last call of a command that was killed. One that hangs in the driver would block for ever.
const LAST_CALL: Duration = Duration::from_secs(2);

/// Returns where it lies: the state directory of the unit that applies settings.
pub fn folder() -> PathBuf {
    Path::new("/var/lib").join(GPU_STATE)
}

/// What citadel changed on the GPUs of this host in one boot.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Saved {
    pub version: u32,
    /// The boot in which it was written, as in `/proc/sys/kernel/random/boot_id`.
    pub boot: String,
    /// By UUID, or by PCI address where a GPU has none.
    pub gpus: BTreeMap<String, Vec<Entry>>,
}

/// One setting of one GPU.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// What it had; clocks, which cannot be read, count as not locked.
    pub before: Setting,
    /// What it got, or was about to get.
    pub applied: Setting,
}

impl Saved {
    pub fn new(boot: impl Into<String>) -> Self {
        Saved { version: 1, boot: boot.into(), gpus: BTreeMap::new() }
    }

    /// Returns what citadel did to a GPU.
    pub fn of(&self, gpu: &Gpu) -> &[Entry] {
        identity(gpu).and_then(|id| self.gpus.get(id)).map_or(&[], Vec::as_slice)
    }

    /// Notes that a GPU is about to get a setting. What it had before citadel came stays what it was.
    pub fn note(&mut self, id: &str, before: Setting, applied: Setting) {
        let entries = self.gpus.entry(id.to_owned()).or_default();
        match entries.iter_mut().find(|entry| entry.applied.kind() == applied.kind()) {
            Some(entry) => entry.applied = applied,
            None => entries.push(Entry { before, applied }),
        }
        entries.sort_by_key(|entry| entry.applied.kind());
    }

    /// Forgets a setting that has its old value again, or never had another.
    pub fn forget(&mut self, id: &str, kind: Kind) {
        if let Some(entries) = self.gpus.get_mut(id) {
            entries.retain(|entry| entry.applied.kind() != kind);
        }
        self.gpus.retain(|_, entries| !entries.is_empty());
    }
}

/// The state cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    #[error("{0}")]
    Disk(#[from] crate::activate::DiskError),
    #[error("another command changes GPUs; wait for it")]
    Busy,
    #[error(
        "{path} is not what citadel writes ({reason}); look at it, and remove it when the GPUs are as you want them"
    )]
    Broken { path: PathBuf, reason: String },
}

/// The saved state, held by whoever changes GPUs.
#[derive(Debug)]
pub struct State {
    folder: Folder,
    _lock: File,
    /// The processes that talk to the driver inherit it, so it is free when the last call has ended.
    _calls: File,
}

impl State {
    /// Takes the state, and makes its folder when there is none.
    pub fn take(path: &Path) -> Result<Self, StateError> {
        let places = Places::new("/");
        let folder = Folder::make(&places, path, Through::Links, &mut Vec::new())?;
        let lock = open(&folder, "lock")?;
        if !hold(&lock, PATIENCE)? {
            return Err(StateError::Busy);
        }
        let calls = open(&folder, "calls")?;
        hold(&calls, LAST_CALL)?;
        rustix::io::fcntl_setfd(&calls, FdFlags::empty()).map_err(|error| failed(&folder, "prepare", error))?;
        folder.remove_abandoned()?;
        Ok(State { folder, _lock: lock, _calls: calls })
    }

    /// Returns what is saved.
    pub fn load(&self) -> Result<Option<Saved>, StateError> {
        load(&self.folder)
    }

    /// Durably saves.
    pub fn save(&self, saved: &Saved) -> Result<(), StateError> {
        if saved.gpus.is_empty() {
            self.folder.remove(FILE)?;
            return Ok(());
        }
        let mut text = serde_json::to_vec_pretty(saved).map_err(|error| broken(&self.folder, &error))?;
        text.push(b'\n');
        Ok(self.folder.write(FILE, &text, Access::PRIVATE)?)
    }
}

/// Returns what is saved, without taking it; none also when this user may not see it.
pub fn peek(path: &Path) -> Result<Option<Saved>, StateError> {
    match Folder::find(&Places::new("/"), path, Through::Links) {
        Ok(Some(folder)) => match load(&folder) {
            Err(StateError::Disk(error)) if error.is_denied() => Ok(None),
            other => other,
        },
        Ok(None) => Ok(None),
        Err(error) if error.is_denied() => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn load(folder: &Folder) -> Result<Option<Saved>, StateError> {
    let Some(text) = optional(folder.read(FILE, LIMIT))? else { return Ok(None) };
    let saved: Saved = serde_json::from_slice(&text).map_err(|error| broken(folder, &error))?;
    if saved.version == 1 { Ok(Some(saved)) } else { Err(broken(folder, &format!("version {}", saved.version))) }
}

fn broken(folder: &Folder, reason: &impl ToString) -> StateError {
    StateError::Broken { path: folder.path().join(FILE), reason: reason.to_string() }
}

fn open(folder: &Folder, name: &str) -> Result<File, StateError> {
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file = rustix::fs::openat(folder, name, flags, Mode::from_raw_mode(0o600));
    Ok(File::from(file.map_err(|error| failed(folder, "open the lock in", error))?))
}

/// Takes a lock within some time; returns whether it did.
fn hold(file: &File, patience: Duration) -> Result<bool, StateError> {
    let end = Instant::now() + patience;
    loop {
        match rustix::fs::flock(file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => return Ok(true),
            Err(Errno::AGAIN) if Instant::now() >= end => return Ok(false),
            Err(Errno::AGAIN | Errno::INTR) => std::thread::sleep(Duration::from_millis(10)),
            Err(error) => return Err(crate::activate::DiskError::doing("lock", folder())(error.into()).into()),
        }
    }
}

fn failed(folder: &Folder, doing: &'static str, error: Errno) -> StateError {
    crate::activate::DiskError::doing(doing, folder.path())(error.into()).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_there_first_stays_what_is_taken_back() {
        let mut saved = Saved::new("boot");
        let limit = Setting::PowerLimitMilliwatts;
        saved.note("GPU-1", limit(450_000), limit(300_000));
        saved.note("GPU-1", limit(300_000), limit(200_000));
        saved.note("GPU-1", Setting::PersistenceMode(false), Setting::PersistenceMode(true));
        let entries = &saved.gpus["GPU-1"];
        assert_eq!(entries[1], Entry { before: limit(450_000), applied: limit(200_000) });
        saved.forget("GPU-1", Kind::PowerLimit);
        saved.forget("GPU-1", Kind::PersistenceMode);
        assert!(saved.gpus.is_empty());
    }

    #[test]
    fn it_is_read_back_as_it_was_written() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state");
        assert_eq!(peek(&path).unwrap(), None);
        let state = State::take(&path).unwrap();
        let mut saved = Saved::new("boot");
        saved.note("GPU-1", Setting::GraphicsClockMhz(None), Setting::PersistenceMode(true));
        state.save(&saved).unwrap();
        assert_eq!(state.load().unwrap().as_ref(), Some(&saved));
        assert_eq!(peek(&path).unwrap(), Some(saved));
        state.save(&Saved::new("boot")).unwrap();
        assert_eq!(state.load().unwrap(), None);
        std::fs::write(path.join(FILE), "{").unwrap();
        assert!(matches!(state.load(), Err(StateError::Broken { .. })));
    }
}
