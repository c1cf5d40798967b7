//! `citadel gpu apply`: gives GPUs their settings.

use super::{Config, Options, plan};
use crate::cli::exit::Code;
use crate::cli::host::output::{self, note, problem};
use crate::host::gpu::{self, ApplyError, State};

/// Give the GPUs their settings, and remember what they had before
#[derive(Debug, clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    config: Config,
    #[command(flatten)]
    options: Options,
}

pub fn run(arguments: &Arguments) -> Result<(), Code> {
    let json = arguments.options.json;
    let desired = arguments.config.read()?;
    let folder = super::folder();
    super::need_root(&folder)?;
    let state = State::take(&folder).map_err(|error| super::state(&error))?;
    let applied = gpu::apply(&mut arguments.options.devices(), &desired, &state, &super::boot()?);
    let applied = applied.map_err(|error| failed(json, &error))?;
    if !json {
        applied.plan.notes.iter().chain(&applied.left_out).for_each(note);
    }
    output::result(json, &applied, || plan::text(&applied.plan))
}

fn failed(json: bool, error: &ApplyError) -> Code {
    match error {
        ApplyError::Driver(trouble) => super::no_driver(json, trouble),
        ApplyError::State(error) => super::state(error),
        ApplyError::Refused(plan) => {
            for text in &plan.problems {
                problem(Code::Refused, text);
            }
            note("nothing was changed");
            Code::Refused
        }
        ApplyError::Failed { problem: text, back } => {
            problem(Code::RolledBack, text);
            if back.problems.is_empty() {
                note("all GPUs have again what they had before citadel changed them");
                return Code::RolledBack;
            }
            for text in &back.problems {
                problem(Code::Broken, text);
            }
            Code::Broken
        }
    }
}
