//! `citadel secrets`: the secrets that services load as systemd credentials.

mod check;
mod list;
mod set;

use std::path::{Path, PathBuf};

use super::output::problem;
use super::{Common, plan};
use crate::activate::prospect;
use crate::activate::secrets::{self, State, Wanted};
use crate::activate::switch::Target;
use crate::activate::{Places, current};
use crate::cli::exit::Code;

/// Show, set and check the secrets that services load
#[derive(Debug, clap::Args)]
pub struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    List(list::Arguments),
    Set(set::Arguments),
    Check(check::Arguments),
}

/// Whose secrets are meant.
#[derive(Debug, clap::Args)]
struct Of {
    /// A bundle, instead of the generation that the host runs; `citadel` also takes a profile
    #[arg(value_name = "BUNDLE")]
    bundle: Option<PathBuf>,
    #[command(flatten)]
    common: Common,
}

pub fn run(arguments: &Arguments) -> Result<(), Code> {
    match &arguments.command {
        Command::List(arguments) => list::run(arguments),
        Command::Set(arguments) => set::run(arguments),
        Command::Check(arguments) => check::run(arguments),
    }
}

impl Arguments {
    /// Returns the bundle that is named, and below which root folder; none when none is.
    pub fn bundle(&mut self) -> Option<(&mut Option<PathBuf>, Places)> {
        let of = match &mut self.command {
            Command::List(arguments) => &mut arguments.of,
            Command::Check(arguments) => &mut arguments.of,
            Command::Set(_) => return None,
        };
        of.bundle.is_some().then(|| (of.common.places(), &mut of.bundle)).map(|(places, bundle)| (bundle, places))
    }
}

/// Returns the secrets that a bundle, or the generation that the host runs, wants; none without a generation.
fn wanted(places: &Places, bundle: Option<&Path>) -> Result<Option<Vec<Wanted>>, Code> {
    let target = match bundle {
        Some(_) => plan::target(bundle)?,
        None => match current::get(places).map_err(|error| problem(Code::NotFound, error))? {
            Some(generation) => Target::Generation(generation),
            None => return Ok(None),
        },
    };
    let bundle = prospect::load(places, &target).map_err(|end| problem(Code::Invalid, end.message))?;
    Ok(Some(secrets::wanted(&bundle)))
}

impl Of {
    /// Returns the secrets that are wanted, each with what is in its place.
    fn look(&self) -> Result<Vec<(Wanted, State)>, Code> {
        let places = self.common.places();
        let wanted = wanted(&places, self.bundle.as_deref())?
            .ok_or_else(|| problem(Code::NotFound, "the host runs no generation yet; name a bundle"))?;
        let look = |secret: Wanted| {
            let state = secrets::state(&places, &secret.path).map_err(|error| problem(Code::NotFound, error))?;
            Ok((secret, state))
        };
        wanted.into_iter().map(look).collect()
    }
}

/// Returns a secret with what is in its place, as JSON.
fn as_json((secret, state): &(Wanted, State)) -> serde_json::Value {
    let mut value = serde_json::to_value(secret).unwrap_or_default();
    if let (Some(value), Ok(serde_json::Value::Object(state))) = (value.as_object_mut(), serde_json::to_value(state)) {
        value.extend(state);
    }
    value
}
