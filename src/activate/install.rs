//! What makes a host one of citadel's; `uninstall` takes it away.

use std::path::{Path, PathBuf};

use super::error::DiskError;
use super::files::{Access, Folder, Through, split};
use super::generator::PROGRAM;
use super::places::Places;
use super::record::Record;

/// A link of this name makes systemd run the activator as a generator.
pub(super) const GENERATORS: &str = "/etc/systemd/system-generators";
pub(super) const GENERATOR: &str = "citadel-generator";

/// Whether everything is there, of whatever version.
pub fn is_installed(places: &Places) -> bool {
    let generator = places.host(GENERATORS).join(GENERATOR);
    places.host(PROGRAM).is_file() && generator.is_symlink() && places.generations().is_dir()
}

/// No activator is larger, in bytes.
const LARGEST: u64 = 256 << 20;

/// Durably installs the activator, the generator and the folders; returns the paths on the host that it made or changed.
/// Nothing is changed where everything is right already.
pub fn install(places: &Places, program: &Path) -> Result<Vec<PathBuf>, DiskError> {
    let mut done = Vec::new();
    for folder in [places.home(), places.store(), places.generations()] {
        if !folder.exists() {
            let inside = folder.strip_prefix(places.root()).unwrap_or(&folder);
            done.push(Path::new("/").join(inside));
        }
        Folder::make_own(places, folder)?;
    }
    install_program(places, program, &mut done)?;
    record_missing(places, Path::new(GENERATORS))?;
    let generators = Folder::make(places, GENERATORS, Through::Links, &mut Vec::new())?;
    if generators.link_text(GENERATOR)?.is_none_or(|text| text != Path::new(PROGRAM)) {
        generators.link(GENERATOR, PROGRAM)?;
        done.push(Path::new(GENERATORS).join(GENERATOR));
    }
    Ok(done)
}

/// Records what is missing on the way to a folder, before it is made.
fn record_missing(places: &Places, folder: &Path) -> Result<(), DiskError> {
    let missing = folder.ancestors().take_while(|folder| !places.host(folder).exists());
    Record::update(places, |record| record.folders.extend(missing.map(Path::to_owned)))
}

/// Copies the activator to where units and the generator expect it, unless it is there.
fn install_program(places: &Places, program: &Path, done: &mut Vec<PathBuf>) -> Result<(), DiskError> {
    let target = places.host(PROGRAM);
    let same_file = program.canonicalize().ok().zip(target.canonicalize().ok()).is_some_and(|(one, two)| one == two);
    if same_file {
        return Ok(());
    }
    let content = std::fs::read(program).map_err(DiskError::doing("read", program))?;
    let Some((parent, name)) = split(Path::new(PROGRAM)) else { return Ok(()) };
    record_missing(places, parent)?;
    let folder = Folder::make(places, parent, Through::Links, &mut Vec::new())?;
    if folder.stat(name)?.is_none() {
        Record::update(places, |record| record.program = Some(PROGRAM.into()))?;
    }
    if folder.read(name, LARGEST).is_ok_and(|there| there == content) {
        return Ok(());
    }
    folder.write(name, &content, Access { mode: 0o755, owner: None })?;
    done.push(PROGRAM.into());
    Ok(())
}

#[cfg(test)]
mod tests;
