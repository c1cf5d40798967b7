//! Commands on a host: the whole of `citadel-activate`, and part of `citadel`.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

use super::exit;
use crate::activate::Places;

/// Moves a host from one generation to another, and back when the new one is not healthy.
#[derive(Debug, Parser)]
#[command(name = "citadel-activate", version, propagate_version = true, after_help = exit::HELP)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

/// Options of every command on a host.
#[derive(Clone, Debug, Args)]
pub struct Common {
    /// Work on the host below this directory, which does not run
    #[arg(long, value_name = "DIR", default_value = "/")]
    root: PathBuf,
    /// Write the result as JSON
    #[arg(long)]
    json: bool,
}

impl Common {
    fn places(&self) -> Places {
        Places::new(&self.root)
    }
}

#[derive(Debug, Subcommand)]
pub enum Command {}

impl Command {
    pub fn run(&self) -> Result<(), exit::Code> {
        match *self {}
    }
}

/// Runs the program and returns its exit status.
pub fn run() -> ExitCode {
    let name = std::env::args_os().next().unwrap_or_default();
    if Path::new(&name).file_name().is_some_and(|name| name == "citadel-generator") {
        return crate::activate::generator::run(std::env::args_os());
    }
    std::panic::set_hook(Box::new(|panic| eprintln!("citadel-activate: internal error: {panic}")));
    let cli = Cli::parse();
    let result = cli.command.run();
    ExitCode::from(result.map_or_else(|code| code as u8, |()| 0))
}
