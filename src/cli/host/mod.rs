//! Commands on a host: the whole of `citadel-activate`, and part of `citadel`.

mod confirm;
mod facts;
mod generations;
mod gpu;
mod history;
mod input;
mod install;
mod output;
mod plan;
mod preflight;
mod progress;
mod recover;
mod request;
mod rollback;
mod root;
mod secrets;
mod status;
mod switch;
mod text;
mod uninstall;
mod verify;
mod wait_ready;

use std::future::Future;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

use super::exit;
use crate::activate::{Generation, Places, generator};

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
    /// Returns where things lie on the host that is meant.
    pub fn places(&self) -> Places {
        Places::new(self.root.canonicalize().unwrap_or_else(|_| self.root.clone()))
    }
}

#[derive(Debug, Subcommand)]
pub enum Command {
    Switch(switch::Arguments),
    Rollback(rollback::Arguments),
    Confirm(confirm::Arguments),
    Plan(plan::Arguments),
    Generations(generations::Arguments),
    History(history::Arguments),
    Status(status::Arguments),
    Verify(verify::Arguments),
    Recover(recover::Arguments),
    Install(install::Arguments),
    Uninstall(uninstall::Arguments),
    Preflight(preflight::Arguments),
    Secrets(secrets::Arguments),
    WaitReady(wait_ready::Arguments),
    Facts(facts::Arguments),
    Gpu(gpu::Arguments),
    #[command(hide = true)]
    Ask(request::Again),
    #[command(hide = true)]
    Work(request::Work),
}

impl Command {
    /// Returns the bundle that the command is about, and below which root folder, for those that take one.
    pub fn bundle(&mut self) -> Option<(&mut Option<PathBuf>, Places)> {
        match self {
            Command::Switch(arguments) => Some((&mut arguments.bundle, arguments.common.places())),
            Command::Plan(arguments) => Some((&mut arguments.bundle, arguments.common.places())),
            Command::Secrets(arguments) => arguments.bundle(),
            _ => None,
        }
    }

    pub fn run(&self) -> Result<(), exit::Code> {
        match self {
            Command::Switch(arguments) => switch::run(arguments),
            Command::Rollback(arguments) => rollback::run(arguments),
            Command::Confirm(arguments) => confirm::run(arguments),
            Command::Plan(arguments) => plan::run(arguments),
            Command::Generations(arguments) => generations::run(arguments),
            Command::History(arguments) => history::run(arguments),
            Command::Status(arguments) => status::run(arguments),
            Command::Verify(arguments) => verify::run(arguments),
            Command::Recover(arguments) => recover::run(arguments),
            Command::Install(arguments) => install::run(arguments),
            Command::Uninstall(arguments) => uninstall::run(arguments),
            Command::Preflight(arguments) => preflight::run(arguments),
            Command::Secrets(arguments) => secrets::run(arguments),
            Command::WaitReady(arguments) => wait_ready::run(arguments),
            Command::Facts(arguments) => facts::run(arguments),
            Command::Gpu(arguments) => gpu::run(arguments),
            Command::Ask(arguments) => request::again(arguments),
            Command::Work(arguments) => request::work(arguments),
        }
    }
}

/// Runs the program and returns its exit status.
pub fn run() -> ExitCode {
    let name = std::env::args_os().next().unwrap_or_default();
    if Path::new(&name).file_name().is_some_and(|name| name == "citadel-generator") {
        return generator::run(std::env::args_os());
    }
    std::panic::set_hook(Box::new(|panic| eprintln!("citadel-activate: internal error: {panic}")));
    let cli = Cli::parse();
    ExitCode::from(cli.command.run().map_or_else(|code| code as u8, |()| 0))
}

/// Runs something that waits, in this thread: whatever is done, is done in one order.
fn block_on<T>(future: impl Future<Output = T>) -> Result<T, exit::Code> {
    match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => Ok(runtime.block_on(future)),
        Err(error) => Err(output::problem(exit::Code::Defect, error)),
    }
}

fn generation(text: &str) -> Result<Generation, String> {
    Generation::parse(text).ok_or_else(|| "write the number of a generation, such as `12`".to_owned())
}
