//! `citadel rollback`: to an earlier generation.

use super::output::problem;
use super::request::{self, Asked, How};
use super::{Common, generation};
use crate::activate::history::Kind;
use crate::activate::switch::Target;
use crate::activate::{DiskError, Generation, current, generations, offline, store};
use crate::cli::exit::Code;

/// Move the host back to an earlier generation
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The number of the generation, instead of the one before the present one
    #[arg(value_name = "N", value_parser = generation)]
    to: Option<Generation>,
    /// Set units and files of others that have the same names aside; `uninstall` brings them back
    #[arg(long)]
    adopt: bool,
    #[command(flatten)]
    how: How,
    #[command(flatten)]
    common: Common,
}

pub fn run(arguments: &Arguments) -> Result<(), Code> {
    let places = arguments.common.places();
    let unreadable = |error: &dyn std::fmt::Display| problem(Code::NotFound, error);
    let to = match arguments.to {
        Some(to) if places.generation(to).is_dir() => to,
        Some(to) => {
            return Err(problem(Code::NotFound, format!("there is no generation {to}; see `citadel generations`")));
        }
        None => generations::before_current(&places)
            .map_err(|error| unreadable(&error))?
            .ok_or_else(|| problem(Code::NotFound, "there is no earlier generation to go back to"))?,
    };
    let generations = store::list(&places).map_err(|error| unreadable(&error))?;
    if !generations.contains(&to) {
        return Err(unreadable(&DiskError::NoGeneration(to)));
    }
    if current::get(&places).map_err(|error| unreadable(&error))? == Some(to) {
        let end = crate::activate::end::End::unchanged();
        return request::report(&end, &arguments.how, arguments.common.json);
    }
    let target = Target::Generation(to);
    if !places.is_live() {
        return request::report(
            &offline::switch(&places, &target, arguments.adopt),
            &arguments.how,
            arguments.common.json,
        );
    }
    let asked = Asked {
        kind: Kind::Rollback,
        target,
        adopt: arguments.adopt,
        next_boot: false,
        how: arguments.how.clone(),
        json: arguments.common.json,
    };
    request::ask(&places, asked)
}
