//! What `citadel switch` and `citadel plan` take besides a bundle: a profile, or nothing.

use std::path::{Path, PathBuf};

use super::{Session, build, exit};
use crate::activate::{Places, current, store};
use crate::bundle::manifest;

/// Turns the name of a profile into its bundle, which is built when it is not there.
///
/// Without an argument it is the profile that the host runs.
pub fn resolve((argument, places): (&mut Option<PathBuf>, Places), session: &Session) -> Result<(), exit::Code> {
    let name = match argument {
        Some(path) if is_bundle(&session.folder.join(&*path)) => {
            *path = session.folder.join(&*path);
            return Ok(());
        }
        Some(name) => name.to_string_lossy().into_owned(),
        None => of_host(&places).ok_or_else(|| {
            let help = "name a profile or a bundle: `citadel switch production`";
            session.output.error("E0001", "the host runs no profile yet", Some(help));
            exit::Code::NotFound
        })?,
    };
    let profile = session.profile(&name)?;
    let folder = build::default_folder(&profile);
    build::make(&profile, &folder, false, session)?;
    *argument = Some(folder);
    Ok(())
}

/// Whether a path is a bundle and not the name of a profile.
fn is_bundle(path: &Path) -> bool {
    path.join(manifest::FILE_NAME).is_file() || path.is_file() && path.extension().is_none_or(|kind| kind != "ncl")
}

fn of_host(places: &Places) -> Option<String> {
    let current = current::get(places).ok()??;
    Some(store::read(places, current).ok()?.manifest.profile)
}
