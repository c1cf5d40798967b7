//! Evaluates a profile with Nickel: its value, where each part of it was written, and what it was made of.

mod advice;
mod engine;
mod explain;
pub(super) mod library;
pub mod origins;
pub mod schema;
pub mod supervise;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use serde_json::Value;

use self::engine::Engine;
pub use self::explain::UNKNOWN as NO_SUCH_OPTION;
use self::origins::Origins;
pub use self::supervise::Limits;
use self::supervise::Stopped;
use super::config::Profile;
use super::diagnostic::{Diagnostic, Place, Sources};
use super::finding::OptionPath;
use super::project::{self, ProfilePath};
use crate::bundle::digest::Digest;

/// The version of Nickel in this program.
pub const NICKEL_VERSION: &str = "0.19.0";

/// A profile cannot be read.
pub const UNREADABLE: &str = "E0002";
/// An evaluation needs too much memory.
pub const MEMORY: &str = "E0003";
/// An evaluation takes too long.
pub const TIME: &str = "E0004";
/// The evaluation crashed.
pub const CRASHED: &str = "E0005";
/// A file has a syntax error.
pub const SYNTAX: &str = "E0101";
/// A type in a file is wrong.
pub const TYPE: &str = "E0102";
/// An import leads nowhere.
pub const IMPORT: &str = "E0103";
/// An import leads outside the project.
pub const OUTSIDE: &str = "E0104";
/// A profile does not apply the contract of the library.
pub const NO_CONTRACT: &str = "E0105";
/// A file of the project hides one of the library.
pub const SHADOWED: &str = "E0106";
/// A value is nested too deeply.
pub const TOO_DEEP: &str = "E0107";
/// Nickel warns.
pub const NICKEL_WARNING: &str = "W0101";

/// The format of profiles that the module library describes.
const FORMAT: u64 = 1;

/// The largest profile that is read, in bytes.
const MAX_FILE: u64 = 4 << 20;

/// A profile's value and its background.
pub struct Evaluated {
    /// What the profile says, as JSON.
    pub value: Value,
    /// The same with types.
    pub profile: Profile,
    pub origins: Origins,
    pub sources: Sources,
    /// The digests of all files that took part, by name; those of the library begin with `citadel:`.
    pub inputs: BTreeMap<String, Digest>,
    pub warnings: Vec<Diagnostic>,
}

/// Why there is no value.
pub struct Failure {
    pub diagnostics: Vec<Diagnostic>,
    pub sources: Sources,
}

impl From<Diagnostic> for Failure {
    fn from(diagnostic: Diagnostic) -> Self {
        Failure { diagnostics: vec![diagnostic], sources: Sources::default() }
    }
}

/// Evaluates a profile within limits. Files are shown relative to `shown_from`.
///
/// After a limit was reached the evaluation still goes on in the background; the process should end.
pub fn evaluate(profile: &ProfilePath, limits: Limits, shown_from: &Path) -> Result<Evaluated, Box<Failure>> {
    let below = profile.file.strip_prefix(shown_from).ok().filter(|below| !below.as_os_str().is_empty());
    let shown = below.unwrap_or(&profile.file).to_owned();
    let text = read(&profile.file, &shown)?;
    let (profile, shown_from) = (profile.clone(), shown_from.to_owned());
    let work = move || in_thread(&profile, text, shown_from);
    supervise::run(limits, work).unwrap_or_else(|stopped| {
        let name = shown.display();
        let limit_hint = "look for a value that contains itself, or a function that calls itself without an end";
        Err(Box::new(Failure::from(match stopped {
            Stopped::Memory => Diagnostic::error(
                MEMORY,
                format!("evaluating {name} needs more than {} MiB of memory", limits.memory >> 20),
            )
            .help(format!("{limit_hint}; `--max-memory` allows more")),
            Stopped::Time => {
                Diagnostic::error(TIME, format!("evaluating {name} takes longer than {} s", limits.time.as_secs()))
                    .help(format!("{limit_hint}; `--max-time` allows more"))
            }
            Stopped::NoThread => Diagnostic::error(MEMORY, format!("the system gives no thread to evaluate {name}"))
                .help("allow more processes or address space, see `ulimit -u` and `ulimit -v`"),
            Stopped::Panicked => Diagnostic::error(CRASHED, format!("the evaluation of {name} crashed"))
                .help("this is a defect of citadel; please report it with the profile"),
        })))
    })
}

/// Reads a profile's file, or says why that is not possible.
fn read(path: &Path, shown: &Path) -> Result<String, Box<Failure>> {
    let name = shown.display();
    let refuse =
        |message: String, help: &str| Box::new(Failure::from(Diagnostic::error(UNREADABLE, message).help(help)));
    let io = |error: std::io::Error| {
        refuse(format!("cannot read {name}: {}", project::plain(&error)), "check the file and its permissions")
    };
    let metadata = std::fs::metadata(path).map_err(io)?;
    if metadata.is_dir() {
        return Err(refuse(format!("{name} is a directory"), "name the profile's file, which ends in `.ncl`"));
    }
    if !metadata.is_file() {
        return Err(refuse(format!("{name} is not a regular file"), "a profile is a text file that ends in `.ncl`"));
    }
    let mut bytes = Vec::new();
    File::open(path).map_err(io)?.take(MAX_FILE + 1).read_to_end(&mut bytes).map_err(io)?;
    if bytes.len() as u64 > MAX_FILE {
        return Err(refuse(
            format!("{name} is larger than {} MiB", MAX_FILE >> 20),
            "split the profile, or move data out of it",
        ));
    }
    String::from_utf8(bytes).map_err(|error| {
        let valid = error.utf8_error().valid_up_to();
        let line = error.as_bytes()[..valid].iter().filter(|byte| **byte == b'\n').count() + 1;
        refuse(format!("{name} is not UTF-8 text: see line {line}"), "save the file in the encoding UTF-8")
    })
}

fn in_thread(profile: &ProfilePath, text: String, shown_from: PathBuf) -> Result<Evaluated, Box<Failure>> {
    let mut engine = Engine::new(profile.project.clone(), shown_from);
    engine.load(&profile.file, text);
    match evaluate_with(&mut engine) {
        Ok((value, profile, origins, inputs)) => {
            let warnings = engine.take_warnings();
            Ok(Evaluated { value, profile, origins, inputs, warnings, sources: engine.into_sources() })
        }
        Err(diagnostics) => Err(Box::new(Failure { diagnostics, sources: engine.into_sources() })),
    }
}

type Parts = (Value, Profile, Origins, BTreeMap<String, Digest>);

fn evaluate_with(engine: &mut Engine) -> Result<Parts, Vec<Diagnostic>> {
    let prepared = engine.prepare();
    // Before any message could show a part of a file that is none of ours.
    let inputs = engine.inputs().map_err(|refused| vec![refused])?;
    if let Some(path) = engine.shadowed_library() {
        let refused = Diagnostic::error(SHADOWED, format!("{} hides a file of the module library", path.display()));
        return Err(vec![refused.help("rename the file; `citadel/…` always means the library")]);
    }
    let prepared = prepared.map_err(|error| engine.describe_preparation(error))?;
    let exported = match engine.export(prepared.clone()) {
        Ok(exported) => exported,
        Err(error) => return Err(explain::explain(engine, prepared, error)),
    };
    let origins = engine.origins(&exported).map_err(|refused| vec![refused])?;
    let not_a_profile = |engine: &mut Engine, exported| {
        let refused = Diagnostic::error(NO_CONTRACT, "the file is not a profile: it does not apply `citadel.Profile`");
        let refused = match engine.place_of_value(exported) {
            Some(place) => refused.at(Place { range: place.range.start..place.range.start, ..place }, "this value"),
            None => refused,
        };
        vec![refused.help(advice::SKELETON)]
    };
    if exported.as_record().is_none() {
        return Err(not_a_profile(engine, &exported));
    }
    let value = serde_json::to_value(&exported).map_err(|error| {
        vec![Diagnostic::error(explain::EVALUATION, format!("the profile has no plain value: {error}"))]
    })?;
    let Some(format) = value.get("profile_format") else { return Err(not_a_profile(engine, &exported)) };
    if format != FORMAT {
        let names = OptionPath::new(["profile_format"]);
        let mut refused = Diagnostic::error(
            explain::WRONG,
            format!("a profile of the format {format}, and this citadel knows {FORMAT}"),
        );
        if let Some(place) = origins.find(&names, engine.sources()) {
            refused = refused.at(place, "this value");
        }
        return Err(vec![refused.help("remove it, or use another release of citadel")]);
    }
    let typed = serde_path_to_error::deserialize::<_, Profile>(&value).map_err(|error| {
        let path = error.path().to_string();
        let mut refused =
            Diagnostic::error(explain::WRONG, format!("the value of `{path}` is wrong: {}", error.inner()));
        let names = OptionPath::new(path.split('.'));
        if let Some(place) = origins.find(&names, engine.sources()) {
            refused = refused.at(place, "this value");
        }
        vec![refused]
    })?;
    Ok((value, typed, origins, inputs))
}
