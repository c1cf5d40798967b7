//! `citadel build`: from a profile to a bundle.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::{fs, io};

use super::output::{Output, Progress};
use super::{Session, exit, lock, summary};
use crate::bundle::Bundle;
use crate::bundle::write::WriteError;
use crate::compile::project::{ProfilePath, plain};
use crate::compile::stamp::Stamp;
use crate::compile::{self, Compiled};

/// Compile a profile to a bundle
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The name of a profile, or the path of a `.ncl` file
    profile: String,
    /// Where to write the bundle, instead of `result/PROFILE` in the project
    #[arg(short, long, value_name = "DIR")]
    output: Option<PathBuf>,
    /// Also write the bundle as one file, a `.tar.gz` archive that `switch` takes
    #[arg(long, value_name = "FILE")]
    archive: Option<PathBuf>,
    /// Fail when citadel.lock says something else
    #[arg(long)]
    locked: bool,
}

pub fn run(arguments: &Arguments, session: &Session) -> Result<(), exit::Code> {
    let profile = session.profile(&arguments.profile)?;
    let folder = match &arguments.output {
        Some(output) => session.folder.join(output),
        None => default_folder(&profile),
    };
    let made = make(&profile, &folder, arguments.locked, session)?;
    if let Some(archive) = &arguments.archive {
        let path = session.folder.join(archive);
        pack(&made.bundle, &path).map_err(|error| {
            let message = format!("cannot write {}: {}", path.display(), plain(&error));
            session.output.error("E0008", &message, Some("check the directory's permissions and free space"));
            exit::Code::NotWritten
        })?;
    }
    report(&made.bundle, &folder, made.built, made.warnings, session);
    Ok(())
}

/// Writes a bundle as one file, whole or not at all.
fn pack(bundle: &Bundle, path: &Path) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut file = tempfile::Builder::new().permissions(fs::Permissions::from_mode(0o644)).tempfile_in(folder)?;
    bundle.pack(&mut file)?;
    file.persist(path).map(drop).map_err(|error| error.error)
}

/// Returns where a bundle of a profile goes unless somebody says otherwise.
pub fn default_folder(profile: &ProfilePath) -> PathBuf {
    profile.project.root().join("result").join(&profile.name)
}

/// A bundle that is in its folder.
pub struct Made {
    pub bundle: Bundle,
    /// Whether it was not there before.
    pub built: bool,
    /// How many warnings were shown.
    pub warnings: usize,
}

/// Makes sure that a folder holds the bundle of a profile.
pub fn make(profile: &ProfilePath, folder: &Path, locked: bool, session: &Session) -> Result<Made, exit::Code> {
    if let Some((bundle, stamp)) = Stamp::unchanged(profile, folder) {
        session.output.replay(&stamp.warnings);
        lock::compare(profile, &bundle, locked, session)?;
        return Ok(Made { bundle, built: false, warnings: stamp.warnings.len() });
    }
    let Compiled { bundle, warnings, sources } = compile(profile, session)?;
    for warning in &warnings {
        session.output.diagnostic(warning, &sources);
    }
    lock::compare(profile, &bundle, locked, session)?;
    write(&bundle, folder, session)?;
    Stamp::remember(profile, folder, &bundle, Output::keep(&warnings, &sources));
    Ok(Made { bundle, built: true, warnings: warnings.len() })
}

fn write(bundle: &Bundle, folder: &Path, session: &Session) -> Result<(), exit::Code> {
    bundle.write(folder).map_err(|error| {
        let help = match &error {
            WriteError::NotABundle(_) | WriteError::Foreign { .. } => {
                "choose another directory with `-o`, or move what is there"
            }
            WriteError::Io { .. } => {
                "check the directory's permissions and free space, or choose another one with `-o`"
            }
        };
        let message = error.to_string();
        let message = message.split(" (os error").next().unwrap_or(&message);
        session.output.error("E0008", message, Some(help));
        exit::Code::NotWritten
    })
}

fn report(bundle: &Bundle, folder: &Path, built: bool, warnings: usize, session: &Session) {
    let shown = folder.strip_prefix(&session.folder).unwrap_or(folder);
    session.output.result(&summary::text(bundle, shown, built, warnings), || {
        serde_json::json!({
            "type": "build",
            "profile": bundle.manifest.profile,
            "bundle": bundle.digest(),
            "output": folder,
            "built": built,
            "units": bundle.manifest.units.keys().collect::<Vec<_>>(),
            "budget": bundle.manifest.budget,
            "warnings": warnings,
        })
    });
}

/// Compiles a profile without writing it, or reports why that fails.
pub fn compile(profile: &ProfilePath, session: &Session) -> Result<Compiled, exit::Code> {
    compile_from(profile, &session.folder, session)
}

/// As [`compile`]; paths in messages are as seen from `folder`.
pub fn compile_from(profile: &ProfilePath, folder: &Path, session: &Session) -> Result<Compiled, exit::Code> {
    let progress = Progress::new(format!("compiling {}", profile.name));
    let compiled = compile::compile(profile, session.limits, folder);
    drop(progress);
    compiled.map_err(|failure| {
        session.output.failure(&failure);
        exit::Code::of(&failure)
    })
}
