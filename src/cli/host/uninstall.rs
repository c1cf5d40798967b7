//! `citadel uninstall`: leaves the host as it was.

use super::output::{self, problem};
use super::{Common, root};
use crate::activate::uninstall;
use crate::cli::exit::Code;

/// Stop everything that citadel started, and remove all that it installed
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Remove users, groups and data as well that came with a bundle
    #[arg(long)]
    purge: bool,
    #[command(flatten)]
    common: Common,
}

pub fn run(arguments: &Arguments) -> Result<(), Code> {
    root::need()?;
    let places = arguments.common.places();
    let done = super::block_on(uninstall::uninstall(&places, arguments.purge))?
        .map_err(|end| problem(Code::of_switch(end.outcome).unwrap_or(Code::Defect), end.message))?;
    output::result(arguments.common.json, &done, || {
        let kept = done.kept.iter().map(|kept| format!("kept {kept}\n"));
        format!("citadel is gone from this host\n{}", kept.collect::<String>())
    })
}
