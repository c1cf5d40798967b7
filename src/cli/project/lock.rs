//! `citadel lock`: records what every profile is built from, and into what.

use std::path::Path;

use super::{Session, build, check, exit};
use crate::bundle::Bundle;
use crate::compile::lock::{Difference, FILE_NAME, Lock, LockError};
use crate::compile::project::{PROFILES, ProfilePath};

/// Write citadel.lock for all profiles of the project
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Fail, and write nothing, when citadel.lock would change
    #[arg(long)]
    check: bool,
}

pub fn run(arguments: &Arguments, session: &Session) -> Result<(), exit::Code> {
    let mut lock = Lock::default();
    let mut failed = Ok(());
    let profiles = all_profiles(session)?;
    for profile in &profiles {
        match build::compile(profile, session) {
            Ok(compiled) => lock.record(&compiled.bundle),
            Err(exit::Code::Limit) => return Err(exit::Code::Limit),
            Err(code) => failed = failed.and(Err(code)),
        }
    }
    failed?;
    let Some(root) = profiles.first().map(|profile| profile.project.root()) else { return Ok(()) };
    if arguments.check {
        if !root.join(FILE_NAME).exists() {
            return Err(missing(root, session));
        }
        let old = Lock::read(root).map_err(|error| report(&error, session))?;
        if old != lock {
            session.output.error(
                "E0009",
                &format!("{FILE_NAME} is out of date"),
                Some("run `citadel lock` and commit it"),
            );
            return Err(exit::Code::Locked);
        }
    }
    let changed = !arguments.check && lock.write(root).map_err(|error| report(&error, session))?;
    let count = profiles.len();
    let text = match changed {
        true => format!("{FILE_NAME} now records {}", check::counted(count, "profile")),
        false => format!("{FILE_NAME} is up to date with {}", check::counted(count, "profile")),
    };
    session.output.result(&text, || serde_json::json!({ "type": "lock", "profiles": count, "changed": changed }));
    Ok(())
}

/// Returns all profiles of the project of the working directory, or reports that there are none.
pub fn all_profiles(session: &Session) -> Result<Vec<ProfilePath>, exit::Code> {
    let project = check::project(session)?;
    let found = project.profiles().map_err(|error| error.to_string()).and_then(|profiles| match profiles.is_empty() {
        true => Err("there is none".to_owned()),
        false => Ok(profiles),
    });
    found.map_err(|error| {
        let folder = project.root().join(PROFILES);
        let message = format!("cannot read the profiles in {}: {error}", folder.display());
        session.output.error(crate::compile::project::NOT_FOUND, &message, Some("write one, or run `citadel init`"));
        exit::Code::NotFound
    })
}

/// Compares a bundle with the lock of its project: an error when it has to be the same, otherwise at most a hint.
pub fn compare(profile: &ProfilePath, bundle: &Bundle, locked: bool, session: &Session) -> Result<(), exit::Code> {
    let root = profile.project.root();
    if !locked && !root.join(FILE_NAME).exists() {
        return Ok(());
    }
    let lock = Lock::read(root).map_err(|error| report(&error, session))?;
    let Some(difference) = lock.difference(bundle) else { return Ok(()) };
    if !root.join(FILE_NAME).exists() {
        return Err(missing(root, session));
    }
    let name = &profile.name;
    let what = match difference {
        Difference::Unlocked => format!("{FILE_NAME} does not have {name}"),
        Difference::Inputs(inputs) => {
            format!("{FILE_NAME} is out of date for {name}: {} changed", named(&inputs).join(", "))
        }
        Difference::Bundle => format!("{FILE_NAME} is out of date for {name}: another version of citadel wrote it"),
    };
    if locked {
        session.output.error("E0009", &what, Some("run `citadel lock` and commit the result"));
        return Err(exit::Code::Locked);
    }
    session.output.hint(&format!("{what}; `citadel lock` updates it"));
    Ok(())
}

fn missing(root: &Path, session: &Session) -> exit::Code {
    let message = format!("there is no {FILE_NAME} in {}", root.display());
    session.output.error("E0009", &message, Some("run `citadel lock` and commit the result"));
    exit::Code::Locked
}

/// Returns the inputs as a person names them: the files of the library are one.
fn named(inputs: &[String]) -> Vec<&str> {
    let mut names: Vec<&str> =
        inputs.iter().map(|name| if name.starts_with("citadel:") { "the module library" } else { name }).collect();
    names.dedup();
    names
}

fn report(error: &LockError, session: &Session) -> exit::Code {
    let (code, help) = match error {
        LockError::Write { .. } => (exit::Code::NotWritten, "check the permissions of the project's directory"),
        _ => (exit::Code::Locked, "restore it from version control, or remove it and run `citadel lock`"),
    };
    session.output.error("E0009", &error.to_string(), Some(help));
    code
}
