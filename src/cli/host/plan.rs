//! `citadel plan`: what a switch would do.

use std::path::Path;

use serde_json::json;

use super::output::{self, problem};
use super::{Common, progress};
use crate::activate::end::End;
use crate::activate::manager::Manager;
use crate::activate::switch::Target;
use crate::activate::{Places, offline, prospect};
use crate::cli::exit::Code;

/// Show what a switch to a bundle would do, unit by unit, and why
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// A bundle: the directory that `citadel build` wrote, or an archive of it; `citadel` also takes a profile
    #[arg(value_name = "BUNDLE")]
    pub bundle: Option<std::path::PathBuf>,
    /// As if units and files of others that have the same names were set aside
    #[arg(long)]
    pub adopt: bool,
    /// End with status 10 when there is nothing to do
    #[arg(long)]
    pub exit_code: bool,
    #[command(flatten)]
    pub common: Common,
}

pub fn run(arguments: &Arguments) -> Result<(), Code> {
    let target = target(arguments.bundle.as_deref())?;
    show(&arguments.common.places(), &target, arguments.adopt, arguments.exit_code, arguments.common.json)
}

/// Returns the bundle at a path as something to switch to.
pub fn target(bundle: Option<&Path>) -> Result<Target, Code> {
    let Some(bundle) = bundle else {
        return Err(problem(Code::Usage, "name a bundle: a directory that `citadel build` wrote, or an archive of it"));
    };
    match bundle.canonicalize() {
        Ok(bundle) => Ok(Target::Bundle(bundle)),
        Err(error) => Err(problem(Code::NotFound, format!("{} cannot be read: {error}", bundle.display()))),
    }
}

/// Shows the plan of a switch to a target.
pub fn show(places: &Places, target: &Target, adopt: bool, exit_code: bool, json: bool) -> Result<(), Code> {
    let stop = |end: End| problem(Code::of_switch(end.outcome).unwrap_or(Code::Defect), end.message);
    let prospect = if places.is_live() {
        super::block_on(async {
            let manager = Manager::connect().await.map_err(|error| problem(Code::NotWritten, error))?;
            let bundle = prospect::load(places, target).map_err(stop)?;
            prospect::look_ahead(places, &manager, bundle, None, adopt).await.map_err(stop)
        })??
    } else {
        offline::look_ahead(places, target, adopt).map_err(stop)?
    };
    for warning in &prospect.warnings {
        output::note(warning);
    }
    let done = prospect.is_done();
    let value = json!({
        "from": prospect.from,
        "profile": prospect.new.manifest.profile,
        "bundle": prospect.new.digest(),
        "set_aside": prospect.set_aside,
        "plan": prospect.plan,
    });
    output::result(json, &value, || {
        if done {
            "nothing to do: the host runs this already".to_owned()
        } else {
            progress::plan_lines(&prospect.plan).join("\n")
        }
    })?;
    if done && exit_code { Err(Code::Unchanged) } else { Ok(()) }
}
