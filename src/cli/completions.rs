//! `citadel completions`: scripts that complete commands in a shell.

use clap::CommandFactory as _;
use clap_complete::Shell;

use super::{Cli, exit};

/// Write a completion script for a shell
#[derive(Debug, clap::Args)]
pub struct Arguments {
    shell: Shell,
}

pub fn run(arguments: &Arguments) -> Result<(), exit::Code> {
    let mut script = Vec::new();
    clap_complete::generate(arguments.shell, &mut Cli::command(), "citadel", &mut script);
    // A reader that went away is no error.
    let _ = std::io::Write::write_all(&mut std::io::stdout().lock(), &script);
    Ok(())
}
