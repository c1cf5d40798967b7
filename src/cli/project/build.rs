//! `citadel build`: from a profile to a bundle.

use std::path::{Path, PathBuf};

use super::output::{Output, Progress};
use super::{Session, exit, lock, summary};
use crate::bundle::Bundle;
use crate::bundle::write::WriteError;
use crate::compile::project::ProfilePath;
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
    /// Fail when citadel.lock says something else
    #[arg(long)]
    locked: bool,
}

pub fn run(arguments: &Arguments, session: &Session) -> Result<(), exit::Code> {
    let profile = session.profile(&arguments.profile)?;
    let folder = match &arguments.output {
        Some(output) => session.folder.join(output),
        None => profile.project.root().join("result").join(&profile.name),
    };
    if let Some((bundle, stamp)) = Stamp::unchanged(&profile, &folder) {
        session.output.replay(&stamp.warnings);
        lock::compare(&profile, &bundle, arguments.locked, session)?;
        report(&bundle, &folder, false, stamp.warnings.len(), session);
        return Ok(());
    }
    let Compiled { bundle, warnings, sources } = compile(&profile, session)?;
    for warning in &warnings {
        session.output.diagnostic(warning, &sources);
    }
    lock::compare(&profile, &bundle, arguments.locked, session)?;
    write(&bundle, &folder, session)?;
    Stamp::remember(&profile, &folder, &bundle, Output::keep(&warnings, &sources));
    report(&bundle, &folder, true, warnings.len(), session);
    Ok(())
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
    let progress = Progress::new(format!("compiling {}", profile.name));
    let compiled = compile::compile(profile, session.limits, &session.folder);
    drop(progress);
    compiled.map_err(|failure| {
        session.output.failure(&failure);
        exit::Code::of(&failure)
    })
}
