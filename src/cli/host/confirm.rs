//! `citadel confirm`: says that a switch left the host reachable.

use serde_json::json;

use super::output::{self, problem};
use super::{Common, root};
use crate::activate::confirm::{self, Answer};
use crate::cli::exit::Code;

/// Confirm the switch that waits for it
#[derive(Debug, clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    common: Common,
}

pub fn run(arguments: &Arguments) -> Result<(), Code> {
    root::need()?;
    match confirm::confirm(&arguments.common.places()).map_err(|error| problem(Code::NotWritten, error))? {
        Answer::Confirmed(generation) => {
            output::result(arguments.common.json, &json!({ "confirmed": generation }), || {
                format!("generation {generation} is confirmed")
            })
        }
        Answer::NothingToConfirm => Err(problem(Code::Refused, "no switch waits for a confirmation")),
        Answer::TooEarly => Err(problem(
            Code::Refused,
            "the switch is still at work; confirm it when it says that everything is healthy",
        )),
        Answer::TooLate => Err(problem(Code::Refused, "the time is over, and the switch is being taken back")),
    }
}
