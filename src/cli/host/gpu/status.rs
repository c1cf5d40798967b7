//! `citadel gpu status`: the GPUs as they are.

use super::Options;
use crate::cli::exit::Code;
use crate::cli::host::output;
use crate::host::gpu;

/// Show the GPUs, their settings, and what citadel changed on them
#[derive(Debug, clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    options: Options,
}

pub fn run(arguments: &Arguments) -> Result<(), Code> {
    let json = arguments.options.json;
    let saved = super::saved_now()?;
    let status = gpu::status(&mut arguments.options.devices(), saved.as_ref());
    let status = status.map_err(|trouble| super::no_driver(json, &trouble))?;
    output::result(json, &status, || status.to_string())?;
    if status.has_drift() { Err(Code::Drift) } else { Ok(()) }
}
