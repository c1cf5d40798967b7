//! `citadel switch`: from what the host runs to a bundle.

use std::path::PathBuf;

use super::output::problem;
use super::request::{self, Asked, How};
use super::{Common, plan};
use crate::activate::history::Kind;
use crate::activate::offline;
use crate::cli::exit::Code;

/// Move the host to a bundle, and back when it is not healthy there
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// A bundle: the directory that `citadel build` wrote, or an archive of it; `citadel` also takes a profile, and
    /// builds the one that the host has when none is named
    #[arg(value_name = "BUNDLE")]
    pub bundle: Option<PathBuf>,
    /// Show what would happen, and change nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Change nothing now; the next boot tries the bundle, and goes back when it is not healthy
    #[arg(long, conflicts_with_all = ["adopt", "confirm", "dry_run"])]
    pub boot: bool,
    /// Set units and files of others that have the same names aside; `uninstall` brings them back
    #[arg(long)]
    pub adopt: bool,
    #[command(flatten)]
    pub how: How,
    #[command(flatten)]
    pub common: Common,
}

pub fn run(arguments: &Arguments) -> Result<(), Code> {
    let target = plan::target(arguments.bundle.as_deref())?;
    let places = arguments.common.places();
    if arguments.dry_run {
        return plan::show(&places, &target, arguments.adopt, arguments.how.exit_code, arguments.common.json);
    }
    if !places.is_live() {
        if arguments.boot || arguments.how.confirm.is_some() {
            return Err(problem(
                Code::Usage,
                "a host that does not run cannot try a bundle; leave out --boot and --confirm",
            ));
        }
        let end = offline::switch(&places, &target, arguments.adopt);
        return request::report(&end, &arguments.how, arguments.common.json);
    }
    let asked = Asked {
        kind: Kind::Switch,
        target,
        adopt: arguments.adopt,
        next_boot: arguments.boot,
        how: arguments.how.clone(),
        json: arguments.common.json,
    };
    request::ask(&places, asked)
}
