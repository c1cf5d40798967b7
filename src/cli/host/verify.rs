//! `citadel verify`: is the host as its generation says?

use serde_json::json;

use super::Common;
use super::output::{self, problem};
use crate::activate::verify;
use crate::cli::exit::Code;

/// Compare the host with what its generation says
#[derive(Debug, clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    common: Common,
}

pub fn run(arguments: &Arguments) -> Result<(), Code> {
    let places = arguments.common.places();
    let drift = super::block_on(verify::look(&places))?.map_err(|error| problem(Code::NotFound, error))?;
    output::result(arguments.common.json, &json!({ "drift": drift }), || match drift.as_slice() {
        [] => "the host is as its generation says".to_owned(),
        drift => drift.iter().map(|drift| format!("{drift}\n")).collect(),
    })?;
    if drift.is_empty() { Ok(()) } else { Err(Code::Drift) }
}
