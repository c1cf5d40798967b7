//! `citadel gpu watch`: what GPUs do from second to second.

use super::Options;
use crate::bundle::quantity::Span;
use crate::cli::exit::Code;
use crate::cli::host::output;
use crate::host::gpu;

/// Show temperature, power, load and clocks of the GPUs, again and again
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// How long between two looks
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = super::span)]
    interval: Span,
    /// How many times to look, instead of for ever
    #[arg(long, value_name = "N")]
    count: Option<u64>,
    #[command(flatten)]
    options: Options,
}

pub fn run(arguments: &Arguments) -> Result<(), Code> {
    let json = arguments.options.json;
    let saved = super::saved_now()?;
    let mut devices = arguments.options.devices();
    let mut heard = Ok(true);
    let mut tell = |sight: &gpu::Sight| {
        heard = output::line(json, sight, || sight.to_string());
        matches!(heard, Ok(true))
    };
    let watched = gpu::watch(&mut devices, saved.as_ref(), arguments.interval.0, arguments.count, &mut tell);
    watched.map_err(|trouble| super::no_driver(json, &trouble))?;
    heard.map(|_| ())
}
