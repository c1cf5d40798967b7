//! `citadel check`: everything that `build` checks, without writing anything.

use super::{Session, build, exit, lock};
use crate::compile::project::Project;

/// Check profiles without writing anything
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Names of profiles, or paths of `.ncl` files; all profiles of the project if none
    profiles: Vec<String>,
    /// Fail when citadel.lock says something else
    #[arg(long)]
    locked: bool,
}

pub fn run(arguments: &Arguments, session: &Session) -> Result<(), exit::Code> {
    let profiles = if arguments.profiles.is_empty() {
        lock::all_profiles(session)?
    } else {
        arguments.profiles.iter().map(|name| session.profile(name)).collect::<Result<Vec<_>, _>>()?
    };
    let mut worst = Ok(());
    for profile in profiles {
        let compiled = match build::compile(&profile, session) {
            Ok(compiled) => compiled,
            // What was given up still uses memory; going on could take the machine down.
            Err(exit::Code::Limit) => return Err(exit::Code::Limit),
            Err(code) => {
                worst = worst.and(Err(code));
                continue;
            }
        };
        for warning in &compiled.warnings {
            session.output.diagnostic(warning, &compiled.sources);
        }
        if arguments.locked
            && let Err(code) = lock::compare(&profile, &compiled.bundle, true, session)
        {
            worst = worst.and(Err(code));
            continue;
        }
        let (name, units) = (&profile.name, compiled.bundle.manifest.units.len());
        let text = format!("{name}: {}, {}", counted(units, "unit"), warned(compiled.warnings.len()));
        session.output.result(&text, || {
            serde_json::json!({ "type": "check", "profile": name, "units": units, "warnings": compiled.warnings.len() })
        });
    }
    worst
}

fn warned(count: usize) -> String {
    match count {
        0 => "no problems".to_owned(),
        _ => counted(count, "warning"),
    }
}

/// Returns a number with its noun, such as `1 unit` or `2 units`.
pub fn counted(count: usize, noun: &str) -> String {
    if count == 1 { format!("1 {noun}") } else { format!("{count} {noun}s") }
}

/// Returns the project of the working directory, or reports that there is none.
pub fn project(session: &Session) -> Result<Project, exit::Code> {
    Project::find(&session.folder).ok().flatten().ok_or_else(|| {
        session.output.error(
            crate::compile::project::NOT_FOUND,
            "no folder `profiles` here or further up",
            Some("run `citadel init` to start a project"),
        );
        exit::Code::NotFound
    })
}
