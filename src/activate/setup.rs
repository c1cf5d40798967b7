//! Making sure that a host is ready for switches, before the first one.

use std::io;
use std::path::{Path, PathBuf};

use super::error::DiskError;
use super::generator::PROGRAM;
use super::install;
use super::places::Places;

/// Returns the activator that belongs to this program: itself, the one beside it, or the one that is installed.
pub fn own_program() -> io::Result<PathBuf> {
    let own = std::env::current_exe()?;
    let name = Path::new(PROGRAM).file_name().unwrap_or_default();
    let candidates = [own.clone(), own.with_file_name(name), PathBuf::from(PROGRAM)];
    let is_activator = |path: &&PathBuf| path.file_name() == Some(name) && path.is_file();
    candidates.iter().find(is_activator).cloned().ok_or_else(|| {
        let message = format!("there is no citadel-activate beside {} and none at {PROGRAM}", own.display());
        io::Error::new(io::ErrorKind::NotFound, message)
    })
}

/// Installs what is missing, and returns whether that was something; an installed activator stays as it is.
pub fn prepare(places: &Places) -> Result<bool, DiskError> {
    if install::is_installed(places) {
        return Ok(false);
    }
    let installed = places.host(PROGRAM);
    let program = if installed.is_file() { Ok(installed) } else { own_program() };
    install::install(places, &program.map_err(DiskError::doing("find", Path::new(PROGRAM)))?)?;
    Ok(true)
}
