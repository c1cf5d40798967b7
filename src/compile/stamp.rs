//! Recognising an unchanged build without evaluating it, from the digests of its inputs and of its output.
//!
//! A stamp lies in the user's cache folder. It says which inputs gave which bundle, and counts only for the very build
//! of citadel that wrote it. Losing one costs time and nothing else.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::evaluate::library;
use super::project::ProfilePath;
use crate::bundle::Bundle;
use crate::bundle::digest::Digest;

/// This very build of citadel; another one may compile differently.
const BUILD: &str = env!("CITADEL_BUILD_ID");

/// What is known of an earlier build.
#[derive(Debug, Deserialize, Serialize)]
pub struct Stamp {
    build: String,
    bundle: Digest,
    /// The digests of files by absolute path.
    inputs: BTreeMap<PathBuf, Digest>,
    /// Warnings as they were shown, in the formats human and JSON, to be shown again.
    pub warnings: Vec<(String, serde_json::Value)>,
}

impl Stamp {
    /// Returns the bundle in `output` with its stamp when building the profile again would give just that.
    pub fn unchanged(profile: &ProfilePath, output: &Path) -> Option<(Bundle, Self)> {
        let stamp: Stamp = serde_json::from_slice(&std::fs::read(path(profile, output)?).ok()?).ok()?;
        if stamp.build != BUILD || !stamp.inputs.iter().all(|(path, digest)| same(path, digest)) {
            return None;
        }
        // A new file that hides one of the library is an error that only an evaluation reports.
        let hidden = stamp.inputs.keys().filter_map(|path| path.parent()).any(|folder| folder.join("citadel").exists());
        let bundle = Bundle::read(output).ok().filter(|bundle| !hidden && bundle.digest() == stamp.bundle)?;
        Some((bundle, stamp))
    }

    /// Remembers a build. Failures are of no consequence.
    pub fn remember(profile: &ProfilePath, output: &Path, bundle: &Bundle, warnings: Vec<(String, serde_json::Value)>) {
        let root = profile.project.root();
        let own = bundle.manifest.inputs.iter().filter(|(name, _)| !name.starts_with("citadel:"));
        let stamp = Stamp {
            build: BUILD.to_owned(),
            bundle: bundle.digest(),
            inputs: own.map(|(name, digest)| (root.join(name), *digest)).collect(),
            warnings,
        };
        let (Some(path), Ok(text)) = (path(profile, output), serde_json::to_vec(&stamp)) else { return };
        let Some(folder) = path.parent() else { return };
        let write = || -> std::io::Result<()> {
            std::fs::create_dir_all(folder)?;
            let mut file = tempfile::NamedTempFile::new_in(folder)?;
            std::io::Write::write_all(&mut file, &text)?;
            file.persist(&path)?;
            Ok(())
        };
        let _ = write();
    }
}

fn same(path: &Path, digest: &Digest) -> bool {
    std::fs::read(path).is_ok_and(|content| Digest::of(&content) == *digest)
}

/// Returns where the stamp of a profile and an output lies, by the XDG base directory specification.
fn path(profile: &ProfilePath, output: &Path) -> Option<PathBuf> {
    let absolute = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let cache = absolute("XDG_CACHE_HOME").or_else(|| absolute("HOME").map(|home| home.join(".cache")))?;
    let output = std::path::absolute(output).ok()?;
    let key = format!("{}\n{}\n{}", library::FILES.len(), profile.file.display(), output.display());
    Some(cache.join("citadel/builds").join(Digest::of(key.as_bytes()).short()).with_extension("json"))
}
