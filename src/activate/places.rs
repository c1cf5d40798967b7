//! Where things lie on a host.

use std::path::{Path, PathBuf};

use super::generation::Generation;

/// The folders and files of citadel below a root folder, which is `/` unless a host is prepared from outside.
#[derive(Clone, Debug)]
pub struct Places {
    root: PathBuf,
}

impl Places {
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Places { root: root.into() }
    }

    /// Returns the root folder, as a path of this machine.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Whether this is the running host.
    pub fn is_live(&self) -> bool {
        self.root == Path::new("/")
    }

    /// Returns where a path of the host lies: itself, or below the root folder.
    pub fn host(&self, path: impl AsRef<Path>) -> PathBuf {
        let path = path.as_ref();
        self.root.join(path.strip_prefix("/").unwrap_or(path))
    }

    /// `/etc` and not `/var`: generators run before `/var` is mounted.
    pub fn home(&self) -> PathBuf {
        self.host("/etc/citadel")
    }

    /// Immutable files, named by content.
    pub fn store(&self) -> PathBuf {
        self.host(crate::bundle::manifest::STORE)
    }

    pub fn generations(&self) -> PathBuf {
        self.home().join("generations")
    }

    /// One bundle, never changed after it is written.
    pub fn generation(&self, generation: Generation) -> PathBuf {
        self.generations().join(generation.to_string())
    }

    /// The link to the generation that counts: the commit point.
    pub fn current(&self) -> PathBuf {
        self.home().join("current")
    }

    /// What is known about a switch that is not confirmed.
    pub fn trial(&self) -> PathBuf {
        self.home().join("trial.json")
    }

    /// Units of others that were set aside, under their old paths.
    pub fn adopted(&self) -> PathBuf {
        self.home().join("adopted")
    }

    /// What was installed and made on the host, for `uninstall`.
    pub fn record(&self) -> PathBuf {
        self.home().join("installed.json")
    }

    /// The history of switches, one JSON object a line.
    pub fn history(&self) -> PathBuf {
        self.host("/var/lib/citadel/history.jsonl")
    }

    pub fn lock(&self) -> PathBuf {
        self.host("/run/citadel/lock")
    }

    /// The events of one switch, one JSON object a line.
    pub fn progress(&self, id: &str) -> PathBuf {
        self.host("/run/citadel/switches").join(format!("{id}.jsonl"))
    }
}
