//! The lock file: which inputs gave which bundle, so that a pull request shows the change and `--locked` can refuse it.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::bundle::Bundle;
use crate::bundle::digest::Digest;

/// The name of the lock file, in the root of a project.
pub const FILE_NAME: &str = "citadel.lock";

const VERSION: u32 = 1;

/// What was built from what.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Lock {
    version: u32,
    /// The digests of all inputs; those of the module library begin with `citadel:`.
    inputs: BTreeMap<String, Digest>,
    profiles: BTreeMap<String, LockedProfile>,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct LockedProfile {
    /// The identity of the bundle.
    bundle: Digest,
    /// The inputs that it was made of.
    inputs: BTreeSet<String>,
}

/// Why a lock file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    #[error("cannot read {path}: {source}")]
    Read { path: PathBuf, source: io::Error },
    #[error("{path} is not a lock file: {reason}")]
    Format { path: PathBuf, reason: String },
    #[error("cannot write {path}: {source}")]
    Write { path: PathBuf, source: io::Error },
}

/// How a profile differs from what the lock says of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Difference {
    /// The lock does not know the profile.
    Unlocked,
    /// Inputs changed, came or went.
    Inputs(Vec<String>),
    /// The inputs are the same, but the bundle is not: another version of citadel built it.
    Bundle,
}

impl Default for Lock {
    fn default() -> Self {
        Lock { version: VERSION, inputs: BTreeMap::new(), profiles: BTreeMap::new() }
    }
}

impl Lock {
    /// Reads the lock of a project; an empty one when there is none yet.
    pub fn read(root: &Path) -> Result<Self, LockError> {
        let path = root.join(FILE_NAME);
        let text = match std::fs::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Lock::default()),
            Err(source) => return Err(LockError::Read { path, source }),
        };
        let lock: Lock = serde_json::from_slice(&text)
            .map_err(|error| LockError::Format { path: path.clone(), reason: error.to_string() })?;
        if lock.version != VERSION {
            let reason = format!("it has version {}, and this program knows version {VERSION}", lock.version);
            return Err(LockError::Format { path, reason });
        }
        Ok(lock)
    }

    /// Returns how a bundle differs from what is locked for its profile, when it does.
    pub fn difference(&self, bundle: &Bundle) -> Option<Difference> {
        let Some(locked) = self.profiles.get(&bundle.manifest.profile) else { return Some(Difference::Unlocked) };
        if locked.bundle == bundle.digest() {
            return None;
        }
        let now = &bundle.manifest.inputs;
        let changed: BTreeSet<&String> = now
            .iter()
            .filter(|(name, digest)| !locked.inputs.contains(*name) || self.inputs.get(*name) != Some(digest))
            .map(|(name, _)| name)
            .chain(locked.inputs.iter().filter(|name| !now.contains_key(*name)))
            .collect();
        Some(match changed.is_empty() {
            true => Difference::Bundle,
            false => Difference::Inputs(changed.into_iter().cloned().collect()),
        })
    }

    /// Records a bundle. All profiles of a project are recorded together, so that they agree on shared inputs.
    pub fn record(&mut self, bundle: &Bundle) {
        let inputs = bundle.manifest.inputs.keys().cloned().collect();
        self.profiles.insert(bundle.manifest.profile.clone(), LockedProfile { bundle: bundle.digest(), inputs });
        self.inputs.extend(bundle.manifest.inputs.clone());
    }

    /// Writes the lock beside the profiles, in one step; returns whether anything changed.
    pub fn write(&self, root: &Path) -> Result<bool, LockError> {
        let path = root.join(FILE_NAME);
        let mut text = serde_json::to_vec_pretty(self).unwrap_or_default();
        text.push(b'\n');
        if std::fs::read(&path).is_ok_and(|old| old == text) {
            return Ok(false);
        }
        let write = || -> io::Result<()> {
            let mut file = tempfile::Builder::new()
                .prefix(".citadel-lock-")
                .permissions(std::os::unix::fs::PermissionsExt::from_mode(0o644))
                .tempfile_in(root)?;
            io::Write::write_all(&mut file, &text)?;
            file.persist(&path).map(drop).map_err(|error| error.error)
        };
        write().map(|()| true).map_err(|source| LockError::Write { path, source })
    }
}
