//! `citadel gpu plan`: what `apply` would do.

use super::{Config, Options};
use crate::cli::exit::Code;
use crate::cli::host::output::{self, note, problem};
use crate::host::driver::Setting;
use crate::host::gpu::{self, Plan, Step};

/// Show what would change so that the GPUs have their settings
#[derive(Debug, clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    config: Config,
    /// End with 10 when there is nothing to do
    #[arg(long)]
    exit_code: bool,
    #[command(flatten)]
    options: Options,
}

pub fn run(arguments: &Arguments) -> Result<(), Code> {
    let json = arguments.options.json;
    let desired = arguments.config.read()?;
    let saved = super::saved_now()?;
    let seen = gpu::look(&mut arguments.options.devices()).map_err(|trouble| super::no_driver(json, &trouble))?;
    let plan = gpu::plan(&desired, &seen, saved.as_ref());
    output::result(json, &plan, || text(&plan))?;
    if !json {
        plan.notes.iter().for_each(note);
    }
    for text in &plan.problems {
        problem(Code::Refused, text);
    }
    match plan.changes().next() {
        _ if !plan.problems.is_empty() => Err(Code::Refused),
        None if arguments.exit_code => Err(Code::Unchanged),
        _ => Ok(()),
    }
}

/// Returns the changes, for people.
pub(super) fn text(plan: &Plan) -> String {
    let line = |step: &Step| {
        let from = match (step.from, step.setting) {
            (Some(from), _) => format!(" (now {from})"),
            (None, Setting::GraphicsClockMhz(_) | Setting::MemoryClockMhz(_)) => String::new(),
            (None, _) => " (now unknown)".to_owned(),
        };
        format!("{}: {} {}{from}\n", step.title, step.kind(), step.setting)
    };
    let lines: String = plan.changes().map(line).collect();
    if lines.is_empty() { "nothing to do".to_owned() } else { lines }
}
