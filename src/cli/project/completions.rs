//! `citadel completions`: scripts that complete commands in a shell.

use clap::CommandFactory as _;
use clap_complete::Shell;

use super::{Cli, Session, exit};

/// Write a completion script for a shell
#[derive(Debug, clap::Args)]
pub struct Arguments {
    shell: Shell,
}

pub fn run(arguments: &Arguments, session: &Session) -> Result<(), exit::Code> {
    let mut script = Vec::new();
    clap_complete::generate(arguments.shell, &mut Cli::command(), "citadel", &mut script);
    let script = String::from_utf8_lossy(&script);
    session.output.text(&script);
    Ok(())
}
