//! `citadel history`: the switches of a host.

use serde_json::json;

use super::Common;
use super::output::{self, problem};
use crate::activate::history::{self, Entry};
use crate::cli::exit::Code;

/// Show the switches of this host: who, when, from where to where, and how it ended
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The one with this id, with all that is known about it
    id: Option<String>,
    /// So many of the last ones
    #[arg(short = 'n', long, default_value_t = 20)]
    number: usize,
    #[command(flatten)]
    common: Common,
}

pub fn run(arguments: &Arguments) -> Result<(), Code> {
    let mut entries = history::read(&arguments.common.places()).map_err(|error| problem(Code::NotFound, error))?;
    if let Some(id) = &arguments.id {
        entries.retain(|entry| entry.id == *id);
        if entries.is_empty() {
            return Err(problem(Code::NotFound, format!("the history has no switch {id}")));
        }
        return output::result(arguments.common.json, &json!({ "switches": entries }), || {
            entries.iter().map(Entry::details).collect()
        });
    }
    entries.drain(..entries.len().saturating_sub(arguments.number));
    output::result(arguments.common.json, &json!({ "switches": entries }), || match entries.as_slice() {
        [] => "no switch yet".to_owned(),
        entries => entries.iter().map(|entry: &Entry| format!("{entry}\n")).collect(),
    })
}
