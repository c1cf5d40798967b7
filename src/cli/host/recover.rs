//! `citadel recover`: finishes a switch that nobody works on any more.

use super::output::{self, problem};
use super::{Common, root};
use crate::activate::recover::{self, Moment};
use crate::cli::exit::Code;

/// Take back a switch that was interrupted; systemd does this by itself
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// At the beginning of a boot: files only
    #[arg(long, hide = true)]
    early: bool,
    /// At the end of a boot: judge the generation that it tries
    #[arg(long, hide = true, conflicts_with = "early")]
    boot: bool,
    #[command(flatten)]
    common: Common,
}

pub fn run(arguments: &Arguments) -> Result<(), Code> {
    root::need()?;
    let places = arguments.common.places();
    let moment = match (arguments.early, arguments.boot) {
        (true, _) => Moment::Early,
        (_, true) => Moment::Booted,
        _ if places.is_live() => Moment::Later,
        _ => Moment::Early,
    };
    let Some(end) = super::block_on(recover::recover(&places, moment))? else {
        return output::result(arguments.common.json, &serde_json::json!({ "outcome": "unchanged" }), || {
            "no switch was interrupted".to_owned()
        });
    };
    // Taking back is what was asked for.
    match Code::of_switch(end.outcome).filter(|code| *code != Code::RolledBack) {
        Some(code) => Err(problem(code, end.message)),
        None => output::result(arguments.common.json, &end, || end.message.clone()),
    }
}
