//! `citadel install`: makes a host ready for switches.

use serde_json::json;

use super::output::{self, problem};
use super::{Common, root};
use crate::activate::manager::Manager;
use crate::activate::{install, setup};
use crate::cli::exit::Code;

/// Install the activator and the systemd generator; the first switch does this by itself
#[derive(Debug, clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    common: Common,
}

pub fn run(arguments: &Arguments) -> Result<(), Code> {
    root::need()?;
    let places = arguments.common.places();
    let program = setup::own_program().map_err(|error| problem(Code::NotFound, error))?;
    let made = install::install(&places, &program).map_err(|error| problem(Code::NotWritten, error))?;
    if places.is_live() {
        super::block_on(async {
            let manager = Manager::connect().await?;
            manager.reload().await
        })?
        .map_err(|error| problem(Code::NotWritten, error))?;
    }
    output::result(arguments.common.json, &json!({ "made": made }), || match made.as_slice() {
        [] => "everything is there already".to_owned(),
        made => made.iter().map(|path| format!("made {}\n", path.display())).collect(),
    })
}
