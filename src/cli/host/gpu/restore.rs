//! `citadel gpu restore`: gives GPUs back what they had.

use super::Options;
use crate::cli::exit::Code;
use crate::cli::host::output::{self, note, problem};
use crate::host::gpu::{self, State};

/// Give the GPUs back what they had before citadel changed them
#[derive(Debug, clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    options: Options,
}

pub fn run(arguments: &Arguments) -> Result<(), Code> {
    let json = arguments.options.json;
    let folder = super::folder();
    super::need_root(&folder)?;
    let state = State::take(&folder).map_err(|error| super::state(&error))?;
    let restored = gpu::restore(&mut arguments.options.devices(), &state, &super::boot()?);
    let restored = restored.map_err(|error| super::state(&error))?;
    if !json {
        restored.notes.iter().for_each(note);
    }
    if json || !restored.restored.is_empty() {
        output::result(json, &restored, || {
            let lines =
                restored.restored.iter().map(|it| format!("{}: {} {}\n", it.title, it.setting.kind(), it.setting));
            lines.collect()
        })?;
    }
    for text in &restored.problems {
        problem(Code::Broken, text);
    }
    if restored.problems.is_empty() { Ok(()) } else { Err(Code::Broken) }
}
