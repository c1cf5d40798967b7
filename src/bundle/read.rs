//! Reading a bundle from a folder, and making sure that it is whole.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read as _};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::fs::{FileType, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

use super::Bundle;
use super::archive::{MOST_BYTES, MOST_ENTRIES};
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
    #[error("{0} is not a regular file, or is reached through a link, and a bundle has neither")]
    NotAFile(PathBuf),
    #[error("the bundle has more than {MOST_BYTES} bytes, which no bundle has")]
    TooLarge,
    #[error("the bundle has more than {MOST_ENTRIES} files, which no bundle has")]
    TooMany,
}

impl Bundle {
    /// Reads the bundle in a folder and checks the digest of every file. The limits are those of archives: root reads
    /// bundles of others, whatever they are made of.
    pub fn read(folder: &Path) -> Result<Self, ReadError> {
        let path = folder.join(manifest::FILE_NAME);
        let absent = |kind| matches!(kind, io::ErrorKind::NotFound | io::ErrorKind::NotADirectory);
        let opened = rustix::fs::open(folder, OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty());
        let text = match opened {
            Ok(opened) => read_file(&opened, folder, manifest::FILE_NAME, MOST_BYTES).map(|text| (opened, text)),
            Err(error) => Err(ReadError::Io { path: folder.to_owned(), source: error.into() }),
        };
        let (opened, text) = text.map_err(|error| match error {
            ReadError::Io { source, .. } if absent(source.kind()) => ReadError::NotABundle(folder.to_owned()),
            other => other,
        })?;
        let manifest = parse_manifest(&text).map_err(|error| match error {
            ReadError::Manifest { reason, .. } => ReadError::Manifest { path, reason },
            other => other,
        })?;
        if manifest.files.len() >= MOST_ENTRIES {
            return Err(ReadError::TooMany);
        }
        let sizes = manifest.files.values().map(|entry| entry.size);
        if sizes.fold(text.len() as u64, u64::saturating_add) > MOST_BYTES {
            return Err(ReadError::TooLarge);
        }
        let mut files = BTreeMap::new();
        for (name, entry) in &manifest.files {
            if !is_inside(name) {
                return Err(ReadError::Path(name.clone()));
            }
            let content = read_file(&opened, folder, name, entry.size).map_err(|error| match error {
                ReadError::TooLarge => ReadError::Changed(folder.join(name)),
                other => other,
            })?;
            if content.len() as u64 != entry.size || Digest::of(&content) != entry.sha256 {
                return Err(ReadError::Changed(folder.join(name)));
            }
            files.insert(name.clone(), content);
        }
        Ok(Bundle { manifest, files })
    }
}

/// Reads a regular file of a folder, of at most so many bytes and through no link: what is looked at is what is read.
fn read_file(folder: &OwnedFd, path: &Path, name: &str, most: u64) -> Result<Vec<u8>, ReadError> {
    let failed = |source: io::Error| ReadError::Io { path: path.join(name), source };
    // A pipe of that name would otherwise wait for a writer.
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let how = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
    let file = loop {
        match rustix::fs::openat2(folder, name, flags, Mode::empty(), how) {
            Ok(file) => break file,
            Err(Errno::AGAIN | Errno::INTR) => {}
            // The second is what opening a socket ends in.
            Err(Errno::LOOP | Errno::NXIO) => return Err(ReadError::NotAFile(path.join(name))),
            Err(error) => return Err(failed(error.into())),
        }
    };
    let stat = rustix::fs::fstat(&file).map_err(|error| failed(error.into()))?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
        return Err(ReadError::NotAFile(path.join(name)));
    }
    // One more than is expected, so that reading ends without growing; a file that claims to be huge may be a hole.
    let size = u64::try_from(stat.st_size).unwrap_or_default().min(most).min(MOST_BYTES);
    let mut content = Vec::with_capacity(usize::try_from(size + 1).unwrap_or_default());
    File::from(file).take(most.saturating_add(1)).read_to_end(&mut content).map_err(failed)?;
    if content.len() as u64 > most { Err(ReadError::TooLarge) } else { Ok(content) }
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
    match serde_json::from_slice::<Manifest>(text) {
        Ok(manifest) if manifest.version == manifest::VERSION => Ok(manifest),
        Ok(manifest) => Err(ReadError::Version(manifest.version.into())),
        Err(error) => match serde_json::from_slice(text) {
            Ok(Versioned { version }) if version != u64::from(manifest::VERSION) => Err(ReadError::Version(version)),
            _ => Err(wrong(error.to_string())),
        },
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;
    use crate::bundle::testing::bundle;

    /// Returns a folder with a bundle in it.
    fn written() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        let bundle = bundle("x");
        fs::write(folder.path().join(manifest::FILE_NAME), bundle.manifest_text()).unwrap();
        for (name, content) in &bundle.files {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, content).unwrap();
        }
        folder
    }

    #[test]
    fn a_bundle_comes_back() {
        assert_eq!(Bundle::read(written().path()).unwrap(), bundle("x"));
        let nothing = tempfile::tempdir().unwrap();
        assert!(matches!(Bundle::read(nothing.path()), Err(ReadError::NotABundle(_))));
        assert!(matches!(Bundle::read(&nothing.path().join("a")), Err(ReadError::NotABundle(_))));
    }

    #[test]
    fn what_is_no_plain_file_is_refused() {
        let folder = written();
        let unit = folder.path().join("units/a.service");
        fs::rename(&unit, folder.path().join("b")).unwrap();
        symlink("../b", &unit).unwrap();
        assert!(matches!(Bundle::read(folder.path()), Err(ReadError::NotAFile(_))));
        fs::remove_file(&unit).unwrap();
        let mode = Mode::from_raw_mode(0o600);
        rustix::fs::mknodat(rustix::fs::CWD, &unit, FileType::Fifo, mode, 0).unwrap();
        assert!(matches!(Bundle::read(folder.path()), Err(ReadError::NotAFile(_))));
        fs::remove_file(&unit).unwrap();
        fs::rename(folder.path().join("units"), folder.path().join("c")).unwrap();
        symlink("c", folder.path().join("units")).unwrap();
        assert!(matches!(Bundle::read(folder.path()), Err(ReadError::NotAFile(_))));
    }

    #[test]
    fn no_more_is_read_than_a_bundle_may_have() {
        let folder = written();
        let manifest = folder.path().join(manifest::FILE_NAME);
        // A hole costs no space, and reading it would.
        fs::File::create(folder.path().join("units/a.service")).unwrap().set_len(1 << 40).unwrap();
        assert!(matches!(Bundle::read(folder.path()), Err(ReadError::Changed(_))));
        let mut large = bundle("x");
        large.manifest.files.values_mut().for_each(|entry| entry.size = u64::MAX);
        fs::write(&manifest, large.manifest_text()).unwrap();
        assert!(matches!(Bundle::read(folder.path()), Err(ReadError::TooLarge)));
        fs::File::create(&manifest).unwrap().set_len(1 << 40).unwrap();
        assert!(matches!(Bundle::read(folder.path()), Err(ReadError::TooLarge)));
    }
}
