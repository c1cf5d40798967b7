//! `citadel rollback`: to an earlier generation.

use super::output::problem;
use super::request::{self, Asked, How};
use super::{Common, generation};
use crate::activate::history::Kind;
use crate::activate::switch::Target;
use crate::activate::{Generation, current, generations, offline};
use crate::cli::exit::Code;

/// Move the host back to an earlier generation
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The number of the generation, instead of the one before the present one
    #[arg(value_name = "N", value_parser = generation)]
    to: Option<Generation>,
    #[command(flatten)]
    how: How,
    #[command(flatten)]
    common: Common,
}

pub fn run(arguments: &Arguments) -> Result<(), Code> {
    let places = arguments.common.places();
    let unreadable = |error: &dyn std::fmt::Display| problem(Code::NotFound, error);
    let to = match arguments.to {
        Some(to) => to,
        None => generations::before_current(&places)
            .map_err(|error| unreadable(&error))?
            .ok_or_else(|| problem(Code::NotFound, "there is no earlier generation to go back to"))?,
    };
    if current::get(&places).map_err(|error| unreadable(&error))? == Some(to) {
        let end = crate::activate::end::End::unchanged();
        return request::report(&end, &arguments.how, arguments.common.json);
    }
    let target = Target::Generation(to);
    if !places.is_live() {
        return request::report(&offline::switch(&places, &target, false), &arguments.how, arguments.common.json);
    }
    let asked = Asked {
        kind: Kind::Rollback,
        target,
        adopt: false,
        next_boot: false,
        how: arguments.how.clone(),
        json: arguments.common.json,
    };
    request::ask(&places, asked)
}
