//! Reading a bundle from a folder, and making sure that it is whole.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::Bundle;
use super::digest::Digest;
use super::manifest::{self, Manifest};

/// Why a folder is not a bundle.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    #[error("{0} has no {file}, so it is not a bundle", file = manifest::FILE_NAME)]
    NotABundle(PathBuf),
    #[error("cannot read {path}: {source}")]
    Io { path: PathBuf, source: io::Error },
    #[error("{path} is not a manifest: {reason}")]
    Manifest { path: PathBuf, reason: String },
    #[error("the manifest has version {0}, and this program reads version {known}", known = manifest::VERSION)]
    Version(u64),
    #[error("the manifest names a file {0:?}, which would lie outside the bundle")]
    Path(String),
    #[error("{0} has changed since the bundle was built")]
    Changed(PathBuf),
}

impl Bundle {
    /// Reads the bundle in a folder and checks the digest of every file.
    pub fn read(folder: &Path) -> Result<Self, ReadError> {
        let path = folder.join(manifest::FILE_NAME);
        let text = fs::read(&path).map_err(|source| match source.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => ReadError::NotABundle(folder.to_owned()),
            _ => ReadError::Io { path: path.clone(), source },
        })?;
        let manifest = parse_manifest(&text).map_err(|error| match error {
            ReadError::Manifest { reason, .. } => ReadError::Manifest { path, reason },
            other => other,
        })?;
        let mut files = BTreeMap::new();
        for (name, entry) in &manifest.files {
            if !is_inside(name) {
                return Err(ReadError::Path(name.clone()));
            }
            let path = folder.join(name);
            // Root reads bundles of others, in which a name may be a pipe or a device without end.
            let metadata = fs::metadata(&path).map_err(|source| ReadError::Io { path: path.clone(), source })?;
            if !metadata.is_file() || metadata.len() != entry.size {
                return Err(ReadError::Changed(path));
            }
            let content = fs::read(&path).map_err(|source| ReadError::Io { path: path.clone(), source })?;
            if content.len() as u64 != entry.size || Digest::of(&content) != entry.sha256 {
                return Err(ReadError::Changed(path));
            }
            files.insert(name.clone(), content);
        }
        Ok(Bundle { manifest, files })
    }
}

/// Whether a path in a bundle is plain: relative, and without `.`, `..`, empty parts and control characters.
pub fn is_inside(path: &str) -> bool {
    path.split('/').all(|part| !matches!(part, "" | "." | "..")) && !path.chars().any(char::is_control)
}

/// Reads a manifest; one of another version is named as such, whatever else it says.
pub fn parse_manifest(text: &[u8]) -> Result<Manifest, ReadError> {
    let wrong = |reason: String| ReadError::Manifest { path: PathBuf::new(), reason };
    #[derive(serde::Deserialize)]
    struct Versioned {
        version: u64,
    }
    let Versioned { version } = serde_json::from_slice(text).map_err(|error| wrong(error.to_string()))?;
    if version != u64::from(manifest::VERSION) {
        return Err(ReadError::Version(version));
    }
    serde_json::from_slice(text).map_err(|error| wrong(error.to_string()))
}
