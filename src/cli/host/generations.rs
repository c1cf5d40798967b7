//! `citadel generations`: the bundles that a host has.

use clap::Subcommand;
use serde_json::json;

use super::output::{self, problem};
use super::{Common, generation, root};
use crate::activate::generations::{self, Listed};
use crate::activate::lock::Lock;
use crate::activate::{Generation, Places, store};
use crate::cli::exit::Code;

/// List, show and remove the generations of this host
#[derive(Debug, clap::Args)]
pub struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    common: Common,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List all generations; this is what happens without a command
    List(Listing),
    /// Show one generation: where it came from and which units it has
    Show(One),
    /// Remove a generation that is not in use
    Delete(One),
    /// Remove old generations, and files that no generation needs
    Gc(Collect),
}

#[derive(Debug, clap::Args)]
struct Listing {
    #[command(flatten)]
    common: Common,
}

#[derive(Debug, clap::Args)]
struct One {
    #[arg(value_name = "N", value_parser = generation)]
    generation: Generation,
    #[command(flatten)]
    common: Common,
}

#[derive(Debug, clap::Args)]
struct Collect {
    /// How many of the newest stay, besides those in use
    #[arg(long, value_name = "N", default_value_t = 5)]
    keep: usize,
    #[command(flatten)]
    common: Common,
}

pub fn run(arguments: &Arguments) -> Result<(), Code> {
    match &arguments.command {
        None => list(&arguments.common),
        Some(Command::List(listing)) => list(&listing.common),
        Some(Command::Show(one)) => show(one),
        Some(Command::Delete(one)) => {
            let places = one.common.places();
            let _lock = exclusive(&places)?;
            store::delete(&places, one.generation).map_err(|error| problem(Code::Refused, error))?;
            output::result(one.common.json, &json!({ "deleted": one.generation }), || {
                format!("generation {} is gone", one.generation)
            })
        }
        Some(Command::Gc(collect)) => {
            let places = collect.common.places();
            let _lock = exclusive(&places)?;
            let gone = store::gc(&places, collect.keep, None).map_err(|error| problem(Code::NotWritten, error))?;
            output::result(collect.common.json, &gone, || {
                format!("removed {} generations and {} files", gone.generations.len(), gone.files.len())
            })
        }
    }
}

fn list(common: &Common) -> Result<(), Code> {
    let listed: Vec<Listed> = generations::list(&common.places()).map_err(|error| problem(Code::NotFound, error))?;
    output::result(common.json, &json!({ "generations": listed }), || match listed.as_slice() {
        [] => "no generation yet; `citadel switch` makes the first".to_owned(),
        listed => listed.iter().map(|generation| format!("{generation}\n")).collect(),
    })
}

fn show(one: &One) -> Result<(), Code> {
    let bundle = store::read(&one.common.places(), one.generation).map_err(|error| problem(Code::NotFound, error))?;
    output::result(one.common.json, &bundle.manifest, || {
        let units = bundle.manifest.units.keys().map(|unit| format!("  {unit}\n"));
        format!(
            "generation {}: {} (bundle {})\n{}",
            one.generation,
            bundle.manifest.profile,
            bundle.digest().short(),
            units.collect::<String>()
        )
    })
}

/// Keeps switches away meanwhile.
fn exclusive(places: &Places) -> Result<Lock, Code> {
    root::need()?;
    Lock::try_take(places).map_err(|error| problem(Code::Busy, error))
}
