//! Writing a bundle to a folder: beside it first, then in its place in one step.

use std::ffi::OsString;
use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, RenameFlags, renameat_with};
use rustix::io::Errno;

use super::Bundle;
use super::manifest::FILE_NAME;

/// Why a bundle was not written; whatever was there before is still there.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    #[error("{0} exists and is not a bundle")]
    NotABundle(PathBuf),
    #[error("{folder} holds {file}, which is not of the bundle and would be lost")]
    Foreign { folder: PathBuf, file: PathBuf },
    #[error("cannot write {path}: {source}")]
    Io { path: PathBuf, source: io::Error },
}

impl Bundle {
    /// Writes the bundle to a folder, which is made, or replaced when it is a bundle or empty.
    ///
    /// The folder holds the old bundle or the new one at every moment, never a mixture.
    pub fn write(&self, folder: &Path) -> Result<(), WriteError> {
        let at = |path: &Path| {
            let path = path.to_owned();
            move |source| WriteError::Io { path, source }
        };
        check_replaceable(folder)?;
        let parent = folder.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        fs::create_dir_all(parent).map_err(at(parent))?;
        remove_abandoned(parent, folder);

        let beside = Beside::new(parent, folder).map_err(at(parent))?;
        self.fill(&beside.path).map_err(|(path, source)| WriteError::Io { path, source })?;
        for _ in 0..TRIES {
            // With an exchange the old bundle takes the place beside and goes away with it.
            let exists = check_replaceable(folder)?;
            let how = if exists { RenameFlags::EXCHANGE } else { RenameFlags::NOREPLACE };
            match renameat_with(CWD, &beside.path, CWD, folder, how) {
                Ok(()) => return Ok(()),
                // Another build of the same output came or went since the look at it.
                Err(Errno::EXIST | Errno::NOTEMPTY | Errno::NOENT) => {}
                // Some file systems know neither; then there is a moment without a bundle, but never half a one.
                Err(Errno::INVAL | Errno::NOSYS) => {
                    if exists {
                        fs::remove_dir_all(folder).map_err(at(folder))?;
                    }
                    return fs::rename(&beside.path, folder).map_err(at(folder));
                }
                Err(error) => return Err(at(folder)(error.into())),
            }
        }
        Err(at(folder)(Errno::BUSY.into()))
    }

    fn fill(&self, folder: &Path) -> Result<(), (PathBuf, io::Error)> {
        let manifest = self.manifest_text();
        let files = self.files.iter().map(|(name, content)| (name.as_str(), content));
        for (name, content) in files.chain([(FILE_NAME, &manifest)]) {
            let path = folder.join(name);
            let write = || -> io::Result<()> {
                if let Some(parent) = path.parent() {
                    make_folders(folder, parent)?;
                }
                let mut file = OpenOptions::new().write(true).create_new(true).mode(0o644).open(&path)?;
                file.set_permissions(fs::Permissions::from_mode(0o644))?;
                file.write_all(content)
            };
            write().map_err(|error| (path.clone(), error))?;
        }
        fs::set_permissions(folder, fs::Permissions::from_mode(0o755)).map_err(|error| (folder.to_owned(), error))
    }
}

/// Returns whether there is something to replace, or why it must not be replaced.
fn check_replaceable(folder: &Path) -> Result<bool, WriteError> {
    let metadata = match fs::symlink_metadata(folder) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(source) => return Err(WriteError::Io { path: folder.to_owned(), source }),
    };
    let not_a_bundle = || WriteError::NotABundle(folder.to_owned());
    if !metadata.is_dir() {
        return Err(not_a_bundle());
    }
    let io = |source| WriteError::Io { path: folder.to_owned(), source };
    if fs::read_dir(folder).map_err(io)?.next().is_none() {
        return Ok(true);
    }
    let manifest = fs::read(folder.join(FILE_NAME)).ok();
    let manifest = manifest.and_then(|text| serde_json::from_slice::<serde_json::Value>(&text).ok());
    let manifest = manifest.filter(|manifest| manifest.get("version").is_some()).ok_or_else(not_a_bundle)?;
    let listed = manifest.get("files").and_then(serde_json::Value::as_object).ok_or_else(not_a_bundle)?;
    // Somebody may keep a bundle under version control, or notes beside it.
    match foreign_file(folder, folder, &|name| name == FILE_NAME || listed.contains_key(name)).map_err(io)? {
        Some(file) => Err(WriteError::Foreign { folder: folder.to_owned(), file }),
        None => Ok(true),
    }
}

/// Returns a file below `folder` that is not known by its path from `root`.
fn foreign_file(root: &Path, folder: &Path, known: &impl Fn(&str) -> bool) -> io::Result<Option<PathBuf>> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let path = entry.path();
        let found = if entry.file_type()?.is_dir() {
            foreign_file(root, &path, known)?
        } else {
            let name = path.strip_prefix(root).unwrap_or(&path).to_path_buf();
            (!name.to_str().is_some_and(known)).then_some(name)
        };
        if found.is_some() {
            return Ok(found);
        }
    }
    Ok(None)
}

/// Makes the folders below `root`, with permissions that do not depend on the user's umask.
fn make_folders(root: &Path, folder: &Path) -> io::Result<()> {
    if folder == root || folder.is_dir() {
        return Ok(());
    }
    if let Some(parent) = folder.parent() {
        make_folders(root, parent)?;
    }
    fs::create_dir(folder)?;
    fs::set_permissions(folder, fs::Permissions::from_mode(0o755))
}

/// A folder beside the output, removed when it goes out of use.
struct Beside {
    path: PathBuf,
}

/// So often a build gives way to others of the same output; each of them ends after a few.
const TRIES: usize = 1000;

const MARK: &str = ".citadel-";

impl Beside {
    fn new(parent: &Path, folder: &Path) -> io::Result<Self> {
        let path = parent.join(temporary_prefix(folder)).with_added_extension(std::process::id().to_string());
        // Only the owner may look inside until it is whole.
        DirBuilder::new().mode(0o700).create(&path)?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o700))?;
        Ok(Beside { path })
    }
}

impl Drop for Beside {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.path);
    }
}

fn temporary_prefix(folder: &Path) -> OsString {
    let mut name = OsString::from(MARK);
    name.push(folder.file_name().unwrap_or_default());
    name
}

/// Removes what builds of the same output left behind when they were killed.
fn remove_abandoned(parent: &Path, folder: &Path) {
    let prefix = temporary_prefix(folder);
    for entry in fs::read_dir(parent).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let Some(process) = name
            .to_str()
            .zip(prefix.to_str())
            .and_then(|(name, prefix)| name.strip_prefix(prefix)?.strip_prefix('.')?.parse::<u32>().ok())
        else {
            continue;
        };
        if process == std::process::id() || !Path::new(&format!("/proc/{process}")).exists() {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bundle::digest::Digest;
    use crate::bundle::manifest::{FileEntry, FileKind, Manifest};
    use crate::bundle::read::ReadError;

    fn bundle(text: &str) -> Bundle {
        let mut manifest: Manifest = serde_json::from_value(serde_json::json!({
            "version": 1, "profile": "p", "compiler": {"citadel": "0", "nickel": "0"}, "main_target": "citadel.target",
            "requires": {"systemd": 252, "host": "h", "cpus": 1, "memory_bytes": 1, "gpus": [], "mounts": [], "units": [],
                         "users": [], "groups": []},
            "files": {}, "units": {}, "phases": [], "groups": {}, "credentials": {}, "inputs": {},
            "budget": {"gpus": [], "memory": {"total_bytes": 1, "committed_bytes": 0, "unlimited": []}, "ports": []},
        }))
        .unwrap();
        let entry = FileEntry {
            kind: FileKind::Raw,
            target: Some("/etc/x".to_owned()),
            mode: "0644".to_owned(),
            owner: "root".to_owned(),
            group: "root".to_owned(),
            size: text.len() as u64,
            sha256: Digest::of(text.as_bytes()),
        };
        manifest.files.insert("raw/x".to_owned(), entry);
        Bundle { manifest, files: [("raw/x".to_owned(), text.as_bytes().to_vec())].into() }
    }

    #[test]
    fn a_bundle_is_read_back_and_replaced_as_a_whole() {
        let folder = tempfile::tempdir().unwrap();
        let output = folder.path().join("deep/er/out");
        bundle("one").write(&output).unwrap();
        assert_eq!(Bundle::read(&output).unwrap(), bundle("one"));
        bundle("two").write(&output).unwrap();
        assert_eq!(Bundle::read(&output).unwrap(), bundle("two"));
        let beside: Vec<_> = fs::read_dir(output.parent().unwrap()).unwrap().collect();
        assert_eq!(beside.len(), 1, "nothing is left beside it");
        assert_eq!(fs::metadata(&output).unwrap().permissions().mode() & 0o777, 0o755);
    }

    #[test]
    fn what_is_not_a_bundle_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("precious"), "data").unwrap();
        assert!(matches!(bundle("x").write(folder.path()), Err(WriteError::NotABundle(_))));
        assert!(matches!(bundle("x").write(&folder.path().join("precious")), Err(WriteError::NotABundle(_))));
        assert_eq!(fs::read_to_string(folder.path().join("precious")).unwrap(), "data");
    }

    #[test]
    fn files_that_somebody_put_into_a_bundle_are_not_lost() {
        let folder = tempfile::tempdir().unwrap();
        let output = folder.path().join("out");
        bundle("one").write(&output).unwrap();
        fs::create_dir(output.join(".git")).unwrap();
        fs::write(output.join(".git/HEAD"), "x").unwrap();
        let error = bundle("two").write(&output).unwrap_err();
        assert!(matches!(&error, WriteError::Foreign { file, .. } if file == Path::new(".git/HEAD")), "{error}");
        assert!(output.join(".git/HEAD").exists());
    }

    #[test]
    fn a_changed_file_is_noticed() {
        let folder = tempfile::tempdir().unwrap();
        let output = folder.path().join("out");
        bundle("one").write(&output).unwrap();
        fs::write(output.join("raw/x"), "0ne").unwrap();
        assert!(matches!(Bundle::read(&output), Err(ReadError::Changed(_))));
        fs::remove_file(output.join("raw/x")).unwrap();
        std::os::unix::fs::symlink("/dev/zero", output.join("raw/x")).unwrap();
        assert!(matches!(Bundle::read(&output), Err(ReadError::NotAFile(_))));
    }

    #[test]
    fn what_a_killed_build_left_behind_is_removed() {
        let folder = tempfile::tempdir().unwrap();
        let abandoned = folder.path().join(".citadel-out.4194305");
        fs::create_dir(&abandoned).unwrap();
        bundle("one").write(&folder.path().join("out")).unwrap();
        assert!(!abandoned.exists());
    }
}
