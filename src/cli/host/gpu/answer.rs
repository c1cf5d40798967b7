//! `citadel gpu answer`: the process that talks to the driver, for the commands that ask it.

use rustix::process::{Signal, set_parent_process_death_signal};

use crate::cli::exit::Code;
use crate::cli::host::output::problem;
use crate::host::driver::{Nvml, answer};

/// Answer questions about GPUs from standard input; citadel starts this itself
#[derive(Debug, clap::Args)]
pub struct Arguments {}

pub fn run(_: &Arguments) -> Result<(), Code> {
    // A call that hangs must not outlive whoever asked. One that asks no more closes the pipe.
    let tied = set_parent_process_death_signal(Some(Signal::KILL));
    tied.map_err(|error| problem(Code::Defect, error))?;
    answer(&mut Nvml::default(), std::io::stdin().lock(), std::io::stdout().lock())
        .map_err(|error| problem(Code::Defect, error))
}
