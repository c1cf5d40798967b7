//! `citadel status`: what the host runs.

use super::Common;
use super::output::{self, problem};
use crate::activate::status::{self, Status};
use crate::cli::exit::Code;

/// Show the generation that the host runs, its units, and the last switch
#[derive(Debug, clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    common: Common,
}

pub fn run(arguments: &Arguments) -> Result<(), Code> {
    let places = arguments.common.places();
    let status: Status = super::block_on(status::look(&places))?.map_err(|error| problem(Code::NotFound, error))?;
    output::result(arguments.common.json, &status, || status.to_string())
}
